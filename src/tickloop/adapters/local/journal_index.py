"""What the segments of a journal hold: each is read once for all markets, and then only where it has grown."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tickloop.adapters.common.trade_rows import NO_ROWS, Rows, within
from tickloop.adapters.local.dead_letter import DeadLine
from tickloop.adapters.local.journal_rows import read_lines
from tickloop.domain.window import HOUR_MS, Window

MOST_BYTES = 200_000_000
"""Of rows in memory, 3.9 million trades. When those of one hour and what is later are more than that, segments are
read again and again."""

_CHUNK_BYTES = 4_000_000

Bury = Callable[[Path, Sequence[DeadLine]], int]


@dataclass
class _Segment:
    """What is known of one segment.

    Attributes:
        size: bytes it had when it was last looked at.
        end: bytes of whole lines that were read; dead ones before it are buried.
        hours: hour of an event -> the markets that have one in it, as bits by their number.
        rows: by market, all of `end`; None when they were let go.
    """

    size: int = 0
    end: int = 0
    hours: dict[int, int] = field(default_factory=dict)
    rows: dict[str, Rows] | None = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        return sum(rows.nbytes for rows in (self.rows or {}).values())


class JournalIndex:
    """Gives the trades of a market and window out of a segment. Safe from several threads.

    The rows of segments that were used least lately are let go above `most_bytes`; which market has events in which
    hour of them is kept, some hundred bytes a segment, so that only those are read again that are needed.

    Args:
        bury: puts lines that cannot be read into the dead letter, those that are new, and gives their number. When it
            raises, the same lines are read again next time.
        most_bytes: of rows in memory, beside those of the segment that is read at the moment.
    """

    def __init__(self, bury: Bury, most_bytes: int = MOST_BYTES) -> None:
        self._bury = bury
        self._most_bytes = most_bytes
        self._segments: OrderedDict[Path, _Segment] = OrderedDict()  # the one used last comes last
        self._bytes = 0
        self._numbers: dict[str, int] = {}
        self._lock = threading.Lock()

    def select(self, path: Path, market: str, window: Window) -> tuple[Rows, int]:
        """Give the rows of a segment in order of its lines, and how many lines went to the dead letter.

        An unterminated last line does not exist. A segment that got smaller is read anew.
        """
        with self._lock:
            segment = self._segments.get(path)
            size = path.stat().st_size
            if segment is None or size < segment.end:
                segment = self._start(path)
            dead = self._extend(path, segment, size) if size != segment.size else 0
            if not self._may_hold(segment, market, window):
                return NO_ROWS, dead
            rows = self._rows(path, segment).get(market, NO_ROWS)
        return within(rows, window), dead

    def keep_only(self, paths: Sequence[Path]) -> None:
        """Forget segments that are no longer there."""
        with self._lock:
            if len(self._segments) > len(paths):
                for path in self._segments.keys() - set(paths):
                    self._bytes -= self._segments.pop(path).nbytes

    def _start(self, path: Path) -> _Segment:
        former = self._segments.pop(path, None)
        self._bytes -= 0 if former is None else former.nbytes
        self._segments[path] = _Segment()
        return self._segments[path]

    def _extend(self, path: Path, segment: _Segment, size: int) -> int:
        """Take in what was added to a segment; chunk by chunk, so that what cannot be buried is not passed over."""
        buried = 0
        for data in whole_lines(path, segment.end, size):
            found, dead = read_lines(data, path.name, segment.end)
            buried += self._bury(path, dead) if dead else 0
            segment.end += len(data)
            self._note_hours(segment, found)
            if segment.rows is not None:
                self._bytes += _join(segment.rows, found)
        segment.size = size
        self._let_go(beside=segment)
        return buried

    def _rows(self, path: Path, segment: _Segment) -> dict[str, Rows]:
        """Give a segment's rows, read again if they were let go."""
        self._segments.move_to_end(path)
        if segment.rows is None:
            segment.rows, offset = {}, 0
            for data in whole_lines(path, 0, segment.end):
                self._bytes += _join(segment.rows, read_lines(data, path.name, offset)[0])
                offset += len(data)
            self._let_go(beside=segment)
        return segment.rows

    def _let_go(self, beside: _Segment) -> None:
        for segment in self._segments.values():
            if self._bytes <= self._most_bytes:
                return
            if segment is not beside and segment.rows is not None:
                self._bytes -= segment.nbytes
                segment.rows = None

    def _note_hours(self, segment: _Segment, found: dict[str, Rows]) -> None:
        for market, rows in found.items():
            bit = 1 << self._numbers.setdefault(market, len(self._numbers))
            for hour in np.unique(rows["ts_event"] // HOUR_MS).tolist():
                segment.hours[hour] = segment.hours.get(hour, 0) | bit

    def _may_hold(self, segment: _Segment, market: str, window: Window) -> bool:
        number = self._numbers.get(market)
        first, last = window.start_ms // HOUR_MS, (window.end_ms - 1) // HOUR_MS
        return number is not None and any(
            first <= hour <= last and markets >> number & 1 for hour, markets in segment.hours.items()
        )


def _join(rows: dict[str, Rows], more: dict[str, Rows]) -> int:
    """Add rows to those of their markets; give the bytes that came."""
    for market, part in more.items():
        rows[market] = np.concatenate([rows[market], part]) if market in rows else part
    return sum(part.nbytes for part in more.values())


def whole_lines(path: Path, start: int, stop: int) -> Iterator[bytes]:
    """Yield the whole lines between two offsets, the first of which begins a line, some megabytes at a time."""
    with path.open("rb") as file:
        file.seek(start)
        rest = b""
        while start < stop and (chunk := file.read(min(stop - start, _CHUNK_BYTES))):
            start += len(chunk)
            data = rest + chunk
            cut = data.rfind(b"\n") + 1
            rest = data[cut:]
            if cut:
                yield data[:cut]
