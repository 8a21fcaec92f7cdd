"""The bot against the real simulator, stepped; its session replayed gives equal orders, prices and times."""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from fakes import START_MS, MemoryWarehouse
from simulated_exchange import ACCESS_KEY, SECRET_KEY, RunningSimulator, running_simulator
from tickloop.adapters.local.bot_session import BotSessionWriter
from tickloop.adapters.local.bot_session_read import BotSessionFiles
from tickloop.adapters.local.clock import SteppedClock, acknowledger
from tickloop.adapters.local.order_log import FileOrderLog
from tickloop.adapters.upbit.auth import Credentials
from tickloop.adapters.upbit.broker import UpbitBroker
from tickloop.adapters.upbit.feed import UpbitFeed
from tickloop.adapters.upbit.orders import NewOrder
from tickloop.adapters.upbit.private import UpbitPrivate
from tickloop.adapters.upbit.public import UpbitPublic
from tickloop.adapters.upbit.rest import UpbitMarketData
from tickloop.domain.bot_session import Forecasted, MinutesAsked, MinutesFilled, OrderNoted, StreamLost
from tickloop.domain.forecast import Forecast
from tickloop.domain.market import Candle, Side
from tickloop.domain.orders import OrderState
from tickloop.domain.window import MINUTE_MS, Window
from tickloop.entrypoints.commands.replay import replay
from tickloop.entrypoints.decoding import decode_trade
from tickloop.errors import CheckFailedError
from tickloop.ports import Clock, Disconnected, Frame, OrderRequest, VenueOrder
from tickloop.services.replay_session import replay_session
from tickloop.services.trade import Bot
from tickloop.settings import StrategySettings

NAME = "tickloop/bot"
MARKETS = ("KRW-BTC", "KRW-ETH")
MINUTES = 75
DEADLINE_S = 240.0
UNFILLED = (4, 9)
"""Placements, counted from 1, that end without a fill."""


class OddBroker(UpbitBroker):
    """Sends some of the bot's buys as orders that nothing fills: all or nothing, far below the market."""

    def __init__(self, rest_url: str, clock: Clock) -> None:
        super().__init__(rest_url, ACCESS_KEY, SECRET_KEY, clock)
        self._own = UpbitPrivate(rest_url, Credentials(ACCESS_KEY, SECRET_KEY), clock)
        self.placed = 0

    async def place(self, request: OrderRequest) -> VenueOrder:
        self.placed += 1
        if self.placed not in UNFILLED or request.side is Side.SELL:
            return await super().place(request)
        low = NewOrder(
            request.market,
            Side.BUY,
            "limit",
            price=Decimal(1_000_000),
            volume=Decimal("0.006"),
            time_in_force="fok",
            identifier=request.client_order_id,
        )
        await self._own.place(low)
        found = await self.find(request.client_order_id)
        assert found is not None
        return found

    async def close(self) -> None:
        await self._own.close()
        await super().close()


class Trend:
    """Forecasts a little more than the newest close, by the minute, and now and then no price or nothing at all."""

    def __init__(self, market: str) -> None:
        self._market = market

    def refresh(self) -> bool:
        return False

    def champion_forecast(self, bars: pl.DataFrame, minute_ms: int, made_at_ms: int) -> Forecast | None:
        number = minute_ms // MINUTE_MS
        if number % 11 == 3:
            return None
        last_ms, close = int(bars["ts_open"].to_physical()[-1]), float(bars["close"][-1])
        price = close * (1 + 0.0004 * (number % 4))
        return Forecast(self._market, minute_ms, "trend-1", made_at_ms, last_ms, close, 0.0, price)


class GatedCandles:
    """The exchange's candles, which come when `gate` is open."""

    def __init__(self, inner: UpbitMarketData) -> None:
        self._inner = inner
        self.gate = threading.Event()
        self.gate.set()

    def candles(self, market: str, window: Window) -> list[Candle]:
        assert self.gate.wait(DEADLINE_S)
        return self._inner.candles(market, window)


class CountingFeed:
    """A feed that counts its connections."""

    def __init__(self, inner: UpbitFeed) -> None:
        self._inner = inner
        self.connections = 0

    async def frames(self) -> AsyncIterator[Frame | Disconnected]:
        async with aclosing(self._inner.frames()) as items:
            async for item in items:
                self.connections += isinstance(item, Disconnected)
                yield item


@dataclass
class Ports:
    clock: Clock
    market_data: Any
    strategy: StrategySettings
    markets: tuple[str, ...] = MARKETS
    warehouse: Any = field(default_factory=MemoryWarehouse)


def control(simulator: RunningSimulator, what: str, **body: Any) -> None:
    data = json.dumps(body).encode()
    request = urllib.request.Request(f"{simulator.rest_url}/control/{what}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 200


async def until(condition: Any) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.005)


