"""Which markets have been collected and when, in one small file that is there whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from tickloop.adapters.local.files import write_whole
from tickloop.domain.universe import Span
from tickloop.errors import DataError


class FileMarketLog:
    """Implements `ports.MarketLog`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> dict[str, Span]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, Span])
        except FileNotFoundError:
            return {}
        except msgspec.MsgspecError as exc:
            raise DataError(
                f"{self._path} is damaged: {exc}; remove it, and the collector writes the markets of now"
            ) from exc

    def save(self, spans: Mapping[str, Span]) -> None:
        write_whole(self._path, msgspec.json.encode(dict(spans)))
