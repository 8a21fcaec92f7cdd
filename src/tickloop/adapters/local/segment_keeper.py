"""The folder of segments as the janitor sees it."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from tickloop.adapters.local.files import sync_folder, writing
from tickloop.adapters.local.journal_rows import read_lines
from tickloop.adapters.local.removed_hours import RemovedHours
from tickloop.adapters.local.segments import HOUR_NS, list_segments
from tickloop.domain.window import HOUR_MS, Window
from tickloop.ports import Contents, OldSegment

_CHUNK_BYTES = 4_000_000

Delivered = Callable[[], Mapping[str, int] | None]
"""Gives segment -> offset up to which a shipper has delivered; None where it never ran."""


class JournalKeeper:
    """Implements `ports.SegmentKeeper`.

    Args:
        shippers: those that may deliver this journal. A segment is delivered when one of them is at its end.
    """

    def __init__(self, folder: Path, shippers: Sequence[Delivered] = ()) -> None:
        self._folder = folder
        self._removed = RemovedHours(folder)
        found = (ask() for ask in shippers)
        self._delivered = [offsets for offsets in found if offsets is not None]

    def segments(self) -> list[OldSegment]:
        found = list_segments(self._folder)
        newest = {one.writer: one.path for one in found}
        return [
            OldSegment(
                name=one.path.name,
                end_ms=(one.start_ns // HOUR_NS + 1) * HOUR_MS,
                size=one.path.stat().st_size,
                is_newest=newest[one.writer] == one.path,
            )
            for one in found
        ]

    def contents(self, name: str) -> Contents:
        trades: dict[tuple[str, Window], set[int]] = defaultdict(set)
        dead = 0
        for data, offset in _whole_lines(self._folder / name):
            by_market, unreadable = read_lines(data, name, offset)
            dead += len(unreadable)
            for market, rows in by_market.items():
                hours = rows["ts_event"] // HOUR_MS
                for hour in np.unique(hours).tolist():
                    window = Window(hour * HOUR_MS, (hour + 1) * HOUR_MS)
                    trades[market, window].update(rows["trade_id"][hours == hour].tolist())
        return Contents(dict(trades), dead)

    def is_delivered(self, name: str) -> bool | None:
        if not self._delivered:
            return None
        end = _end_of_whole_lines(self._folder / name)
        return any(offsets.get(name, 0) >= end for offsets in self._delivered)

    def remove(self, name: str, hours: Collection[Window]) -> None:
        with writing(self._folder):
            self._removed.add(hours)  # first: a crash in between must not leave an hour that looks whole
            (self._folder / name).unlink(missing_ok=True)
            sync_folder(self._folder)


def _whole_lines(path: Path) -> Iterator[tuple[bytes, int]]:
    """Yield the whole lines of a segment in parts of some megabytes, each with its offset."""
    offset, rest = 0, b""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            data = rest + chunk
            cut = data.rfind(b"\n") + 1
            if cut:
                yield data[:cut], offset
            offset, rest = offset + cut, data[cut:]


def _end_of_whole_lines(path: Path) -> int:
    """Give the offset behind the last line break: an unterminated last line does not exist."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - _CHUNK_BYTES)
            file.seek(start)
            cut = file.read(end - start).rfind(b"\n")
            if cut >= 0:
                return start + cut + 1
            end = start
    return 0
