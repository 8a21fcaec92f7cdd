"""A small market whose next minute can be learnt, and the ports that training and promotion use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from fakes import START_MS, FixedClock, MemoryRegistry, MemoryWarehouse, MemoryWindowLock
from tickloop.domain.tables import BAR_1M
from tickloop.domain.window import HOUR_MS, MINUTE_MS, Window
from tickloop.settings import PromotionSettings, TrainingSettings

MARKET = "KRW-BTC"
SLOT = Window(START_MS - 6 * HOUR_MS, START_MS)
DATA = Window(SLOT.end_ms - 30 * HOUR_MS, SLOT.end_ms)
"""24 hours of training, 6 of gate."""
GATE = Window(SLOT.end_ms - 6 * HOUR_MS, SLOT.end_ms)


def bouncing_bars(start_ms: int, count: int, seed: int = 1, missing: Sequence[int] = ()) -> pl.DataFrame:
    """Give a BAR_1M frame around a slow random walk; closes lie some 3 basis points off it, vwap near it.

    Args:
        missing: minutes (from 0) that had no trade.
    """
    random = np.random.default_rng(seed)
    middle = 57e6 * np.exp(np.cumsum(random.normal(0, 1e-4, count)))
    opens, closes = (middle * (1 + random.normal(0, 3e-4, count)) for _ in range(2))
    high, low = np.maximum(opens, closes) * 1.0001, np.minimum(opens, closes) * 0.9999
    volume = random.uniform(0.1, 2.0, count)
    columns = {
        "market": [MARKET] * count,
        "ts_open": start_ms + np.arange(count) * MINUTE_MS,
        "open": opens,
        "high": high,
        "low": low,
        "close": closes,
        "vwap": middle,
        "mean_price": middle,
        "volume": volume,
        "notional": volume * middle,
        "trades": np.full(count, 5),
        "buy_volume": volume / 2,
        "sell_volume": volume / 2,
        "change_mode": ["RISE"] * count,
        "state": ["verified"] * count,
    }
    kept = np.setdiff1d(np.arange(count), missing)
    return pl.DataFrame(columns, schema=BAR_1M.columns)[kept]


@dataclass
class SlotPorts:
    """What training and promotion use of a step's ports. The clock stands where the slot ends."""

    markets: tuple[str, ...] = (MARKET,)
    clock: FixedClock = field(default_factory=lambda: FixedClock(SLOT.end_ms))
    warehouse: MemoryWarehouse = field(default_factory=MemoryWarehouse)
    lock: MemoryWindowLock = field(default_factory=MemoryWindowLock)
    training: TrainingSettings = field(
        default_factory=lambda: TrainingSettings(training_hours=24, gate_hours=6, families=("ridge",), seed=7)
    )
    promotion: PromotionSettings = field(default_factory=PromotionSettings)

    def __post_init__(self) -> None:
        self.registry = MemoryRegistry(self.clock)


def filled_ports(bars: pl.DataFrame | None = None) -> SlotPorts:
    """Give ports whose warehouse holds bars of the slot's data, `bouncing_bars` if none are given."""
    ports = SlotPorts()
    ports.warehouse.upsert(BAR_1M, bouncing_bars(DATA.start_ms, 1800) if bars is None else bars)
    return ports
