"""The gaps that wait for their repair, in one small file that is there whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from tickloop.adapters.local.files import write_whole
from tickloop.domain.gaps import Gap


class FileGapLog:
    """Implements `ports.GapLog`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> list[Gap]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=list[Gap])
        except (FileNotFoundError, msgspec.MsgspecError):
            return []  # the hourly verify finds what a damaged file forgot

    def save(self, gaps: Sequence[Gap]) -> None:
        write_whole(self._path, msgspec.json.encode(list(gaps)))
