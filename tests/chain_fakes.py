"""A small exchange and a home of in-memory ports, for tests of the steps."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from fakes import (
    START_MS,
    FakeMarketData,
    FakeRawStore,
    FixedClock,
    MemoryLake,
    MemoryRegistry,
    MemoryWarehouse,
    MemoryWindowLock,
)
from tickloop.domain.market import Candle, Change, Side, Trade
from tickloop.domain.tables import BAR_1M, FEATURE, LEDGER, TRADE
from tickloop.domain.universe import Span
from tickloop.domain.window import HOUR_MS, MINUTE_MS, Window
from tickloop.settings import PromotionSettings, StrategySettings, TrainingSettings

SHORT_TRAINING = TrainingSettings(training_hours=24, gate_hours=6, families=())
"""No candidates: the steps of this suite need none, and fitting takes time."""

HOUR = Window(START_MS, START_MS + HOUR_MS)


@dataclass
class FakePorts:
    """What a step may use, all in memory."""

    markets: tuple[str, ...] = ("KRW-BTC",)
    clock: FixedClock = field(default_factory=lambda: FixedClock(START_MS + 2 * HOUR_MS))
    raw: FakeRawStore = field(default_factory=FakeRawStore)
    lake: MemoryLake = field(default_factory=MemoryLake)
    warehouse: MemoryWarehouse = field(default_factory=MemoryWarehouse)
    market_data: FakeMarketData = field(default_factory=FakeMarketData)
    registry: MemoryRegistry = field(default_factory=lambda: MemoryRegistry(FixedClock()))
    lock: MemoryWindowLock = field(default_factory=MemoryWindowLock)
    training: TrainingSettings = field(default_factory=lambda: SHORT_TRAINING)
    promotion: PromotionSettings = field(default_factory=PromotionSettings)
    strategy: StrategySettings = field(default_factory=StrategySettings)
    is_path_invented: bool = False
    collected: dict[str, Span] = field(default_factory=dict)


def made_trades(
    minutes: Sequence[int], market: str = "KRW-BTC", seed: int = 1, start_ms: int = START_MS
) -> list[Trade]:
    """Give three trades for each minute, on a seeded walk, in exchange order."""
    walk = random.Random(seed)
    price, trades = 57_000_000.0, []
    for minute in minutes:
        offsets = sorted(walk.randrange(MINUTE_MS) for _ in range(3))
        for offset in offsets:
            price += walk.randrange(-5, 6) * 1000.0
            at = start_ms + minute * MINUTE_MS + offset
            side = walk.choice(list(Side))
            number = len(trades) + 1
            trades.append(
                Trade(
                    market,
                    at * 10 + number % 10,
                    at,
                    at * 10**6,
                    number,
                    price,
                    walk.randrange(1, 10**8),
                    side,
                    Change.RISE,
                )
            )
    return trades


def candles_of(trades: Sequence[Trade]) -> list[Candle]:
    """Give the exchange's candles of its trades, by plain arithmetic."""
    by_minute: dict[tuple[str, int], list[Trade]] = {}
    for trade in trades:
        by_minute.setdefault((trade.market, trade.ts_event_ms - trade.ts_event_ms % MINUTE_MS), []).append(trade)
    return [
        Candle(
            market,
            start,
            own[0].price,
            max(trade.price for trade in own),
            min(trade.price for trade in own),
            own[-1].price,
            sum(trade.qty_e8 for trade in own) / 10**8,
            sum(trade.price * trade.qty_e8 for trade in own) / 10**8,
        )
        for (market, start), own in by_minute.items()
    ]


def home(
    made: Sequence[Trade],
    *,
    lost: Sequence[Trade] = (),
    refused: Sequence[Trade] = (),
    markets: tuple[str, ...] = ("KRW-BTC",),
    now_ms: int = START_MS + 2 * HOUR_MS,
) -> FakePorts:
    """Give ports on an exchange that made some trades.

    Args:
        lost: trades that the stream did not deliver.
        refused: trades that REST does not give.
    """
    lost_ids = {trade.trade_id for trade in lost}
    refused_ids = {trade.trade_id for trade in refused}
    data = FakeMarketData(candles_of(made), [trade for trade in made if trade.trade_id not in refused_ids])
    streamed = [trade for trade in made if trade.trade_id not in lost_ids]
    return FakePorts(markets=markets, clock=FixedClock(now_ms), raw=FakeRawStore(streamed), market_data=data)


def minute_of(trade: Trade) -> int:
    return (trade.ts_event_ms - START_MS) // MINUTE_MS


def digest(ports: FakePorts, window: Window = HOUR, market: str = "KRW-BTC") -> dict[str, pl.DataFrame]:
    """Give the rows of a window in every table that the hourly steps write."""
    return {table.name: ports.warehouse.read(table, market, window) for table in (TRADE, LEDGER, BAR_1M, FEATURE)}


def same(left: dict[str, pl.DataFrame], right: dict[str, pl.DataFrame]) -> bool:
    return all(left[name].equals(right[name]) for name in left)


def repeated(trades: Sequence[Trade]) -> list[Trade]:
    """Give the trades with every fifth one delivered once more, later."""
    last = max(trade.arrival for trade in trades)
    again = [replace(trade, arrival=last + number) for number, trade in enumerate(trades[::5], start=1)]
    return [*trades, *again]
