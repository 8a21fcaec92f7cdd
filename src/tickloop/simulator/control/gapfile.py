"""Gaps that were ordered while the simulator ran: a killed one goes on with them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tickloop.errors import DataError, HomeNotWritableError
from tickloop.simulator.prices.gaps import Gap


class GapFile:
    """All gaps in one small file, replaced whole."""

    def __init__(self, path: Path) -> None:
        """Read the gaps of earlier runs.

        Raises:
            DataError: it holds no gaps.
            HomeNotWritableError: it cannot be read.
        """
        self._path = path
        try:
            self.gaps = msgspec.json.decode(path.read_bytes(), type=tuple[Gap, ...])
        except FileNotFoundError:
            self.gaps = ()
        except OSError as exc:
            raise HomeNotWritableError(f"simulator gaps {path} cannot be read: {exc.strerror}") from exc
        except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
            raise DataError(f"{path} is no list of gaps ({exc}); delete it to forget them") from exc

    def add(self, gaps: tuple[Gap, ...]) -> None:
        """Remember gaps before they take effect.

        Raises:
            HomeNotWritableError: nothing was remembered.
        """
        part = self._path.with_suffix(".part")
        try:
            part.write_bytes(msgspec.json.encode(self.gaps + gaps))
            part.replace(self._path)
        except OSError as exc:
            raise HomeNotWritableError(f"simulator gaps {self._path} cannot be written: {exc.strerror}") from exc
        self.gaps += gaps
