"""What tests of trading share: an exchange's private side, a feed that follows a script, forecasts by minute."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, Decimal
from typing import Any

import polars as pl

from fakes import START_MS, FakeMarketData, FixedClock, MemoryWarehouse
from tickloop.adapters.common.stored_line import repair_line
from tickloop.domain.bot_session import Ended, Fact, Position
from tickloop.domain.forecast import Forecast
from tickloop.domain.market import Candle, Change, Side, Trade
from tickloop.domain.orders import OrderEvent
from tickloop.domain.window import MINUTE_MS
from tickloop.entrypoints.decoding import decode_trade
from tickloop.errors import CorruptLineError, DataError, ExchangeError
from tickloop.ports import (
    Balance,
    Disconnected,
    Frame,
    MakeFact,
    OrderRequest,
    RecordedSession,
    SessionStep,
    VenueFill,
    VenueOrder,
)
from tickloop.services.replay_result import ReplayResult
from tickloop.services.replay_session import replay_session
from tickloop.services.trade import Bot
from tickloop.settings import StrategySettings

MARKET = "KRW-BTC"
FEE = Decimal("0.0005")

Act = Callable[[], Awaitable[None]]


async def until(condition: Callable[[], bool], deadline_s: float = 5.0) -> None:
    """Let the other tasks run until something holds."""
    async with asyncio.timeout(deadline_s):
        while not condition():
            await asyncio.sleep(0.001)


class MemoryOrderLog:
    def __init__(self, events: Sequence[OrderEvent] = ()) -> None:
        self.events = list(events)

    def append(self, event: OrderEvent) -> None:
        self.events.append(event)

    def read(self) -> list[OrderEvent]:
        return list(self.events)

    def close(self) -> None:
        pass


class FakeBroker:
    """Implements `ports.Broker`: market orders fill at `price` at once, unless told otherwise.

    Attributes:
        placed: every request that was sent, in order; `asked` every id that was looked for.
        answers: errors for the next placements, in order; None answers normally.
        arrives: whether a placement that is answered by an error is in the account all the same.
        silent: errors for the next calls of `find`.
        is_held: orders stay open until `release`.
    """

    def __init__(self, clock: FixedClock, price: str = "50000000") -> None:
        self.price = Decimal(price)
        self.placed: list[OrderRequest] = []
        self.asked: list[str] = []
        self.answers: list[ExchangeError | None] = []
        self.arrives = False
        self.silent: list[ExchangeError] = []
        self.is_held = False
        self.holdings: dict[str, Decimal] = {"KRW": Decimal(1_000_000)}
        self._clock = clock
        self._orders: dict[str, VenueOrder] = {}

    async def place(self, request: OrderRequest) -> VenueOrder:
        self.placed.append(request)
        error = self.answers.pop(0) if self.answers else None
        if error is None or self.arrives:
            self._orders[request.client_order_id] = self._open(request) if self.is_held else self._filled(request)
        if error is not None:
            raise error
        # As the exchange does: the answer to a placement tells of no fill yet.
        return self._open(request)

    async def find(self, client_order_id: str) -> VenueOrder | None:
        self.asked.append(client_order_id)
        if self.silent:
            raise self.silent.pop(0)
        return self._orders.get(client_order_id)

    async def balances(self) -> list[Balance]:
        return [Balance(currency, amount, Decimal(0)) for currency, amount in self.holdings.items()]

    async def close(self) -> None:
        pass

    def release(self) -> None:
        """Fill all orders that are held."""
        self.is_held = False
        for request in self.placed:
            order = self._orders.get(request.client_order_id)
            if order is not None and not order.is_closed:
                self._orders[request.client_order_id] = self._filled(request)

    def _open(self, request: OrderRequest) -> VenueOrder:
        nothing = Decimal(0)
        venue_id = f"venue-{request.client_order_id}"
        return VenueOrder(
            request.client_order_id, venue_id, request.market, request.side, False, nothing, nothing, nothing
        )

    def _filled(self, request: OrderRequest) -> VenueOrder:
        if request.krw is not None:
            qty = (request.krw / self.price).quantize(Decimal("1e-8"), rounding=ROUND_FLOOR)
        else:
            assert request.qty is not None
            qty = request.qty
        funds = qty * self.price
        base = request.market.partition("-")[2]
        sign = 1 if request.side is Side.BUY else -1
        self.holdings[base] = self.holdings.get(base, Decimal(0)) + sign * qty
        fill = VenueFill(self.price, qty, funds, self._clock.now_ms())
        return VenueOrder(
            request.client_order_id,
            f"venue-{request.client_order_id}",
            request.market,
            request.side,
            True,
            qty,
            funds,
            funds * FEE,
            (fill,),
        )


def message(item: Trade | None) -> Frame:
    """Give the exchange's message of a trade, or one that cannot be read."""
    if item is None:
        return Frame(b'{"type":"trade","code":"KRW-BTC"', 0)
    line = repair_line(item, 0, 0)
    return Frame(line[: line.index(b',"source"')] + b"}", item.ts_received_ns)


class FakeFeed:
    """Yields a script's trades with the clock at their time; awaits its acts in between; then sets `stop`."""

    def __init__(
        self, script: Sequence[Trade | Disconnected | Act | None], clock: FixedClock, stop: asyncio.Event
    ) -> None:
        self._script = list(script)
        self._clock = clock
        self._stop = stop
        self.is_closed = False

    async def frames(self) -> AsyncIterator[Frame | Disconnected]:
        try:
            for item in self._script:
                if isinstance(item, Disconnected):
                    yield item
                elif isinstance(item, Trade) or item is None:
                    if item is not None:
                        self._clock.set(max(self._clock.now_ms(), item.ts_event_ms))
                    yield message(item)
                else:
                    await item()
            self._stop.set()
            await asyncio.Event().wait()
        finally:
            self.is_closed = True


