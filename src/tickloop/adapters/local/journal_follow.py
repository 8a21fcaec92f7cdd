"""The journal read on as it grows: all segments of all writers, each line once it is whole."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path

import structlog

from tickloop.adapters.local.segments import SegmentFile, list_segments
from tickloop.adapters.local.ship_positions import ShipPositions
from tickloop.ports import LineBatch, Place

MOST_BYTES = 5_000_000
"""Of one batch: what the search index takes best in one request."""

MOST_LINES = 10_000


class JournalFollower:
    """Implements `ports.LineSource` on a folder of segments. Used by one thread.

    An unterminated last line does not exist: it waits for its line break. In a segment that is over, because its writer
    has begun a newer one, it will never get one, and is passed over with a message.

    Args:
        most_bytes: of one batch; a longer line is a batch of its own.
    """

    def __init__(
        self, folder: Path, positions: ShipPositions, most_bytes: int = MOST_BYTES, most_lines: int = MOST_LINES
    ) -> None:
        self._folder = folder
        self._positions = positions
        self._most_bytes = most_bytes
        self._most_lines = most_lines
        self._offsets = positions.load()
        self._sizes: dict[str, int] = {}  # as last seen
        self._done: set[str] = set()  # read to their end, and over
        self._is_unsaved = False
        self._log = structlog.get_logger(adapter="ship")
        self.behind_bytes = 0

    def next_batch(self) -> LineBatch:
        reading = _Reading(self._most_bytes, self._most_lines)
        behind = 0
        for segment, offset, size, is_over in self._waiting():
            name = segment.path.name
            try:
                if not reading.is_full and reading.take(segment.path, offset, size) and is_over:
                    self._pass_over(name, offset, size)
            except FileNotFoundError:
                self._forget(name)
                continue
            # An unterminated end is not behind: nobody may deliver it.
            behind += (size if reading.is_full else reading.ends.get(name, offset)) - offset
        self.behind_bytes = behind
        if self._is_unsaved and not reading.lines:
            self._save({})
        return LineBatch(reading.lines, reading.places, reading.ends, reading.is_full)

    def advance(self, batch: LineBatch) -> None:
        self._save(batch.ends)

    def _save(self, ends: Mapping[str, int]) -> None:
        offsets = {**self._offsets, **ends}
        self._positions.save(offsets)
        self._offsets, self._is_unsaved = offsets, False

    def _waiting(self) -> list[tuple[SegmentFile, int, int, bool]]:
        """Give the segments with more to read, each with our offset, its size and whether it is over."""
        segments = list_segments(self._folder)
        for name in self._offsets.keys() - {segment.path.name for segment in segments}:
            self._forget(name)
        # Listed before the sizes are taken: once a newer one is there, nothing is added to the older ones.
        newest = {segment.writer: segment.path.name for segment in segments}
        found: list[tuple[SegmentFile, int, int, bool]] = []
        for segment in segments:
            name = segment.path.name
            if name in self._done:
                continue
            size = self._size_of(segment.path)
            offset = self._offset_in(name, size)
            is_over = newest[segment.writer] != name
            if offset < size:
                found.append((segment, offset, size, is_over))
            elif is_over:
                self._done.add(name)
        return found

    def _size_of(self, path: Path) -> int:
        try:
            size = self._sizes[path.name] = path.stat().st_size
        except FileNotFoundError:
            self._forget(path.name)
            return 0
        return size

    def _offset_in(self, name: str, size: int) -> int:
        offset = self._offsets.get(name, 0)
        if offset <= size:
            return offset
        # A loss of power took lines that were read before they were synced; what followed them stands elsewhere.
        self._log.warning(
            "position lies beyond the end; the segment is delivered again", segment=name, position=offset, size=size
        )
        self._offsets[name] = 0
        return 0

    def _forget(self, name: str) -> None:
        """Drop a segment that is gone: the janitor removes those that are delivered."""
        offset, size = self._offsets.pop(name, 0), self._sizes.pop(name, 0)
        self._done.discard(name)
        self._is_unsaved = True
        if size > offset:
            self._log.error("segment is gone before it was delivered", segment=name, bytes=size - offset)

    def _pass_over(self, name: str, offset: int, size: int) -> None:
        self._log.warning(
            "segment ends in an unterminated line: it was cut off before it counted", segment=name, bytes=size - offset
        )
        self._offsets[name] = size
        self._is_unsaved = True


class _Reading:
    """What one look takes, within its limits."""

    def __init__(self, most_bytes: int, most_lines: int) -> None:
        self._bytes_left = most_bytes
        self._most_lines = most_lines
        self.lines: list[bytes] = []
        self.places: list[Place] = []
        self.ends: dict[str, int] = {}
        self.is_full = False

    def take(self, path: Path, offset: int, size: int) -> bool:
        """Take whole lines from an offset up to a size; tell whether what stands there is no whole line."""
        data, is_all = self._read(path, offset, size)
        texts = data.split(b"\n")[:-1]
        lines = [text + b"\n" for text in texts[: self._most_lines - len(self.lines)]]
        starts = list(accumulate(map(len, lines), initial=offset))
        self.lines += lines
        self.places += [Place(path.name, start) for start in starts[:-1]]
        if lines:
            self.ends[path.name] = starts[-1]
        self._bytes_left -= starts[-1] - offset
        self.is_full = not is_all or len(lines) < len(texts)
        return not lines and not self.is_full

    def _read(self, path: Path, offset: int, size: int) -> tuple[bytes, bool]:
        """Read as much as there is allowance for, or one line that is longer; tell whether that was all there is."""
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(min(size - offset, max(self._bytes_left, 0)))
            while not self.lines and b"\n" not in data and len(data) < size - offset:
                data += file.read(min(size - offset - len(data), max(len(data), 1)))
        return data, len(data) == size - offset
