"""The bot's own record: one JSON line per order event, on disk before anything is sent."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import msgspec

from tickloop.domain.orders import OrderEvent
from tickloop.errors import DataError, HomeBusyError, HomeNotWritableError


class FileOrderLog:
    """Append-only `orders.jsonl` in the bot's folder, held by one bot at a time.

    A line counts once its newline is there: a crash in the middle of a write leaves a tail that no reader takes and
    that the next append begins after.
    """

    def __init__(self, folder: Path) -> None:
        """Open and hold the log.

        Raises:
            HomeBusyError: another bot holds the folder.
            HomeNotWritableError: it cannot be written.
        """
        self._path = folder / "orders.jsonl"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise HomeNotWritableError(f"order log {self._path} cannot be written: {exc.strerror}") from exc
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            os.close(self._descriptor)
            raise HomeBusyError(f"bot folder {folder} is in use by another bot; give this one another name") from exc
        self._end_torn_line()

    def append(self, event: OrderEvent) -> None:
        """Write one event and wait until the disk has it."""
        line = msgspec.json.encode(event) + b"\n"
        try:
            written = os.write(self._descriptor, line)
            if written != len(line):
                raise OSError(28, "the disk took only a part of the line")
            os.fdatasync(self._descriptor)
        except OSError as exc:
            raise HomeNotWritableError(
                f"order log {self._path} did not take order {event.client_order_id}: {exc.strerror}; it was not sent"
            ) from exc

    def read(self) -> list[OrderEvent]:
        """Give all events, oldest first.

        Raises:
            DataError: naming the line that is no event: money is at stake, so nothing is skipped.
        """
        events = []
        for number, line in enumerate(self._path.read_bytes().split(b"\n")[:-1], start=1):
            if not line:
                continue
            if line.startswith(_TORN):
                continue
            try:
                events.append(msgspec.json.decode(line, type=OrderEvent))
            except msgspec.MsgspecError as exc:
                raise DataError(f"order log {self._path} line {number} is no order event: {exc}") from exc
        return events

    def close(self) -> None:
        os.close(self._descriptor)

    def _end_torn_line(self) -> None:
        size = os.fstat(self._descriptor).st_size
        if size == 0 or os.pread(self._descriptor, 1, size - 1) == b"\n":
            return
        data = self._path.read_bytes()
        start = data.rfind(b"\n") + 1
        # The torn event was never acted on: its write had not returned. It stays readable for a person.
        os.ftruncate(self._descriptor, start)
        os.write(self._descriptor, _TORN + data[start:].replace(b"\n", b" ") + b"\n")
        os.fdatasync(self._descriptor)


_TORN = b"# torn: "
