"""The hours of which the janitor has removed segments: the journal must not be taken for the whole of them again."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from tickloop.adapters.local.files import write_whole
from tickloop.domain.window import HOUR_MS, Window
from tickloop.errors import DataError

FILE = "removed.json"


class RemovedHours:
    """One small file beside the segments: starts of hours, epoch ms."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE

    def load(self) -> set[int]:
        """Give the starts; none where nothing was removed.

        Raises:
            DataError: the file is damaged.
        """
        try:
            return set(msgspec.json.decode(self._path.read_bytes(), type=list[int]))
        except FileNotFoundError:
            return set()
        except msgspec.MsgspecError as exc:
            raise DataError(
                f"{self._path} cannot be read: {exc}; valid: a list of hours, epoch ms, or no file"
            ) from exc

    def add(self, hours: Iterable[Window]) -> None:
        """Remember more hours, durably."""
        known = self.load()
        more = {hour.start_ms for hour in hours} - known
        if more:
            write_whole(self._path, msgspec.json.encode(sorted(known | more)))

    def check(self, window: Window) -> None:
        """Pass a window of which nothing was removed.

        Raises:
            DataError: names its first hour that is not whole any more.
        """
        gone = sorted(start for start in self.load() if start in window)
        if gone:
            hour = Window(gone[0], gone[0] + HOUR_MS)
            raise DataError(
                f"the journal does not hold hour {hour} any more: the janitor removed segments of it; what they held is"
                " in lake and warehouse; valid: steps from load on, or a later hour"
            )
