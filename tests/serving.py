"""What tests of serving share: a model that says one thing, candles, and a feed that follows a script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import httpx
import numpy as np
from numpy.typing import NDArray

from fakes import START_MS, FakeMarketData, FixedClock, MemoryRegistry, MemoryWarehouse
from tickloop.domain.features import FEATURE_SETS
from tickloop.domain.market import Candle, Change, Side, Trade
from tickloop.domain.window import MINUTE_MS, Window
from tickloop.entrypoints.api.app import create_app
from tickloop.entrypoints.api.live import TickerNote
from tickloop.entrypoints.api.runtime import ServingRuntime
from tickloop.errors import CorruptLineError, DataError
from tickloop.ports import Decision, Disconnected, Frame, Model, ModelRegistry, ModelVersion
from tickloop.services.predict import LiveForecaster

MARKET = "KRW-BTC"
OTHER = "KRW-ETH"
NOW_MIN = FEATURE_SETS["bar"].window + 30
"""The minute in which the tests stand: the candles of all minutes before it exist."""

NEVER_LEFT = Disconnected(None, START_MS + NOW_MIN * MINUTE_MS, "first connection")


class ConstantModel:
    """Says the same for every minute, and keeps the features that it was asked with."""

    family = "constant"
    feature_set = "bar"

    def __init__(self, log_return: float) -> None:
        self.log_return = log_return
        self.asked: list[NDArray[np.float64]] = []

    def predict(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        self.asked.append(features.copy())
        return np.full(len(features), self.log_return)

    def files(self) -> dict[str, bytes]:
        return {"log_return": str(self.log_return).encode()}


def load_constant(registry: ModelRegistry, version: ModelVersion) -> Model:
    """Load a `ConstantModel`; `DataError` for text that is no number."""
    text = registry.files(version)["log_return"]
    try:
        return ConstantModel(float(text))
    except ValueError as exc:
        raise DataError(f"log_return = {text!r}; valid: a number") from exc


def candles(count: int, market: str = MARKET) -> list[Candle]:
    """Candles of the minutes from the start on, each with a price of its own."""
    prices = [50_000_000.0 + 1_000 * (minute * 7 % 23) for minute in range(count)]
    return [
        Candle(market, at(minute), price, price, price, price, 2.0, 2 * price) for minute, price in enumerate(prices)
    ]


def at(minute: int) -> int:
    return START_MS + minute * MINUTE_MS


def register(
    registry: MemoryRegistry, family: str, log_return: str, slot: int = 0, market: str = MARKET
) -> ModelVersion:
    files = {"log_return": log_return.encode()}
    hours = Window(at(slot * 360), at(slot * 360 + 360))
    return registry.register(market, family, files, params={}, metrics={}, lineage={}, slot=hours)


def promote(registry: MemoryRegistry, name: str, previous: str | None = None, market: str = MARKET) -> None:
    registry.decide(Decision(market, START_MS, name, previous, True, "in a test", {}, START_MS))


def trade(trade_id: int, ts_ms: int, price: float = 50_000_000.0, market: str = MARKET) -> Trade:
    return Trade(market, trade_id, ts_ms, ts_ms * 1_000_000, trade_id, price, 100_000_000, Side.BUY, Change.RISE)


class ScriptedFeed:
    """Yields what it was given, then stays silent. `decode` reads its frames."""

    def __init__(self, script: Sequence[Disconnected | Trade | TickerNote | None]) -> None:
        self._script = list(script)

    async def frames(self) -> AsyncIterator[Frame | Disconnected]:
        for number, item in enumerate(self._script):
            yield item if isinstance(item, Disconnected) else Frame(str(number).encode(), 0)
        await asyncio.Event().wait()

    def decode(self, frame: Frame) -> Trade | TickerNote | None:
        item = self._script[int(frame.raw)]
        assert not isinstance(item, Disconnected)
        if item is None:
            raise CorruptLineError("a frame that cannot be read")
        return item


@dataclass
class World:
    """A runtime with all that it is made of."""

    clock: FixedClock
    warehouse: MemoryWarehouse
    registry: MemoryRegistry
    market_data: FakeMarketData
    runtime: ServingRuntime

    async def prepare(self) -> None:
        """Read the whole script, the registry and the start-up bars, and close what is over."""
        reading = asyncio.create_task(self.runtime.read_feed())
        await asyncio.sleep(0)  # a scripted feed gives all it has at once
        reading.cancel()
        await self.runtime.prepare()
        await self.runtime.forecast_minute(self.clock.now_ms() // MINUTE_MS * MINUTE_MS)

    def client(self, token: str | None = None) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app=create_app(self.runtime, token))
        return httpx.AsyncClient(transport=transport, base_url="http://api")


def world(
    script: Sequence[Disconnected | Trade | TickerNote | None] = (NEVER_LEFT,),
    warehouse: MemoryWarehouse | None = None,
    now_ms: int = at(NOW_MIN) + 2_000,
    is_promoted: bool = True,
) -> World:
    clock = FixedClock(now_ms)
    registry = MemoryRegistry(clock)
    for market in (MARKET, OTHER):
        register(registry, "persistence", "0.0", market=market)
        register(registry, "ridge", "0.001", market=market)
        if is_promoted:
            promote(registry, "ridge-2", "persistence-1", market)
    stored = warehouse or MemoryWarehouse()
    market_data = FakeMarketData([*candles(NOW_MIN), *candles(NOW_MIN, OTHER)])
    feed = ScriptedFeed(script)
    runtime = ServingRuntime(
        clock=clock,
        feed=feed,
        decode=feed.decode,
        market_data=market_data,
        warehouse=stored,
        registry=registry,
        forecasters=[LiveForecaster(market, registry, load_constant, stored) for market in (MARKET, OTHER)],
    )
    return World(clock, stored, registry, market_data, runtime)
