"""From the market to the sockets: what is due goes, in order, to every subscriber that wants it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from tickloop.simulator.account.changes import AssetChange, OrderChange
from tickloop.simulator.account.desk import Desk
from tickloop.simulator.clock import MarketClock
from tickloop.simulator.faults.board import Fault, FaultBoard, Hold
from tickloop.simulator.faults.on_sockets import Distortion, Outgoing
from tickloop.simulator.prices.exchange import SimulatedExchange
from tickloop.simulator.prices.market import StreamEvent
from tickloop.simulator.prices.periods import SECOND_MS
from tickloop.simulator.protocol.formats import Format
from tickloop.simulator.protocol.messages import StreamMessages, outgoing_of
from tickloop.simulator.protocol.subscriber import QUEUE_FRAMES, Subscriber
from tickloop.simulator.protocol.subscription import ALL, CANDLES, StreamRequest, Want
from tickloop.simulator.protocol.wire_private import my_asset_frame, my_order_frame
from tickloop.simulator.protocol.wire_stream import ticker_frame, trade_frame

BOOK_EVERY_MS = 1_000


class Hub:
    """All subscribers, and the stream that feeds them up to a moment of market time.

    Attributes:
        on_arrival: called with the User-Agent of a program that connects while it has no connection yet.
    """

    def __init__(self, exchange: SimulatedExchange, desk: Desk, clock: MarketClock, board: FaultBoard) -> None:
        self._exchange = exchange
        self._messages = StreamMessages(exchange)
        self._desk = desk
        self._clock = clock
        self._board = board
        self._known = frozenset(exchange.markets)
        self._at_ms = clock.unserved_since_ms
        self._subscribers: list[Subscriber] = []
        self._wanted: dict[tuple[str, str], list[tuple[Subscriber, Want]]] = {}
        self._codes: set[str] = set()  # of what is wanted
        self._book_ms: dict[str, int] = {}
        self._candles_due: dict[str, int] = {}  # code -> end of the second whose trades no candle has told of yet
        self._assets_held: list[tuple[Hold, AssetChange]] = []
        self._sent_by_gone: Counter[tuple[str, str]] = Counter()
        self._told_to_gone: Counter[str] = Counter()  # by User-Agent, while another connection of it is open
        self.on_arrival: Callable[[str], None] = lambda _: None
        desk.listen(self._on_change)
        self.advance(clock.now_ms())

    @property
    def subscribers(self) -> tuple[Subscriber, ...]:
        return tuple(self._subscribers)

    def subscriber(self, user_agent: str, drop: Callable[[], None], *, is_private: bool = False) -> Subscriber:
        """Give a new connection its place."""
        if not self._is_here(user_agent):
            self.on_arrival(user_agent)
        made = Subscriber(user_agent, drop, Distortion(self._board, user_agent), is_private)
        self._subscribers.append(made)
        return made

    def is_under_maintenance(self, user_agent: str) -> bool:
        return self._board.holds("maintenance", self._clock.now_ms(), user_agent=user_agent) is not None

    def remove(self, subscriber: Subscriber) -> None:
        self._subscribers.remove(subscriber)
        subscriber.forget_queue()
        self._sent_by_gone += subscriber.sent
        if self._is_here(subscriber.user_agent):
            self._told_to_gone[subscriber.user_agent] += subscriber.told
        else:
            self._told_to_gone.pop(subscriber.user_agent, None)
        self._index()

    def subscribe(self, subscriber: Subscriber, request: StreamRequest) -> None:
        """Replace what a subscriber wants: snapshots go out first, then everything after this moment."""
        now_ms = self._clock.now_ms()
        self.advance(now_ms)
        if not subscriber.is_private:  # codes that are not on offer are ignored, also once they come to be
            wants = (want for want in request.wants if want.code in self._known)
            request = replace(
                request, wants=tuple(want for want in wants if self._exchange.is_on_offer(want.code, now_ms))
            )
        subscriber.request = request
        for want in subscriber.wants:
            if want.has_snapshot and want.code in self._known:
                self._offer_snapshot(subscriber, want, now_ms)
        self._index()

    def listing(self, subscriber: Subscriber, form: Format) -> tuple[Mapping[str, Any], ...]:
        """Give what a subscriber asked for; the format of the question becomes that of its streams, as live."""
        if subscriber.request is None:
            return ()
        subscriber.request = replace(subscriber.request, form=form)
        return subscriber.request.listing

    def advance(self, until_ms: int) -> None:
        """Queue all that happened up to and including `until_ms`; resting orders fill on the way."""
        if until_ms <= self._at_ms:
            return
        self._exchange.told_until_ms = until_ms
        markets = self._codes | self._desk.resting_markets
        for event in self._exchange.stream_between(self._at_ms, until_ms, markets) if markets else ():
            self._tell_due(event.ts_ms)
            self._desk.on_trade(event.market, event.price, event.ts_ms)
            self._publish(event)
        for code in self._exchange.ended_between(self._at_ms, until_ms):
            self._announce_end(code)
        self._tell_due(until_ms)
        self._at_ms = until_ms
        for subscriber in self._subscribers:
            self._queue(subscriber, subscriber.distortion.release(until_ms))

    def hold(self) -> None:
        """Let the clock stand, with all that happened until then in the queues."""
        self._clock.hold()
        self.advance(self._clock.now_ms())

    async def run(self) -> None:
        """Stream what comes due, until cancelled."""
        while True:
            self.advance(self._clock.now_ms())
            await self._clock.wait_until(self.next_ms())

    async def flush(self, deadline_s: float) -> None:
        """Wait until every queue has been written out, at most for a time."""
        joins = [asyncio.create_task(subscriber.queue.join()) for subscriber in self._subscribers]
        if not joins:
            return
        _, pending = await asyncio.wait(joins, timeout=deadline_s)
        for task in pending:
            task.cancel()

    def on_fault(self, fault: Fault) -> None:
        """Do at once what a fault that was just ordered asks for."""
        breaks = fault.kind in ("drop", "maintenance") or (fault.kind == "gap" and fault.closes)
        if not breaks and fault.kind != "half_open":
            return
        for subscriber in [one for one in self._subscribers if one.hears_of(fault)]:
            if breaks:
                subscriber.end()
            else:
                subscriber.is_mute = True
        # Counted as one strike, however many connections there were.
        self._board.strike(fault.kind, market=fault.market, stream=fault.type, user_agent=fault.user_agent)

    def drop_all(self) -> int:
        """End every connection at once; give how many there were."""
        for subscriber in self._subscribers:
            subscriber.end()
        return len(self._subscribers)

    def sent(self) -> dict[str, dict[str, int]]:
        """Count the frames written so far, by type and market, to all clients together."""
        total = sum((subscriber.sent for subscriber in self._subscribers), start=Counter(self._sent_by_gone))
        counts: dict[str, dict[str, int]] = {}
        for (kind, code), number in sorted(total.items()):
            counts.setdefault(kind, {})[code] = number
        return counts

    def told_to(self, name: str) -> int:
        """Count the data messages queued for the connections of a User-Agent since it last had none."""
        return sum(one.told for one in self._subscribers if one.user_agent == name) + self._told_to_gone[name]

    def _is_here(self, name: str) -> bool:
        return any(one.user_agent == name for one in self._subscribers)

    def _index(self) -> None:
        self._wanted = {}
        for subscriber in self._subscribers:
            for want in subscriber.wants:
                if want.has_realtime and (subscriber.is_private or want.code in self._known):
                    self._wanted.setdefault((want.type, want.code), []).append((subscriber, want))
        self._codes = {code for _, code in self._wanted}

    def next_ms(self) -> int | None:
        """Give the moment at which there is something to send again; None when there never is."""
        held = (hold.until_ms for hold, _ in self._assets_held)
        moments = [*self._candles_due.values(), *(until_ms for until_ms in held if until_ms is not None)]
        moments += [at for one in self._subscribers if (at := one.distortion.next_ms) is not None]
        moments += [] if self._desk.next_ms is None else [self._desk.next_ms]
        ahead = (self._exchange.next_end_ms(self._at_ms), self._exchange.next_trade_ms(self._at_ms))
        return min([*moments, *(moment for moment in ahead if moment is not None)], default=None)

    def _announce_end(self, code: str) -> None:
        # Upbit says in the ticker that a market trades no more; without it silence would look like a fault.
        market = self._exchange.market(code)
        ticker = market.ticker(market.end_ms)
        if ticker is not None:
            self._send("ticker", code, market.end_ms, lambda _: ticker_frame(ticker, market.end_ms, "REALTIME"))

    def _tell_due(self, at_ms: int) -> None:
        """Do and tell what was put off until a moment, itself included."""
        self._desk.advance(at_ms)
        for code in [code for code, due_ms in self._candles_due.items() if due_ms <= at_ms]:
            self._tell_candles(code, self._candles_due.pop(code))
        self._tell_assets(at_ms)

    def _tell_assets(self, at_ms: int) -> None:
        held, self._assets_held = self._assets_held, []
        for hold, change in held:
            if hold.is_over(at_ms, self._board):
                self._tell_asset(change, at_ms if hold.until_ms is None else hold.until_ms)
            else:
                self._assets_held.append((hold, change))

    def _tell_asset(self, change: AssetChange, at_ms: int) -> None:
        self._send("myAsset", ALL, at_ms, lambda _: my_asset_frame(change, at_ms))

    def _on_change(self, change: OrderChange | AssetChange) -> None:
        """Tell the private side of what happened to its account."""
        self._clock.nudge()  # a fill may be printed, or news be put off, to before the next trade
        if isinstance(change, OrderChange):
            for code in (change.order.market, ALL):
                self._send("myOrder", code, change.at_ms, lambda _: my_order_frame(change))
        elif (slow := self._board.strike("slow_asset", stream="myAsset")) is not None:
            self._assets_held.append((Hold(slow, change.at_ms), change))
        else:
            self._tell_asset(change, change.at_ms)

    def _tell_candles(self, code: str, end_ms: int) -> None:
        """Tell of the candles that the trades of the second before `end_ms` changed."""
        for kind in CANDLES:
            self._send(kind, code, end_ms, lambda want: self._messages.candle(want, end_ms - 1, end_ms, "REALTIME"))

    def _publish(self, event: StreamEvent) -> None:
        code, at_ms = event.market, event.ts_ms
        # The time of sending in a frame is that of the event: the same run gives the same bytes at every speed.
        self._send("trade", code, at_ms, lambda _: trade_frame(event, at_ms, "REALTIME"))
        self._send("ticker", code, at_ms, lambda _: ticker_frame(event.ticker, at_ms, "REALTIME"))
        self._candles_due.setdefault(code, at_ms - at_ms % SECOND_MS + SECOND_MS)
        second = at_ms - at_ms % BOOK_EVERY_MS
        if ("orderbook", code) in self._wanted and self._book_ms.get(code) != second:
            self._book_ms[code] = second
            self._send("orderbook", code, at_ms, lambda want: self._messages.book(want, at_ms, "REALTIME"))

    def _send(self, kind: str, code: str, at_ms: int, make: Callable[[Want], dict[str, Any] | None]) -> None:
        made: dict[tuple[Format, int, Decimal, int], Outgoing | None] = {}
        for subscriber, want in self._wanted.get((kind, code), ()):
            skew_ms = self._skew_ms(subscriber, kind, code, at_ms)
            key = (subscriber.form, want.depth, want.level, skew_ms)
            if key not in made:
                made[key] = outgoing_of(make(want), subscriber.form, skew_ms)
            outgoing = made[key]
            if outgoing is not None:
                self._queue(subscriber, subscriber.distortion.take(outgoing, at_ms))

    def _queue(self, subscriber: Subscriber, frames: Iterable[Outgoing]) -> None:
        for frame in frames:
            subscriber.offer(frame)
        if subscriber.distortion.held > QUEUE_FRAMES:
            subscriber.end()

    def _skew_ms(self, subscriber: Subscriber, kind: str, code: str, at_ms: int) -> int:
        """Give by how much the time of sending is off in what a connection is told."""
        skew = self._board.holds("clock_skew", at_ms, market=code, stream=kind, user_agent=subscriber.user_agent)
        return 0 if skew is None else skew.offset_ms

    def _offer_snapshot(self, subscriber: Subscriber, want: Want, now_ms: int) -> None:
        skew_ms = self._skew_ms(subscriber, want.type, want.code, now_ms)
        outgoing = outgoing_of(self._messages.snapshot(want, now_ms), subscriber.form, skew_ms)
        if outgoing is not None:
            self._queue(subscriber, subscriber.distortion.take_snapshot(outgoing, now_ms))
