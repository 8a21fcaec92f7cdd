"""What goes wrong on REST when the board says so."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from email.utils import formatdate
from math import ceil

import msgspec
from aiohttp import web

from tickloop.simulator.clock import MarketClock
from tickloop.simulator.faults.board import Fault, FaultBoard, FaultKind

TOO_MANY = "Too many API requests."

UNTIL_CLEARED_S = 3_600
"""What a 418 states as its time when only clearing the fault ends it."""


class RestFaults:
    """Asks the board at each request, and does what it says."""

    def __init__(self, board: FaultBoard, clock: MarketClock) -> None:
        self._board = board
        self._clock = clock
        self._locked_until_ms = 0
        self._lock = Fault(kind="locked_out", for_ms=1)

    def date(self) -> str:
        """Give the `Date` header: market time, off by a `clock_skew`."""
        now_ms = self._clock.now_ms()
        skew = self._board.holds("clock_skew", now_ms)
        return formatdate((now_ms + (0 if skew is None else skew.offset_ms)) / 1000, usegmt=True)

    async def before(self, method: str, path: str, *, is_order: bool) -> web.Response | None:
        """Give the answer of a fault that keeps a request from being carried out, or None; slow it down if told to."""
        if (slow := self._strike("slow_answer", method, path)) is not None:
            await asyncio.sleep(slow.delay_ms / 1000)
        now_ms = self._clock.now_ms()
        if (lock := self._strike("locked_out", method, path)) is not None:
            self._lock, self._locked_until_ms = lock, now_ms + lock.for_ms
        if (blocked := self._blocked(now_ms)) is not None:
            return blocked
        if (limited := self._strike("rate_limited", method, path)) is not None:
            return refused(429, TOO_MANY, limited.form)
        if self._strike("server_error", method, path) is not None:
            return _error(500, "internal_server_error", "A fault was ordered.")
        if is_order and self._board.holds("maintenance", now_ms) is not None:
            return _error(403, "market_offline", "The exchange is under maintenance.")
        return None

    def after(self, method: str, path: str, transport: asyncio.BaseTransport | None) -> None:
        """Break the connection after the request was carried out, if told to: its answer never arrives."""
        if self._strike("answer_lost", method, path) is not None and isinstance(transport, asyncio.WriteTransport):
            transport.abort()

    def _blocked(self, now_ms: int) -> web.Response | None:
        if now_ms < self._locked_until_ms:
            return blocked_for((self._locked_until_ms - now_ms) / 1000, self._lock.form)
        lock = self._lock
        if not lock.for_ms and self._board.holds("locked_out", now_ms, path=lock.path) is not None:
            return blocked_for(UNTIL_CLEARED_S, lock.form)
        return None

    def _strike(self, kind: FaultKind, method: str, path: str) -> Fault | None:
        return self._board.strike(kind, path=path, method=method)


def blocked_for(seconds: float, form: str = "text") -> web.Response:
    """Give a 418 with the time in body and header; neither is documented, so both are our choice."""
    left_s = ceil(seconds)
    return refused(418, f"{TOO_MANY} Blocked for {left_s} seconds.", form, {"Retry-After": str(left_s)})


def refused(status: int, message: str, form: str = "text", headers: Mapping[str, str] | None = None) -> web.Response:
    """Give a 429 or 418 in one of the two forms that are seen: plain text or a JSON error."""
    if form == "text":
        return web.Response(status=status, text=message, headers=headers)
    answer = _error(status, "too_many_requests", message)
    answer.headers.update(headers or {})
    return answer


def _error(status: int, name: str, message: str) -> web.Response:
    body = msgspec.json.encode({"error": {"name": name, "message": message}})
    return web.Response(status=status, body=body, content_type="application/json", charset="utf-8")
