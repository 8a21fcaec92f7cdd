"""One connection's share of a feed: its subscription, kept up through losses of the connection."""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from websockets.exceptions import WebSocketException

from tickloop.adapters.upbit.connection import Address, Connection, dial
from tickloop.adapters.upbit.errors import socket_error_of
from tickloop.adapters.upbit.idle import IdleWatch
from tickloop.adapters.upbit.inbox import Inbox, Item
from tickloop.adapters.upbit.pace import MESSAGES, Pace, backoff_delays
from tickloop.adapters.upbit.refusals import asked_to_wait_s, process_exception, sift
from tickloop.domain.packed import HEAD_BYTES, Packed
from tickloop.errors import RetryableError
from tickloop.ports import Clock, Disconnected, Frames

FIRST_DELAY_S = 0.5
PING_TEXT_S = 60.0
"""Real seconds between text PINGs; the exchange closes a connection without any traffic after 120 s."""

_CONFIRM_TIMEOUT_S = 2.0  # a subscription is answered by snapshots, unless there is none to send
_STABLE_S = 10.0  # a connection that lasted this long ends a row of failures
_LOOK_S = 5.0  # how often silence is looked for, at most

_DATA_HEAD = b'{"type":"'  # what begins otherwise is looked at closely
_NEW = "new market"
_KIND = re.compile(rb'\s*\{\s*"type"\s*:\s*"([a-zA-Z0-9.]+)')


@dataclass(frozen=True)
class LinkOptions:
    """How a link behaves; all times in real seconds.

    Args:
        request: writes the request for some markets.
        connects: the pace of handshakes, shared by the links of a feed.
        idle_s: first limit of a silence (see `idle`); None means that silence is right.
    """

    address: Address
    request: Callable[[Sequence[str]], bytes]
    clock: Clock
    connects: Pace
    idle_s: float | None = 60.0
    first_delay_s: float = FIRST_DELAY_S
    ping_text_s: float = PING_TEXT_S


