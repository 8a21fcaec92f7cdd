"""One small file per process that says what it is doing; `tickloop status` and the demo read them."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from tickloop.adapters.local.files import writing
from tickloop.errors import DiskFullError


class StatusFile(msgspec.Struct, frozen=True):
    """What one process says of itself.

    Attributes:
        name: collector, shipper, pipeline, api, dashboard, bot or simulator.
        pid: its process id.
        state: starting | working | ready | blocked (until there is room on the disk, or a server is back) | failed |
            stopped.
        message: one line for a person.
        detail: figures, by name.
        written_at: real time, epoch seconds.
    """

    name: str
    pid: int
    state: str
    message: str
    detail: dict[str, Any]
    written_at: float


class StatusBoard:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, name: str, state: str, message: str = "", **detail: Any) -> None:
        """Replace what a process says; on a full disk over the room of what it said before, or not at all.

        Raises:
            HomeNotWritableError: the folder is read-only.
        """
        status = msgspec.json.encode(StatusFile(name, os.getpid(), state, message, detail, time.time()))
        path = self._folder / f"{name}.json"
        part = self._folder / f".{name}.{os.getpid()}.part"
        try:
            with writing(part):
                self._folder.mkdir(parents=True, exist_ok=True)
                part.write_bytes(status)
                part.replace(path)
        except DiskFullError:
            _write_over(path, status)

    def read(self, name: str) -> StatusFile | None:
        """Give the last status of a process, or None when it wrote none, or none that can be read."""
        try:
            return msgspec.json.decode((self._folder / f"{name}.json").read_bytes(), type=StatusFile)
        except (FileNotFoundError, msgspec.MsgspecError):
            return None

    def read_all(self) -> list[StatusFile]:
        names = sorted(path.stem for path in self._folder.glob("*.json")) if self._folder.is_dir() else []
        return [status for name in names if (status := self.read(name)) is not None]

    def remove(self, name: str) -> None:
        """Forget what a process said in an earlier life."""
        (self._folder / f"{name}.json").unlink(missing_ok=True)

    def clear(self) -> None:
        for status in self.read_all():
            self.remove(status.name)


def _write_over(path: Path, status: bytes) -> None:
    """Write into the room that a file has already; blanks after JSON mean nothing."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY)
        try:
            os.pwrite(descriptor, status.ljust(os.fstat(descriptor).st_size), 0)
        finally:
            os.close(descriptor)
