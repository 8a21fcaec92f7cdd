"""Lines into segments: a new one each hour, at its size, and where a full disk cut a line off."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate
from pathlib import Path
from typing import Protocol

from tickloop.adapters.local.segments import HOUR_NS, OpenSegment
from tickloop.errors import DiskFullError


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
        self._waiting: list[tuple[int, bytes]] = []
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

    def add(self, lines: Iterable[tuple[int, bytes]]) -> None:
        """Take lines, each with its `arrival`, for the next `flush`."""
        before = len(self._waiting)
        self._waiting.extend(lines)
        self.waiting_bytes += sum(len(line) for _, line in self._waiting[before:])

    def flush(self) -> None:
        """Write and sync all that waits.

        Raises:
            DiskFullError: there is no room for the rest; it still waits.
            OSError: the disk is broken.
        """
        try:
            while self._done < len(self._waiting):
                self._put(self._segment_for(*self._waiting[self._done]))
        finally:
            if self._done:
                self.synced_arrival = self._waiting[self._done - 1][0]
            self.waiting_bytes -= sum(len(line) for _, line in self._waiting[: self._done])
            del self._waiting[: self._done]
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
            segment.write(b"".join(batch))
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
        batch: list[bytes] = []
        size = segment.size
        for place in range(self._done, len(self._waiting)):
            arrival, line = self._waiting[place]
            if arrival // HOUR_NS != segment.hour or (size > 0 and size + len(line) > self._segment_bytes):
                break
            batch.append(line)
            size += len(line)
        return batch

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
