"""The bot's own record: one JSON line per order event, on disk before anything is sent."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import msgspec

from tickloop.adapters.local.files import not_writable, sync_folder, try_lock
from tickloop.domain.orders import OrderEvent, OrderState
from tickloop.errors import DataError, HomeBusyError, HomeNotWritableError

_TORN = b"# torn: "


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
            raise not_writable(self._path, exc.strerror or str(exc)) from exc
        if not try_lock(self._descriptor):
            os.close(self._descriptor)
            raise HomeBusyError(f"bot folder {folder} is in use by another bot; give this one another name")
        try:
            self._end_torn_line()
            sync_folder(folder)  # a new file's name must survive a power cut too
        except OSError as exc:
            os.close(self._descriptor)
            raise not_writable(self._path, exc.strerror or str(exc)) from exc

    def append(self, event: OrderEvent) -> None:
        """Write one event and wait until the disk has it."""
        line = msgspec.json.encode(event) + b"\n"
        try:
            self._end_torn_line()  # of an append that the disk refused in the middle
            self._write(line)
        except OSError as exc:
            fate = "; it was not sent" if event.state is OrderState.INTENT else "; the next start asks for it again"
            raise HomeNotWritableError(
                f"order log {self._path} did not take that {event.client_order_id} is {event.state.value}:"
                f" {exc.strerror}{fate}"
            ) from exc

    def read(self) -> list[OrderEvent]:
        """Give all events, oldest first.

        Raises:
            DataError: naming the line that is no event: money is at stake, so nothing is skipped.
        """
        events = []
        for number, line in enumerate(self._path.read_bytes().split(b"\n")[:-1], start=1):
            if not line or line.startswith(_TORN):
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
        self._write(_TORN + data[start:] + b"\n")

    def _write(self, line: bytes) -> None:
        if os.write(self._descriptor, line) != len(line):
            raise OSError(errno.ENOSPC, "the disk took only a part of the line")
        os.fdatasync(self._descriptor)
