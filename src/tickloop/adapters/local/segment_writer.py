"""Lines into segments: a new one each hour, at its size, and where a full disk cut a line off."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tickloop.adapters.local.segments import HOUR_NS, OpenSegment
from tickloop.errors import DiskFullError

_BYTES_AT_ONCE = 64_000
"""Small blocks are joined up to here for one write; larger ones are written as they are."""


class Lines:
    """Lines that were made together, one after the other in one text; their `arrival` rises by one a line.

    Args:
        first: `arrival` of the first line.
        text: the lines.
        ends: position in the text after each line, int64.
    """

    __slots__ = ("ends", "first", "text")

    def __init__(self, first: int, text: bytes | memoryview, ends: NDArray[np.int64]) -> None:
        self.first = first
        self.text = text
        self.ends = ends

    @classmethod
    def of(cls, first: int, lines: Iterable[bytes]) -> Lines:
        parts = list(lines)
        return cls(first, b"".join(parts), np.fromiter(accumulate(map(len, parts)), np.int64, len(parts)))

    def __len__(self) -> int:
        return len(self.ends)

    def split(self, count: int) -> tuple[Lines, Lines]:
        """Give the first lines and the others."""
        cut = int(self.ends[count - 1]) if count else 0
        return (
            Lines(self.first, self.text[:cut], self.ends[:count]),
            Lines(self.first + count, self.text[cut:], self.ends[count:] - cut),
        )


class MakeSegment(Protocol):
    def __call__(self, folder: Path, writer: str, start_ns: int, /) -> OpenSegment: ...


class SegmentWriter:
    """Writes and syncs lines in order, each once; used by one thread.

    When there is no room, the lines that the disk took whole stand; a line of which it took a part is left as the
    unterminated end of its segment, which readers do not see, and goes with all others to a new segment later. When
    even the sync is refused, all lines of that write go to the new segment, so some may stand in both, alike.

    Attributes:
        waiting_lines, waiting_bytes: number and size of the lines that wait for room.
        synced_lines: lines that would survive a loss of power.
        synced_arrival: the `arrival` of the newest of them, -1 without any.
    """

    def __init__(self, folder: Path, name: str, segment_bytes: int, make_segment: MakeSegment = OpenSegment) -> None:
        self._folder = folder
        self._name = name
        self._segment_bytes = segment_bytes
        self._make_segment = make_segment
        self._segment: OpenSegment | None = None
        self._waiting: deque[Lines] = deque()
        self.waiting_lines = 0
        self.waiting_bytes = 0
        self.synced_lines = 0
        self.synced_arrival = -1

    def start(self, start_ns: int) -> None:
        """Begin a segment."""
        self._segment = self._make_segment(self._folder, self._name, start_ns)

    def add(self, lines: Lines) -> None:
        """Take lines for the next `flush`; their `arrival` is larger than that of all before."""
        if len(lines):
            self._waiting.append(lines)
            self.waiting_lines += len(lines)
            self.waiting_bytes += len(lines.text)

    def flush(self) -> None:
        """Write and sync all that waits.

        Raises:
            DiskFullError: there is no room for the rest; it still waits.
            OSError: the disk is broken.
        """
        while self._waiting:
            self._put(self._segment_for(self._waiting[0]))

    def close(self) -> None:
        if self._segment is not None:
            self._segment.close()
            self._segment = None

    def _put(self, segment: OpenSegment) -> None:
        batch = self._batch(segment)
        before = segment.size
        try:
            for text in _joined(batch):
                segment.write(text)
            segment.sync()
        except DiskFullError:
            self._drop(self._keep_whole(segment, batch, segment.size - before))
            raise
        self._drop(sum(map(len, batch)))

    def _keep_whole(self, segment: OpenSegment, batch: list[Lines], written: int) -> int:
        """Sync the lines that were taken whole and give their number; no line may follow one that was cut off."""
        if segment.size == 0:
            return 0  # nothing was cut off: it can be used once there is room
        try:
            segment.sync()
        finally:
            self.close()
        return _fitting(batch, written)

    def _drop(self, count: int) -> None:
        """Let go of as many lines: they are synced."""
        self.synced_lines += count
        self.waiting_lines -= count
        while count:
            done = self._waiting.popleft()
            if count < len(done):
                done, left = done.split(count)
                self._waiting.appendleft(left)
            count -= len(done)
            self.waiting_bytes -= len(done.text)
            self.synced_arrival = done.first + len(done) - 1

    def _batch(self, segment: OpenSegment) -> list[Lines]:
        """Give the waiting lines that belong to a segment: of its hour, up to its size, at least one."""
        hour_end = (segment.hour + 1) * HOUR_NS
        batch = []
        for lines in self._waiting:
            if lines.first + len(lines) > hour_end:
                inside = max(hour_end - lines.first, 0)
                batch += [lines.split(inside)[0]] if inside else []
                break
            batch.append(lines)
        room = self._segment_bytes - segment.size
        if sum(len(lines.text) for lines in batch) <= room:
            return batch
        return _first(batch, max(_fitting(batch, room), 0 if segment.size else 1))

    def _segment_for(self, lines: Lines) -> OpenSegment:
        segment = self._segment
        if segment is not None:
            is_over = segment.size > 0 and segment.size + int(lines.ends[0]) > self._segment_bytes
            if not is_over and lines.first // HOUR_NS == segment.hour:
                return segment
        fresh = self._make_segment(self._folder, self._name, lines.first)
        self.close()
        self._segment = fresh
        return fresh


def _fitting(batch: list[Lines], size: int) -> int:
    """Give how many lines, from the first on, take no more than `size` bytes."""
    count = 0
    for lines in batch:
        count += int(np.searchsorted(lines.ends, size, "right"))
        size -= len(lines.text)
        if size < 0:
            break
    return count


def _first(batch: list[Lines], count: int) -> list[Lines]:
    taken = []
    for lines in batch:
        if count <= 0:
            break
        taken.append(lines.split(count)[0] if count < len(lines) else lines)
        count -= len(lines)
    return taken


def _joined(batch: list[Lines]) -> Iterator[bytes | memoryview]:
    """Yield the texts, small ones together."""
    parts: list[bytes | memoryview] = []
    size = 0
    for lines in batch:
        if size and size + len(lines.text) > _BYTES_AT_ONCE:
            yield parts[0] if len(parts) == 1 else b"".join(parts)
            parts, size = [], 0
        parts.append(lines.text)
        size += len(lines.text)
    yield parts[0] if len(parts) == 1 else b"".join(parts)
