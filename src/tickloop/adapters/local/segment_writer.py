"""Lines into segments: a new one each hour, at its size, and where a full disk cut a line off."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Protocol

from tickloop.adapters.local.segments import HOUR_NS, OpenSegment
from tickloop.errors import DiskFullError

_LINES_AT_ONCE = 1_000
"""Lines joined for one write: a copy of all that waits would be as large as the queue."""


class MakeSegment(Protocol):
    def __call__(self, folder: Path, writer: str, start_ns: int, /) -> OpenSegment: ...


class SegmentWriter:
    """Writes and syncs lines in order, each once; used by one thread.

    When there is no room, the lines that the disk took whole stand; a line of which it took a part is left as the
    unterminated end of its segment, which readers do not see, and goes with all others to a new segment later. When
    even the sync is refused, all lines of that write go to the new segment, so some may stand in both, alike.

    Attributes:
        waiting_bytes: size of the lines that wait for room.
        synced_lines: lines that would survive a loss of power.
        synced_arrival: the `arrival` of the newest of them, -1 without any.
    """

    def __init__(self, folder: Path, name: str, segment_bytes: int, make_segment: MakeSegment = OpenSegment) -> None:
        self._folder = folder
        self._name = name
        self._segment_bytes = segment_bytes
        self._make_segment = make_segment
        self._segment: OpenSegment | None = None
        self._waiting: list[bytes] = []
        self._arrivals: list[int] = []  # of those that wait
        self._done = 0
        self.waiting_bytes = 0
        self.synced_lines = 0
        self.synced_arrival = -1

    @property
    def waiting_lines(self) -> int:
        return len(self._waiting)

    def start(self, start_ns: int) -> None:
        """Begin a segment."""
        self._segment = self._make_segment(self._folder, self._name, start_ns)

    def add(self, arrivals: Iterable[int], lines: Sequence[bytes]) -> None:
        """Take lines, each with its `arrival`, for the next `flush`."""
        self._waiting += lines
        self._arrivals += arrivals
        self.waiting_bytes += sum(map(len, lines))

    def flush(self) -> None:
        """Write and sync all that waits.

        Raises:
            DiskFullError: there is no room for the rest; it still waits.
            OSError: the disk is broken.
        """
        try:
            while self._done < len(self._waiting):
                self._put(self._segment_for(self._arrivals[self._done], self._waiting[self._done]))
        finally:
            if self._done:
                self.synced_arrival = self._arrivals[self._done - 1]
            self.waiting_bytes -= sum(map(len, self._waiting[: self._done]))
            del self._waiting[: self._done], self._arrivals[: self._done]
            self.synced_lines += self._done
            self._done = 0

    def close(self) -> None:
        if self._segment is not None:
            self._segment.close()
            self._segment = None

    def _put(self, segment: OpenSegment) -> None:
        batch = self._batch(segment)
        before = segment.size
        try:
            for at in range(0, len(batch), _LINES_AT_ONCE):
                segment.write(b"".join(batch[at : at + _LINES_AT_ONCE]))
            segment.sync()
        except DiskFullError:
            self._done += self._keep_whole(segment, batch, segment.size - before)
            raise
        self._done += len(batch)

    def _keep_whole(self, segment: OpenSegment, batch: list[bytes], written: int) -> int:
        """Sync the lines that were taken whole and give their number; no line may follow one that was cut off."""
        if segment.size == 0:
            return 0  # nothing was cut off: it can be used once there is room
        try:
            segment.sync()
        finally:
            self.close()
        return sum(end <= written for end in accumulate(map(len, batch)))

    def _batch(self, segment: OpenSegment) -> list[bytes]:
        """Give the waiting lines that belong to a segment: of its hour, up to its size, at least one."""
        # Arrivals rise, so the last of the hour tells of all before it.
        last = bisect_left(self._arrivals, (segment.hour + 1) * HOUR_NS, self._done)
        batch = self._waiting[self._done : last]
        if segment.size + self.waiting_bytes <= self._segment_bytes:
            return batch
        ends = list(accumulate(map(len, batch), initial=segment.size))[1:]
        fitting = bisect_right(ends, self._segment_bytes)
        return batch[: fitting if segment.size else max(fitting, 1)]

    def _segment_for(self, arrival: int, line: bytes) -> OpenSegment:
        segment = self._segment
        if segment is not None:
            is_over = segment.size > 0 and segment.size + len(line) > self._segment_bytes
            if not is_over and arrival // HOUR_NS == segment.hour:
                return segment
        fresh = self._make_segment(self._folder, self._name, arrival)
        self.close()
        self._segment = fresh
        return fresh