async def trade(simulator: RunningSimulator, home: Path) -> tuple[Path, list[VenueOrder | None]]:
    """Let the bot trade for some market time with all that may go wrong; give its session, and its orders as told."""
    clock = SteppedClock(simulator.clock_path, NAME, acknowledger(simulator.rest_url))
    market_data = UpbitMarketData(UpbitPublic(simulator.rest_url, clock), clock)
    candles = GatedCandles(market_data)
    feed = CountingFeed(
        UpbitFeed(simulator.websocket_url, MARKETS, ["trade"], clock, user_agent=NAME, first_delay_s=0.01)
    )
    broker = OddBroker(simulator.rest_url, clock)
    order_log = FileOrderLog(home / "bots" / "bot")
    session = BotSessionWriter(home / "bots" / "bot" / "sessions", clock, segment_bytes=50_000)
    stop = asyncio.Event()
    bot = Bot(
        name="bot",
        ports=Ports(clock, candles, StrategySettings(preset="seed2023", order_notional=Decimal(6_000), budget=900_000)),
        feed=feed,
        broker=broker,
        order_log=order_log,
        session=session,
        parse=decode_trade,
        forecaster_for=Trend,
        report=lambda message, figures: None,
    )
    running = asyncio.create_task(bot.run(stop))
    try:
        await until(lambda: bot.seen.is_subscribed or running.done())
        for minute in range(MINUTES):
            if minute == 20:  # a gap, whose candles come three minutes late
                candles.gate.clear()
                await asyncio.to_thread(control, simulator, "drop")
                await until(lambda: feed.connections == 2 or running.done())
            elif minute == 23:
                candles.gate.set()
            elif minute == 30:
                fault = {"kind": "answer_lost", "path": "/v1/orders", "method": "POST", "count": 2}
                await asyncio.to_thread(control, simulator, "faults", **fault)
            end_ms = START_MS + (minute + 1) * MINUTE_MS
            await asyncio.to_thread(control, simulator, "step", until_ms=end_ms)
        stop.set()
        await running
        found = [await broker.find(order_id) for order_id in bot.purse.orders]
    finally:
        candles.gate.set()
        running.cancel()
        await asyncio.wait([running])
        await session.close()
        await broker.close()
        order_log.close()
        market_data.close()
    return session.folder, found


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[VenueOrder | None]]:
    """Give the home, the session and the exchange's view of each order, in order."""
    folder = tmp_path_factory.mktemp("replay")
    with running_simulator(folder / "sim", is_stepped=True, krw=Decimal(230_000)) as simulator:
        session, found = asyncio.run(trade(simulator, folder / "home"))
    return folder / "home", session, found


def test_replay_gives_the_orders_prices_and_times_of_the_exchange(
    traded: tuple[Path, Path, list[VenueOrder | None]],
) -> None:
    """The session alone against the order log and against what the exchange tells of each order."""
    home, session, found = traded

    result = replay_session(BotSessionFiles(session))

    assert result.is_equal, result.difference
    assert result.has_ended
    order_log = FileOrderLog(home / "bots" / "bot")
    logged = [event.intent for event in order_log.read() if event.intent is not None]
    order_log.close()
    assert [one.order.intent for one in result.orders] == logged
    for one, venue in zip(result.orders, found, strict=True):
        if one.order.state is OrderState.REJECTED:
            assert venue is None
            continue
        assert venue is not None
        done, fills = one.order.execution, venue.fills
        assert (done.qty, done.funds, done.fee) == (venue.executed_qty, venue.executed_funds, venue.paid_fee)
        assert done.filled_at_ms == max((fill.ts_ms for fill in fills), default=None)


def test_run_had_everything_that_a_replay_must_get_right(traded: tuple[Path, Path, list[VenueOrder | None]]) -> None:
    """Dozens of orders, sells among them; refused ones, some without a fill; a gap, and forecasts that came late."""
    _, session, _ = traded
    steps = list(BotSessionFiles(session).steps())
    facts = Counter(type(fact) for step in steps for fact in step.facts)
    events = [fact.event for step in steps for fact in step.facts if isinstance(fact, OrderNoted)]
    states = Counter(event.state for event in events)
    closed = [event.execution for event in events if event.state is OrderState.CLOSED]
    sides = Counter(event.intent.side for event in events if event.intent is not None)

    assert states[OrderState.CLOSED] >= 20
    assert states[OrderState.REJECTED] >= 1
    assert sides[Side.SELL] >= 3
    assert sum(done is not None and done.qty == 0 for done in closed) == len(UNFILLED)
    assert facts[StreamLost] == 2
    assert facts[MinutesAsked] >= len(MARKETS)
    assert facts[MinutesFilled] >= len(MARKETS)
    late = [
        fact
        for step in steps
        for fact in step.facts
        if isinstance(fact, Forecasted) and step.trade is not None and step.trade.ts_event_ms > fact.minute_ms + 30_000
    ]
    assert late
    assert len({step.position.segment for step in steps}) > 3


def test_command_shows_the_orders_and_ends_with_3_when_a_line_was_changed(
    traded: tuple[Path, Path, list[VenueOrder | None]], capsys: pytest.CaptureFixture[str]
) -> None:
    """The price of the trade that the first order was decided at, a won higher."""
    home, session, found = traded
    replay("last", home, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["equal"], told["orders"], len(told["rows"])) == (True, len(found), len(found))
    line, _, segment = told["rows"][0]["at"].removeprefix("line ").partition(" of ")
    path = session / segment
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    price = b'"trade_price":%d' % int(told["rows"][0]["price"])
    assert price in lines[int(line) - 1]

    lines[int(line) - 1] = lines[int(line) - 1].replace(
        price, b'"trade_price":%d' % (int(price.partition(b":")[2]) + 1)
    )
    path.write_bytes(b"".join(lines))
    try:
        with pytest.raises(CheckFailedError, match=f"at line {line} of {segment} .*price") as refused:
            replay(session.name, home, as_json=False)
    finally:
        path.write_bytes(whole)

    assert refused.value.exit_code == 3
    assert "equal        False" in capsys.readouterr().out