class FakeForecaster:
    """Forecasts by minute; `failing` minutes give the error of a model whose answer is no price."""

    def __init__(self, prices: Mapping[int, float], failing: Sequence[int] = ()) -> None:
        self.prices = dict(prices)
        self.failing = set(failing)
        self.asked: list[tuple[int, pl.DataFrame]] = []

    def refresh(self) -> bool:
        return False

    def champion_forecast(self, bars: pl.DataFrame, minute_ms: int, made_at_ms: int) -> Forecast | None:
        self.asked.append((minute_ms, bars))
        if minute_ms in self.failing:
            raise DataError("model gave no price")
        price = self.prices.get(minute_ms)
        if price is None:
            return None
        return Forecast(MARKET, minute_ms, "fake-1", made_at_ms, minute_ms - MINUTE_MS, price, 0.0, price)


class MemorySession:
    """Implements `ports.SessionRecorder` and `ports.RecordedSession` over a list; `kept` is that list."""

    name = "memory"

    def __init__(self) -> None:
        self.problem = ""
        self.kept: list[Frame | Fact] = []

    def frame(self, frame: Frame) -> None:
        self.kept.append(frame)

    def note(self, fact: Fact | MakeFact) -> None:
        self.kept.append(fact() if callable(fact) else fact)

    async def close(self) -> None:
        pass

    def steps(self) -> Iterator[SessionStep]:
        at, trade, facts = Position(), None, []
        for item in self.kept:
            if not isinstance(item, Frame):
                facts.append(item)
                continue
            try:
                following = decode_trade(item)
            except CorruptLineError:
                continue
            yield SessionStep(at, trade, tuple(facts))
            at, trade, facts = Position("frames", at.line + 1), following, []
        yield SessionStep(at, trade, tuple(facts), is_whole=any(isinstance(one, Ended) for one in facts))


@dataclass
class FakePorts:
    clock: FixedClock
    strategy: StrategySettings
    markets: tuple[str, ...] = (MARKET,)
    market_data: FakeMarketData = field(default_factory=lambda: FakeMarketData(quiet_candles()))
    warehouse: Any = field(default_factory=MemoryWarehouse)


def quiet_candles(count: int = 5) -> list[Candle]:
    """Candles of the minutes before the start, so that the stream takes over without a hole."""
    opens = [START_MS - (back + 1) * MINUTE_MS for back in range(count)]
    return [Candle(MARKET, ts_ms, 5e7, 5e7, 5e7, 5e7, 1.0, 5e7) for ts_ms in reversed(opens)]


def at(minute: int, ms: int = 0) -> int:
    return START_MS + minute * MINUTE_MS + ms


def trade(ts_ms: int, price: float, trade_id: int | None = None, market: str = MARKET) -> Trade:
    number = ts_ms if trade_id is None else trade_id
    return Trade(market, number, ts_ms, ts_ms * 1_000_000, number, price, 1_000_000, Side.BUY, Change.RISE)


CONNECTED = Disconnected(None, START_MS, "start")


class Stage:
    """A bot with everything around it; `play` runs it over a script, and replays its session.

    Attributes:
        open_session, read_session: how each run is kept and read back; in memory, if not set.
        session: that of the last run; `replayed` is what its replay came to, always equal.
    """

    def __init__(self, forecasts: Mapping[int, float] | None = None, **strategy: Any) -> None:
        self.clock = FixedClock(START_MS)
        self.ports = FakePorts(self.clock, StrategySettings(**strategy))
        self.broker = FakeBroker(self.clock)
        self.order_log: Any = MemoryOrderLog()
        self.forecaster = FakeForecaster(forecasts or {})
        self.reports: list[tuple[str, dict[str, Any]]] = []
        self.bot: Bot | None = None
        self.open_session: Callable[[], Any] = MemorySession
        self.read_session: Callable[[Any], RecordedSession] = lambda session: session
        self.session: Any = None
        self.replayed: ReplayResult | None = None

    async def play(self, *script: Trade | Disconnected | Act | None) -> Bot:
        """Run a new bot, as after a restart, over these frames; give it after it has stopped."""
        stop = asyncio.Event()
        feed = FakeFeed([CONNECTED, *script], self.clock, stop)
        self.feed = feed
        self.session = self.open_session()
        self.bot = Bot(
            name="b",
            ports=self.ports,
            feed=feed,
            broker=self.broker,
            order_log=self.order_log,
            session=self.session,
            parse=decode_trade,
            forecaster_for=lambda market: self.forecaster,
            report=lambda message, figures: self.reports.append((message, figures)),
            finish_deadline_s=0.05,
        )
        try:
            async with asyncio.timeout(20):
                await self.bot.run(stop)
        finally:  # of whatever a bot did before it failed, too
            await self.session.close()
            self.replayed = replay_session(self.read_session(self.session))
            assert self.replayed.is_equal, self.replayed.difference
            self._check_replay(self.bot, self.replayed)
        return self.bot

    def _check_replay(self, bot: Bot, replayed: ReplayResult) -> None:
        """The replay ends with the bot's own purse and has asked the strategy as often."""
        assert replayed.decisions == sum(desk.decided for desk in bot.desks.values())
        if replayed.started is not None:
            assert replayed.purse.state() == bot.purse.state()

    async def until(self, condition: Callable[[], bool]) -> None:
        await until(condition)

    async def settled(self) -> None:
        """Wait until no order is in flight."""
        await until(lambda: self.bot is not None and not self.bot.purse.open_orders())
