"""Segments of a journal: files that only grow, named so that their names sort by the market time of their start."""

from __future__ import annotations

import os
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from operator import attrgetter
from pathlib import Path

from tickloop.adapters.local.files import sync_folder, write_all, writing
from tickloop.domain.window import HOUR_MS

HOUR_NS = HOUR_MS * 1_000_000
_SECOND_NS = 1_000_000_000
_TAIL_BYTES = 256 * 1024

_NAME = re.compile(r"^(\d{8}T\d{6})-([A-Za-z0-9_.-]+)-(\d{9})([0-9a-f]{6})\.jsonl$")
_ORDER = attrgetter("start_ns", "writer", "path.name")
_ARRIVAL = re.compile(rb'"arrival":(\d{1,19})[,}]')


@dataclass(frozen=True)
class SegmentFile:
    """A segment as its name tells of it; its start is the `arrival` of its first line."""

    start_ns: int
    writer: str
    path: Path


class OpenSegment:
    """A new segment under the pen. Its name is unique, so no line is ever added to an older file."""

    def __init__(self, folder: Path, writer: str, start_ns: int) -> None:
        start = datetime.fromtimestamp(start_ns // _SECOND_NS, UTC)
        unique = f"{start_ns % _SECOND_NS:09d}{secrets.token_hex(3)}"
        self.path = folder / f"{start:%Y%m%dT%H%M%S}-{writer}-{unique}.jsonl"
        self.hour = start_ns // HOUR_NS
        self.size = 0
        with writing(self.path):
            folder.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
            self._descriptor = os.open(self.path, flags, 0o644)
            sync_folder(folder)

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes; `DiskFullError` when there is no room: what the disk took stays, and `size` counts it."""
        try:
            with writing(self.path):
                write_all(self._descriptor, data)
        finally:
            self.size = os.fstat(self._descriptor).st_size

    def sync(self) -> None:
        with writing(self.path):
            os.fdatasync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


def list_segments(folder: Path) -> list[SegmentFile]:
    """Give the segments of a journal by start; none when the folder is not there yet."""
    if not folder.is_dir():
        return []
    found = (_segment_of(folder, name) for name in os.listdir(folder))  # noqa: PTH208 (a Path each takes longer)
    return sorted((one for one in found if one is not None), key=_ORDER)


def last_arrival(folder: Path, writer: str) -> int:
    """Give the `arrival` of the last line that a writer wrote, -1 when it wrote none."""
    own = [segment for segment in list_segments(folder) if segment.writer == writer]
    for segment in reversed(own):
        found = _last_arrival_in(segment.path)
        if found is not None:
            return found
    return -1


def read_tail(folder: Path, writer: str, most_bytes: int = _TAIL_BYTES) -> bytes:
    """Give the whole lines at the end of what a writer wrote, oldest first, about `most_bytes` of them."""
    parts: list[bytes] = []
    left = most_bytes
    for segment in reversed([one for one in list_segments(folder) if one.writer == writer]):
        if left <= 0:
            break
        part = _last_lines(segment.path, left)
        parts.append(part)
        left -= len(part)
    return b"".join(reversed(parts))


def _last_lines(path: Path, most_bytes: int) -> bytes:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - most_bytes))
        data = file.read(most_bytes)
    start = data.find(b"\n") + 1 if size > most_bytes else 0
    return data[start : data.rfind(b"\n") + 1]


@lru_cache(maxsize=16_384)  # each reading lists all of them
def _segment_of(folder: Path, name: str) -> SegmentFile | None:
    match = _NAME.match(name)
    if match is None:
        return None
    second, writer, fraction, _ = match.groups()
    start = datetime.strptime(second, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    return SegmentFile(int(start.timestamp()) * _SECOND_NS + int(fraction), writer, folder / name)


def _last_arrival_in(path: Path) -> int | None:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        for length in (_TAIL_BYTES, size):
            file.seek(max(0, size - length))
            tail = file.read(length)
            found = _ARRIVAL.findall(tail, 0, tail.rfind(b"\n") + 1)
            if found:
                return int(found[-1])
    return None
