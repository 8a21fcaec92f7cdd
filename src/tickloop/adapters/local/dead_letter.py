"""Files of what could not be read: the bytes, where they came from, and why. Only ever added to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from tickloop.adapters.local.files import append_whole, file_lock
from tickloop.domain.window import HOUR_MS

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


class DeadAllowance:
    """How many bytes of refused frames are kept: a stream of nothing but damage must not fill the disk.

    Args:
        most_bytes: in any one hour of market time; frames beyond are counted in `left_out` and not kept.
    """

    def __init__(self, most_bytes: int = 64_000_000) -> None:
        self._most_bytes = most_bytes
        self._hour = -1
        self._bytes = 0
        self.left_out = 0

    def allows(self, size: int, at_ms: int) -> bool:
        """Tell whether a frame of this size is kept, and count it."""
        if self._hour != at_ms // HOUR_MS:
            self._hour, self._bytes = at_ms // HOUR_MS, 0
        self._bytes += size
        if self._bytes <= self._most_bytes:
            return True
        self.left_out += 1
        return False


class DeadLetter:
    """One file of dead lines."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, lines: Sequence[DeadLine]) -> None:
        """Append and sync all of them or none.

        Raises:
            DiskFullError: there is no room; the same lines may be added again when there is.
            HomeNotWritableError: the folder is read-only.
        """
        if not lines:
            return
        append_whole(self._path, b"".join(msgspec.json.encode(line) + b"\n" for line in lines))

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
