"""Upbit's public WebSocket: one subscription, kept up through losses of the connection."""

from __future__ import annotations

import asyncio
import math
import random
import re
import ssl
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus, WebSocketException

from tickloop.adapters.upbit.errors import error_of, socket_error_of
from tickloop.adapters.upbit.events import ExchangeErrorEvent, StatusEvent
from tickloop.adapters.upbit.parse import parse_frame
from tickloop.errors import CorruptLineError, ExchangeError, RetryableError
from tickloop.ports import Clock, Disconnected, Frame

USER_AGENT = "tickloop"

_FIRST_DELAY_S = 0.5
_DELAY_FACTOR = 1.6
_MOST_DELAY_S = 30.0

_OPEN_TIMEOUT_S = 10.0
_CLOSE_TIMEOUT_S = 1.0
_PING_INTERVAL_S = 30.0  # well below the 120 s after which Upbit closes a silent connection
_CONFIRM_TIMEOUT_S = 2.0  # a subscription is answered by snapshots, unless nothing was ever traded

# The library reads ahead this many messages; then TCP holds the exchange back.
_QUEUE_MESSAGES = 10_000
_MOST_MESSAGE_BYTES = 4_000_000

_STABLE_S = 10.0  # a connection that lasted this long ends a row of failures

_NOTICE = re.compile(rb'\s*\{\s*"(?:error|status)"')


class UpbitFeed:
    """Implements `ports.TradeFeed`. It reconnects without limit until the iterator is closed or cancelled.

    Args:
        types: message types to subscribe to: trade, ticker, orderbook.
        idle_s: real seconds without any message, while market time runs, after which the connection is given up.
    """

    def __init__(
        self,
        websocket_url: str,
        markets: Sequence[str],
        types: Sequence[str],
        clock: Clock,
        *,
        user_agent: str = USER_AGENT,
        idle_s: float = 60.0,
        first_delay_s: float = _FIRST_DELAY_S,
    ) -> None:
        self._url = websocket_url
        self._markets = list(markets)
        self._types = list(types)
        self._clock = clock
        self._user_agent = user_agent
        self._idle_s = idle_s
        self._first_delay_s = first_delay_s
        self._since_ms: int | None = None  # market time up to which nothing was missed
        self._last_ms: int | None = None  # market time of the last message
        self._reason = "start"
        self._given_up: str | None = None  # why we closed the connection ourselves
        self._waiting_since: float | None = None  # real monotonic; None while the consumer has a message

    async def frames(self) -> AsyncIterator[Frame | Disconnected]:
        """Yield messages and, first and after each loss, a `Disconnected`.

        Raises:
            RejectedError, AuthError: the exchange refuses the subscription itself.
            ExchangeError: the address is not the exchange's.
        """
        self._since_ms = self._last_ms  # an iterator opened anew has missed what came since the last one
        delays = backoff_delays(self._first_delay_s)
        while True:
            began = time.monotonic()
            try:
                async with self._connection() as socket, self._watched(socket):
                    await socket.send(self._subscription())
                    first = await self._confirmation(socket)
                    yield self._connected(first)
                    if first is not None:
                        yield first
                    while True:
                        frame = await self._next(socket)
                        if frame is not None:
                            yield frame
            except (OSError, WebSocketException, RetryableError) as exc:
                self._note_loss(exc)
            if time.monotonic() - began > _STABLE_S:
                delays = backoff_delays(self._first_delay_s)
            await asyncio.sleep(next(delays))

    async def _next(self, socket: ClientConnection) -> Frame | None:
        """Give the next market message, None for a status; an error object raises and never passes for data."""
        self._waiting_since = time.monotonic()
        raw = await socket.recv(decode=False)
        self._waiting_since = None
        ts_ns = self._clock.now_ns()
        self._last_ms = ts_ns // 1_000_000
        if _NOTICE.match(raw) and _is_status(raw):
            return None
        return Frame(raw, ts_ns)

    async def _confirmation(self, socket: ClientConnection) -> Frame | None:
        try:
            async with asyncio.timeout(_CONFIRM_TIMEOUT_S):
                return await self._next(socket)
        except TimeoutError:
            return None

    def _connected(self, first: Frame | None) -> Disconnected:
        now_ms = self._clock.now_ms() if first is None else first.ts_received_ns // 1_000_000
        gap = Disconnected(self._since_ms, now_ms, self._reason)
        self._since_ms = self._last_ms = now_ms
        self._reason = "closed by the exchange"
        return gap

    def _note_loss(self, exc: Exception) -> None:
        fatal = process_exception(exc)
        if fatal is not None:
            raise fatal from exc
        self._since_ms = self._last_ms
        self._reason = self._given_up or str(exc) or type(exc).__name__
        self._given_up = None

    @asynccontextmanager
    async def _watched(self, socket: ClientConnection) -> AsyncIterator[None]:
        watch = asyncio.create_task(self._give_up_when_idle(socket))
        try:
            yield
        finally:
            watch.cancel()

    async def _give_up_when_idle(self, socket: ClientConnection) -> None:
        while True:
            await asyncio.sleep(self._idle_s / 4)
            now = time.monotonic()
            if not self._market_runs():
                self._waiting_since = self._waiting_since and now  # silence is right while the market stands
            elif self._waiting_since is not None and now - self._waiting_since > self._idle_s:
                self._given_up = f"no message for {self._idle_s:g} s"
                await socket.close()
                return

    def _market_runs(self) -> bool:
        return math.isfinite(self._clock.real_seconds_until(self._clock.now_ms() + 1_000))

    def _connection(self) -> connect:
        return connect(
            self._url,
            compression=None,
            user_agent_header=self._user_agent,
            proxy=None,
            open_timeout=_OPEN_TIMEOUT_S,
            close_timeout=_CLOSE_TIMEOUT_S,
            ping_interval=_PING_INTERVAL_S,
            max_queue=_QUEUE_MESSAGES,
            max_size=_MOST_MESSAGE_BYTES,
        )

    def _subscription(self) -> str:
        request: list[dict[str, Any]] = [{"ticket": str(uuid.uuid4())}]
        request += [{"type": name, "codes": self._markets} for name in self._types]
        request.append({"format": "DEFAULT"})
        return msgspec.json.encode(request).decode()


