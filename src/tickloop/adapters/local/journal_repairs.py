"""Repairs into the journal: trades fetched from REST, appended to segments of their own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tickloop.adapters.common.stored_line import repair_line
from tickloop.adapters.local.files import file_lock, write_all, writing
from tickloop.adapters.local.segments import HOUR_NS, OpenSegment, last_arrival, list_segments
from tickloop.domain.market import Trade
from tickloop.ports import Clock

REPAIR_WRITER = "repair"

MOST_BYTES = 64_000_000
"""Of one segment, as for the collector's."""

_LOCK_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class _Own:
    """The segment that this process wrote last: as it left it, and the `arrival` of its last line."""

    path: Path
    size: int
    arrival: int


class RepairWriter:
    """Writes repairs; several processes, and threads, may do so at once.

    All of them share one sequence of `arrival` under a lock, so that an earlier segment is over when a later one
    begins. A process goes on with its own segment as long as that is the newest, is as it was left, and is of the
    same hour: thousands of small repairs must not become thousands of files, each to be looked at by every reading.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._own: _Own | None = None  # only looked at while the lock is held

    def append(self, trades: Sequence[Trade]) -> int:
        """Append trades in exchange order and sync them; give the number of lines.

        Raises:
            DiskFullError: there is no room; what the disk took whole stands, and may be appended again.
            HomeNotWritableError: the folder is read-only.
            OperatorError: another process held the lock for half a minute.
        """
        if not trades:
            return 0
        with file_lock(self._folder / f".{REPAIR_WRITER}.lock", _LOCK_TIMEOUT_S):
            own, self._own = self._newest_own(), None  # what fails leaves a segment that nothing more is added to
            last = last_arrival(self._folder, REPAIR_WRITER) if own is None else own.arrival
            now_ns = self._clock.now_ns()
            first = max(last + 1, now_ns)
            lines = b"".join(repair_line(trade, now_ns, first + number) for number, trade in enumerate(trades))
            if own is not None and own.arrival // HOUR_NS == first // HOUR_NS and own.size + len(lines) <= MOST_BYTES:
                _add(own.path, lines)
                path, size = own.path, own.size + len(lines)
            else:
                path, size = self._begin(first, lines)
            self._own = _Own(path, size, first + len(trades) - 1)
        return len(trades)

    def _newest_own(self) -> _Own | None:
        """Give our own segment if nobody has written a repair since, and no end of it was torn off."""
        own = self._own
        if own is None or not own.path.exists() or own.path.stat().st_size != own.size:
            return None
        newest = [segment for segment in list_segments(self._folder) if segment.writer == REPAIR_WRITER][-1:]
        return own if newest and newest[0].path == own.path else None

    def _begin(self, first: int, lines: bytes) -> tuple[Path, int]:
        segment = OpenSegment(self._folder, REPAIR_WRITER, first)
        try:
            segment.write(lines)
            segment.sync()
        finally:
            segment.close()
        return segment.path, segment.size


def _add(path: Path, lines: bytes) -> None:
    with writing(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            write_all(descriptor, lines)
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
