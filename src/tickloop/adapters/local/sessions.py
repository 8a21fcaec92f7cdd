"""The record of when a feed was connected: one line when it comes and one when it goes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from tickloop.adapters.local.files import writing


@dataclass(frozen=True)
class Session:
    """One stretch of connection in market time; `disconnected_at_ms` is None when its end was not recorded."""

    connected_at_ms: int
    disconnected_at_ms: int | None
    reason: str | None


class _Line(msgspec.Struct, frozen=True):
    event: Literal["connected", "disconnected"]
    at_ms: int
    reason: str | None = None
    markets: tuple[str, ...] = ()


class FileSessionLog:
    """Implements `ports.SessionLog` on one append-only file of JSON lines, synced at each line."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def connected(self, at_ms: int, markets: Sequence[str] = ()) -> None:
        await asyncio.to_thread(self._append, _Line("connected", at_ms, None, tuple(markets)))

    async def disconnected(self, at_ms: int, reason: str, markets: Sequence[str] = ()) -> None:
        await asyncio.to_thread(self._append, _Line("disconnected", at_ms, reason, tuple(markets)))

    def sessions(self) -> list[Session]:
        """Give all sessions, oldest first. The last one may still run; one before it without an end was killed."""
        found: list[Session] = []
        for line in self._lines():
            if line.event == "connected":
                found.append(Session(line.at_ms, None, None))
            elif found and found[-1].disconnected_at_ms is None:
                found[-1] = Session(found[-1].connected_at_ms, line.at_ms, line.reason)
        return found

    def _append(self, line: _Line) -> None:
        with writing(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # The break in front closes a line that a killed process left half written; readers skip empty lines.
            with self._path.open("ab") as file:
                file.write(b"\n" + msgspec.json.encode(line) + b"\n")
                file.flush()
                os.fdatasync(file.fileno())

    def _lines(self) -> list[_Line]:
        if not self._path.is_file():
            return []
        return [line for text in self._path.read_bytes().split(b"\n") if (line := _decoded(text)) is not None]


def _decoded(text: bytes) -> _Line | None:
    try:
        return msgspec.json.decode(text, type=_Line)
    except msgspec.MsgspecError:
        return None