def process_exception(exc: Exception) -> ExchangeError | None:
    """Give None when connecting again may help, else the error to stop with."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return ExchangeError(f"the exchange's certificate is not valid: {exc}")
    if isinstance(exc, InvalidStatus):
        answer = exc.response
        error = error_of(answer.status_code, bytes(answer.body or b""), answer.headers)
        return None if isinstance(error, RetryableError) else error
    if isinstance(exc, InvalidMessage) and isinstance(exc.__cause__, EOFError):
        return None
    if isinstance(exc, OSError | ConnectionClosed | RetryableError):
        return None
    return ExchangeError(f"the address does not answer as the exchange's WebSocket does: {exc}")


def backoff_delays(first_s: float, most_s: float = _MOST_DELAY_S) -> Iterator[float]:
    """Yield real seconds to wait before each attempt, without end.

    A random part of `first_s`, so that many clients do not come back at once; then first_s x 1.6^n, at most `most_s`.
    """
    yield random.random() * first_s  # noqa: S311 (spreads load, guards nothing)
    delay = first_s
    while True:
        yield min(delay, most_s)
        delay = min(delay * _DELAY_FACTOR, most_s)


def _is_status(raw: bytes) -> bool:
    try:
        event = parse_frame(raw)
    except CorruptLineError:
        return False  # the consumer's dead letter takes it
    if isinstance(event, ExchangeErrorEvent):
        raise socket_error_of(event)
    return isinstance(event, StatusEvent)
