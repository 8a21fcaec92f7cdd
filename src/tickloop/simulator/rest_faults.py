"""What goes wrong on REST when the board says so."""

from __future__ import annotations

import asyncio
from email.utils import formatdate

import msgspec
from aiohttp import web

from tickloop.simulator.clock import MarketClock
from tickloop.simulator.faultboard import Fault, FaultBoard

TOO_MANY = "Too many API requests."


class RestFaults:
    """Asks the board at each request, and does what it says."""

    def __init__(self, board: FaultBoard, clock: MarketClock) -> None:
        self._board = board
        self._clock = clock
        self._locked_until_ms = 0
        self._lock_form = "text"

    def date(self) -> str:
        """Give the `Date` header: market time, off by a `clock_skew`."""
        now_ms = self._clock.now_ms()
        skew = self._board.holds("clock_skew", now_ms)
        return formatdate((now_ms + (0 if skew is None else skew.offset_ms)) / 1000, usegmt=True)

    async def before(self, path: str, *, is_order: bool) -> web.Response | None:
        """Give the answer of a fault that keeps a request from being carried out, or None; slow it down if told to."""
        now_ms = self._clock.now_ms()
        if (slow := self._board.strike("slow_answer", path=path)) is not None:
            await asyncio.sleep(slow.delay_ms / 1000)
        if (lock := self._board.strike("locked_out", path=path)) is not None:
            self._locked_until_ms, self._lock_form = now_ms + lock.for_ms, lock.form
        if now_ms < self._locked_until_ms:
            # Neither body nor block time is documented; clients must live with both forms.
            left_s = (self._locked_until_ms - now_ms + 999) // 1000
            return _too_many(418, self._lock_form, f"Blocked for {left_s} seconds.", str(left_s))
        if (limited := self._board.strike("rate_limited", path=path)) is not None:
            return _too_many(429, limited.form, TOO_MANY, None)
        if self._board.strike("server_error", path=path) is not None:
            return _error(500, "internal_server_error", "A fault was ordered.")
        if is_order and self._board.holds("maintenance", now_ms) is not None:
            return _error(403, "market_offline", "The exchange is under maintenance.")
        return None

    def after(self, path: str, transport: asyncio.BaseTransport | None) -> None:
        """Break the connection after the request was carried out, if told to: its answer never arrives."""
        if self._board.strike("answer_lost", path=path) is not None and isinstance(transport, asyncio.WriteTransport):
            transport.abort()


def _too_many(status: int, form: str, message: str, retry_after: str | None) -> web.Response:
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    if form == "text":
        return web.Response(status=status, text=message, headers=headers)
    answer = _error(status, "too_many_requests", message)
    answer.headers.update(headers)
    return answer


def _error(status: int, name: str, message: str) -> web.Response:
    body = msgspec.json.encode({"error": {"name": name, "message": message}})
    return web.Response(status=status, body=body, content_type="application/json", charset="utf-8")


def fault_of(text: str) -> Fault:
    """Read a fault of the command line, such as `kind=rate_limited,path=/v1/orders,count=2`.

    Raises:
        ValueError: naming the field, its value and what would be valid.
    """
    fields: dict[str, str] = {}
    for part in text.split(","):
        name, is_given, value = part.strip().partition("=")
        if not is_given or not name:
            raise ValueError(f"fault {text!r}: {part.strip()!r} is not of the form name=value")
        fields[name] = value
    try:
        return msgspec.convert(fields, Fault, strict=False)
    except msgspec.ValidationError as exc:
        raise ValueError(f"fault {text!r}: {exc}; valid fields: {', '.join(Fault.__struct_fields__)}") from exc
