"""Files of what could not be read: the bytes, where they came from, and why. Only ever added to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tickloop.adapters.local.files import file_lock, writing

_LOCK_TIMEOUT_S = 10.0


class DeadLine(msgspec.Struct, frozen=True):
    """One refused line or frame.

    Attributes:
        origin: name of the segment, or `feed` for a frame that never became a line.
        position: offset in the segment, or time of receipt (ns) of a frame.
        reason: why it was refused.
        content: its bytes, written as base64.
    """

    origin: str
    position: int
    reason: str
    content: bytes


class DeadLetter:
    """One file of dead lines."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, lines: Sequence[DeadLine]) -> None:
        """Append and sync.

        Raises:
            HomeNotWritableError: the folder is read-only or full.
        """
        if not lines:
            return
        data = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
        with writing(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab+") as file:
                file.write(b"\n" * _is_torn(self._path) + data)
                file.flush()
                os.fdatasync(file.fileno())

    def add_new(self, lines: Sequence[DeadLine]) -> int:
        """Append those whose origin and position are not there yet; give their number. Safe across processes."""
        with file_lock(self._path.with_suffix(".lock"), _LOCK_TIMEOUT_S):
            known = {(line.origin, line.position) for line in self.read()}
            new = [line for line in lines if (line.origin, line.position) not in known]
            self.add(new)
        return len(new)

    def read(self) -> list[DeadLine]:
        """Give all whole lines, oldest first; none when the file is not there."""
        if not self._path.is_file():
            return []
        *whole, _torn = self._path.read_bytes().split(b"\n")
        return [line for text in whole if (line := _decoded(text)) is not None]


def _decoded(text: bytes) -> DeadLine | None:
    try:
        return msgspec.json.decode(text, type=DeadLine)
    except msgspec.MsgspecError:
        return None  # the torn end of a write that was cut off, closed by the next one


def _is_torn(path: Path) -> bool:
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"
