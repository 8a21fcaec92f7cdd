"""The record of when a feed was connected: one line when it comes and one when it goes."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import msgspec

from tickloop.adapters.local.files import append_whole
from tickloop.errors import DiskFullError

_MOST_WAITING = 1_000
_ALL = ""


@dataclass(frozen=True)
class Session:
    """One stretch of connection in market time; `disconnected_at_ms` is None when its end was not recorded.

    Attributes:
        markets: whose stream it was; empty means all of the feed's, as older records have it.
    """

    connected_at_ms: int
    disconnected_at_ms: int | None
    reason: str | None
    markets: tuple[str, ...] = ()


class _Line(msgspec.Struct, frozen=True):
    event: Literal["connected", "disconnected"]
    at_ms: int
    reason: str | None = None
    markets: tuple[str, ...] = ()


class FileSessionLog:
    """Implements `ports.SessionLog` on one append-only file of JSON lines, synced at each line.

    Lines that find no room on a full disk wait, up to 1,000 (the oldest go first), and are written with the next one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: deque[_Line] = deque(maxlen=_MOST_WAITING)
        self._guard = threading.Lock()

    async def connected(self, at_ms: int, markets: Sequence[str] = ()) -> None:
        await asyncio.to_thread(self._append, _Line("connected", at_ms, None, tuple(markets)))

    async def disconnected(self, at_ms: int, reason: str, markets: Sequence[str] = ()) -> None:
        await asyncio.to_thread(self._append, _Line("disconnected", at_ms, reason, tuple(markets)))

    def sessions(self, market: str | None = None) -> list[Session]:
        """Give all sessions, or those of one market, by start.

        The last one of a market may still run; one before it without an end was killed. A session of several markets
        of which some left is given once for those that left and once for the others.
        """
        found = list(_sessions(self._lines()))
        if market is not None:
            found = [one for one in found if not one.markets or market in one.markets]
        return sorted(found, key=lambda one: one.connected_at_ms)

    def ends(self, last_line_ms: int | None) -> Callable[[str], int | None]:
        """Give, as a function of the market, the market time up to which it was received; None when it never was.

        It tells what is recorded now, also when it is asked later.

        Args:
            last_line_ms: when the journal's last line was received: what a session that was killed lasted to at least.
        """
        found: dict[str, int] = {}
        for one in self.sessions():
            end_ms = one.disconnected_at_ms
            if end_ms is None:
                end_ms = max(one.connected_at_ms, last_line_ms or 0)
            found |= dict.fromkeys(one.markets or (_ALL,), end_ms)
        return lambda market: max((found[name] for name in (market, _ALL) if name in found), default=None)

    def _append(self, line: _Line) -> None:
        with self._guard:
            self._waiting.append(line)
            try:
                append_whole(self._path, b"".join(msgspec.json.encode(one) + b"\n" for one in self._waiting))
            except DiskFullError:
                return  # the collector says that the disk is full; this record can wait
            self._waiting.clear()

    def _lines(self) -> list[_Line]:
        if not self._path.is_file():
            return []
        return [line for text in self._path.read_bytes().split(b"\n") if (line := _decoded(text)) is not None]


def _sessions(lines: Sequence[_Line]) -> Iterator[Session]:
    """Pair starts with ends. A start ends, unrecorded, what its markets had open."""
    running: list[Session] = []
    for line in lines:
        still: list[Session] = []
        for one in running:
            gone, stays = _split(one, line.markets)
            if gone is not None:
                is_end = line.event == "disconnected"
                yield replace(gone, disconnected_at_ms=line.at_ms, reason=line.reason) if is_end else gone
            if stays is not None:
                still.append(stays)
        running = still
        if line.event == "connected":
            running.append(Session(line.at_ms, None, None, line.markets))
    yield from running


def _split(session: Session, markets: tuple[str, ...]) -> tuple[Session | None, Session | None]:
    """Give the part of a session that a line about some markets ends, and the part that goes on."""
    if not markets or not session.markets:
        return session, None
    gone = tuple(market for market in session.markets if market in markets)
    stays = tuple(market for market in session.markets if market not in markets)
    return replace(session, markets=gone) if gone else None, replace(session, markets=stays) if stays else None


def _decoded(text: bytes) -> _Line | None:
    try:
        return msgspec.json.decode(text, type=_Line)
    except msgspec.MsgspecError:
        return None