class Link:
    """It reconnects without limit until its task is cancelled, and puts what it receives into an inbox.

    Args:
        named: gives the `Disconnected.markets` of a loss that concerns all of the link's markets.
    """

    def __init__(
        self, options: LinkOptions, markets: Sequence[str], named: Callable[[tuple[str, ...]], tuple[str, ...]]
    ) -> None:
        self._options = options
        self._clock = options.clock
        self._named = named
        self.markets = tuple(markets)
        self._requested: tuple[str, ...] = ()
        self._known: frozenset[str] = frozenset()  # of these a `Disconnected` was given
        self._is_changed = asyncio.Event()
        self._idle = None if options.idle_s is None else IdleWatch(options.idle_s)
        self._is_listening = False  # else it is the consumer who is busy
        self._since_ms: int | None = None  # market time up to which nothing was missed
        self._last_ms: int | None = None  # market time of the last message
        self._before_ms: int | None = None  # the same, when `run` began
        self._is_connected = False
        self._reason = "start"

    def set_markets(self, markets: Sequence[str]) -> None:
        """Ask for these markets from now on, on the connection that there is."""
        self.markets = tuple(markets)
        self._is_changed.set()

    def begin_anew(self, handed_over_ms: int | None) -> None:
        """Forget what the last consumer has not taken: everything later than this market time, or simply everything."""
        if handed_over_ms is None:
            self._last_ms = self._before_ms
        elif self._last_ms is not None:
            self._last_ms = min(self._last_ms, handed_over_ms)
        self._since_ms = self._last_ms
        self._is_connected = False

    def loss(self) -> Disconnected | None:
        """Give what is being missed at this moment, None while connected."""
        if self._is_connected:
            return None
        return Disconnected(self._since_ms, self._clock.now_ms(), self._reason, self._named(self.markets))

    async def run(self, inbox: Inbox) -> None:
        """Keep the subscription up.

        Raises:
            RejectedError, AuthError: the exchange refuses the subscription itself.
            ExchangeError: the address is not the exchange's.
        """
        self._before_ms = self._last_ms
        first_delay_s = self._options.first_delay_s
        delays = backoff_delays(first_delay_s)
        while True:
            began = time.monotonic()
            asked_s = 0.0
            try:
                await self._session(inbox)
            except (OSError, WebSocketException, RetryableError) as exc:
                asked_s = self._note_loss(exc)
            if time.monotonic() - began > _STABLE_S:
                delays = backoff_delays(first_delay_s)
            await asyncio.sleep(max(next(delays), asked_s))

    # --- one connection -------------------------------------------------------------------------------------------

    async def _session(self, inbox: Inbox) -> None:
        """Connect, subscribe and receive until the connection is lost."""
        await self._options.connects.wait()
        connection = await dial(self._options.address)
        try:
            async with self._tended(connection, inbox):
                await inbox.room()
                self._begin(await self._confirmation(connection), inbox)
                while True:
                    await inbox.room()
                    self._take(await self._listen(connection), self._clock.now_ns(), inbox)
        finally:
            await connection.close()

    def _subscribe(self, connection: Connection) -> None:
        self._is_changed.clear()
        self._requested = self.markets
        self._known &= frozenset(self._requested)  # a market that comes back is new
        connection.send(self._options.request(self._requested))

    async def _confirmation(self, connection: Connection) -> Sequence[bytes]:
        try:
            async with asyncio.timeout(_CONFIRM_TIMEOUT_S):
                return await self._listen(connection)
        except TimeoutError:
            return []

    async def _listen(self, connection: Connection) -> Sequence[bytes]:
        self._is_listening = True
        try:
            return await connection.receive()
        finally:
            self._is_listening = False

    def _begin(self, batch: Sequence[bytes], inbox: Inbox) -> None:
        """Say that the stream runs, since the first messages; a refusal is no stream."""
        ts_ns = self._clock.now_ns()
        refusal = sift(batch)[1]
        if refusal is not None:
            raise socket_error_of(refusal)
        inbox.put(self._connected(ts_ns // 1_000_000))
        self._take(batch, ts_ns, inbox)

    def _take(self, batch: Sequence[bytes], ts_ns: int, inbox: Inbox) -> None:
        """Put the data of a batch, all stamped with the market time at which it was taken off the socket.

        Raises:
            ExchangeError: an error object came; what came before it is put.
        """
        if not batch:
            return
        ts_ms = self._last_ms = ts_ns // 1_000_000
        heads = batch.heads if isinstance(batch, Packed) else {raw[:HEAD_BYTES] for raw in batch}
        refusal = None
        if not all(head.startswith(_DATA_HEAD) for head in heads):
            batch, refusal = sift(batch)
        if batch:
            if self._idle is not None:
                self._idle.saw(_kinds(heads), time.monotonic(), ts_ms)
            is_known = len(self._known) >= len(self._requested)
            inbox.put([Frames(batch, ts_ns)] if is_known else self._with_new(batch, ts_ns))
        if refusal is not None:
            raise socket_error_of(refusal)

    # --- what may be missing --------------------------------------------------------------------------------------

    def _connected(self, now_ms: int) -> list[Item]:
        """Give the gap that ends now; of markets that were not asked for before it, nothing was received ever."""
        old = tuple(market for market in self._requested if market in self._known)
        new = self._new_markets()
        gaps: list[Item] = []
        if old and new:
            gaps = [self._gap(now_ms, old), Disconnected(None, now_ms, _NEW, new)]
        elif new and self._since_ms is not None:
            gaps = [Disconnected(None, now_ms, _NEW, new)]
        else:
            gaps = [self._gap(now_ms, self._named(self._requested))]
        self._known = frozenset(self._requested)
        self._since_ms = self._last_ms = now_ms
        self._is_connected = True
        self._reason = "closed by the exchange"
        return gaps

    def _gap(self, now_ms: int, markets: tuple[str, ...]) -> Disconnected:
        return Disconnected(self._since_ms, now_ms, self._reason, markets)

    def _new_markets(self) -> tuple[str, ...]:
        return tuple(market for market in self._requested if market not in self._known)

    def _with_new(self, batch: Sequence[bytes], ts_ns: int) -> list[Item]:
        """Put the beginning of new markets before the first message of any of them."""
        new = self._new_markets()
        marks = [b'"%b"' % market.encode() for market in new]
        for at, raw in enumerate(batch):
            if any(mark in raw for mark in marks):
                self._known = frozenset(self._requested)
                before = [Frames(batch[:at], ts_ns)] if at else []
                return [*before, Disconnected(None, ts_ns // 1_000_000, _NEW, new), Frames(batch[at:], ts_ns)]
        return [Frames(batch, ts_ns)]

    def _note_loss(self, exc: Exception) -> float:
        """Note why the connection is gone; give the real seconds for which the exchange wants to be left alone."""
        fatal = process_exception(exc)
        if fatal is not None:
            raise fatal from exc
        self._is_connected = False
        self._since_ms = self._last_ms
        self._reason = str(exc) or type(exc).__name__
        return asked_to_wait_s(exc)

    # --- beside the receiving -------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _tended(self, connection: Connection, inbox: Inbox) -> AsyncIterator[None]:
        """Subscribe, and look after the connection until the block ends."""
        pace = Pace(MESSAGES)
        await pace.wait()
        self._subscribe(connection)
        tasks = [asyncio.create_task(self._tend(connection, pace))]
        tasks.append(asyncio.create_task(self._follow(connection, pace, inbox)))
        for task in tasks:
            task.add_done_callback(lambda one: None if one.cancelled() else connection.abort())
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(outcome, Exception):
                    raise outcome

    async def _follow(self, connection: Connection, pace: Pace, inbox: Inbox) -> None:
        """Ask anew when the markets have changed: a request replaces the one before it."""
        while True:
            await self._is_changed.wait()
            await pace.wait()
            self._subscribe(connection)
            if self._new_markets():
                await asyncio.sleep(_CONFIRM_TIMEOUT_S)
                if self._is_connected and (new := self._new_markets()):  # never traded: they have no snapshot
                    self._known = frozenset(self._requested)
                    inbox.put([Disconnected(None, self._clock.now_ms(), _NEW, new)])

    async def _tend(self, connection: Connection, pace: Pace) -> None:
        """Say PING now and then, and give up a connection whose stream is silent."""
        idle_s, ping_s = self._options.idle_s, self._options.ping_text_s
        pinged = time.monotonic()
        if self._idle is not None:
            self._idle.opened(pinged)
        while True:
            await asyncio.sleep(min(_LOOK_S, ping_s, math.inf if idle_s is None else idle_s / 4))
            now = time.monotonic()
            if now - pinged >= ping_s:
                pinged = now
                await pace.wait()
                connection.send(b"PING")
            if self._idle is not None:
                self._look_for_silence(self._idle, connection, now)

    def _look_for_silence(self, idle: IdleWatch, connection: Connection, now: float) -> None:
        if not self._is_listening or not self._market_runs():
            idle.hold(now)
            return
        silence = idle.verdict(now)
        if silence is not None:
            if silence.since_ms is not None:
                self._last_ms = silence.since_ms
            connection.give_up(silence.reason)

    def _market_runs(self) -> bool:
        return math.isfinite(self._clock.real_seconds_until(self._clock.now_ms() + 1_000))


def _kinds(heads: Iterable[bytes]) -> set[str]:
    return {match.group(1).decode() for head in heads if (match := _KIND.match(head))}
