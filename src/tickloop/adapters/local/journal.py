"""The journal as a raw store: trades of a window out, repairs in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tickloop.adapters.common.stored_line import DOC_ID
from tickloop.adapters.common.trade_rows import NO_ROWS, Rows, is_rest, places_of, trade_frame_at
from tickloop.adapters.local.dead_letter import DeadLetter, DeadLine
from tickloop.adapters.local.journal_events import events_in
from tickloop.adapters.local.journal_index import MOST_BYTES, JournalIndex
from tickloop.adapters.local.journal_repairs import RepairWriter
from tickloop.adapters.local.removed_hours import RemovedHours
from tickloop.adapters.local.segments import SegmentFile, list_segments
from tickloop.domain.market import Trade
from tickloop.domain.window import MINUTE_MS, Window
from tickloop.ports import Clock, RawCounts, RawRead

# How far the exchange's clock may be ahead of ours: an event may lie in a segment that ended just before its time.
_SKEW_MS = MINUTE_MS

_PART_ROWS = 50_000


class JournalStore:
    """Implements `ports.RawStore` on the collector's folder of segments. Safe from several threads.

    Args:
        most_bytes: of rows that stay in memory between readings, see `JournalIndex`.
    """

    def __init__(self, folder: Path, dead_folder: Path, clock: Clock, most_bytes: int = MOST_BYTES) -> None:
        self._folder = folder
        self._dead_folder = dead_folder
        self._repairs = RepairWriter(folder, clock)
        self._removed = RemovedHours(folder)
        self._index = JournalIndex(self._bury, most_bytes)

    def read(self, market: str, window: Window) -> Iterator[RawRead]:
        """Yield the trades as the port says.

        Lines of any time may lie in any segment, so all rows of the window are held, 51 bytes a line, and at most 32
        more for their order; only the frames are made part by part.

        Raises:
            DataError: the janitor has removed segments of the window, so that what is left is not the whole of it.
        """
        self._removed.check(window)
        rows, dead = self._rows(market, window)
        ordered = places_of(rows)
        repeats = len(rows) - len(ordered)
        for start in range(0, max(1, len(ordered)), _PART_ROWS):
            frame = trade_frame_at(market, rows, ordered[start : start + _PART_ROWS])
            yield RawRead(frame, frame.height + repeats, repeats, dead)
            repeats = dead = 0  # told with the first part

    def events(self, kind: str, market: str, window: Window) -> Iterator[list[dict[str, Any]]]:
        """Yield events as the port says.

        Raises:
            DataError: as `read`, or a line is not JSON.
            UsageError: for trades.
        """
        self._removed.check(window)
        return events_in([segment.path for segment in self._segments(window)], kind, market, window)

    def append_repairs(self, trades: Sequence[Trade]) -> int:
        return self._repairs.append(trades)

    def counts(self, market: str, window: Window) -> RawCounts:
        rows, _ = self._rows(market, window)
        rest = int(np.count_nonzero(is_rest(rows)))
        distinct = len(np.unique(rows["trade_id"]))
        other = sum(
            ts_ms in window
            for segment in self._segments(window)
            for ts_ms in _other_times(segment.path.read_bytes(), market)
        )
        return RawCounts(len(rows) - rest, rest, distinct, len(rows) - distinct, other)

    def _rows(self, market: str, window: Window) -> tuple[Rows, int]:
        """Give the rows of all segments, and how many lines were dead."""
        found = [self._index.select(segment.path, market, window) for segment in self._segments(window)]
        parts = [rows for rows, _ in found if len(rows)]
        return parts[0] if len(parts) == 1 else np.concatenate([NO_ROWS, *parts]), sum(dead for _, dead in found)

    def _segments(self, window: Window) -> Iterator[SegmentFile]:
        """Yield the segments that can hold events of the window: late events lie in later ones, early ones nowhere."""
        segments = list_segments(self._folder)
        self._index.keep_only([segment.path for segment in segments])
        earliest_ns = (window.start_ms - _SKEW_MS) * 1_000_000
        ends_ns: dict[str, int] = {}
        for segment in reversed(segments):
            if ends_ns.get(segment.writer, earliest_ns + 1) > earliest_ns:
                yield segment
            ends_ns[segment.writer] = segment.start_ns

    def _bury(self, segment: Path, dead: Sequence[DeadLine]) -> int:
        return DeadLetter(self._dead_folder / segment.name).add_new(dead)


def _other_times(data: bytes, market: str) -> Iterator[int]:
    """Yield the event times (ms) of the lines of a market that are no trades."""
    form = DOC_ID + rb"(?!trade:)[a-z]+:%b:(\d+):[0-9a-f]{8}\"}\n" % re.escape(market).encode()
    return (int(ts_ms) for ts_ms in re.findall(form, data))
