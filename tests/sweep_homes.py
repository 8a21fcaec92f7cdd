"""Homes with bars to search over, and strategies of files that a search can meet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from fakes import START_MS, fill_lake
from tickloop.adapters.local.home import prepare_home
from tickloop.adapters.local.warehouse import SqliteWarehouse
from tickloop.domain.bars import trade_frame
from tickloop.domain.market import Change, Side, Trade
from tickloop.domain.tables import BAR_1M, LEDGER, Table
from tickloop.domain.window import HOUR_MS, MINUTE_MS, Window
from tickloop.ports import Lake, Warehouse

MARKET = "KRW-BTC"
DAY = Window(START_MS, START_MS + 24 * HOUR_MS)
WINDOW_TEXT = str(DAY)

WAITING = '''
import os
import time
from typing import NamedTuple

import numpy as np

from tickloop.domain.space import Range
from tickloop.domain.strategies.target import target_strategy


class Params(NamedTuple):
    order_krw: float = 6_000.0
    fee_rate: float = 0.0005
    min_total: float = 5_000.0
    length: int = 10


def signal(params, close):
    """Hold while the close is above that of some bars ago; a setting of 30 or more waits for a file."""
    while params.length >= 30 and not os.path.exists(os.environ["GATE"]):
        time.sleep(0.01)
    wanted = np.full(len(close), np.nan)
    wanted[params.length :] = close[params.length :] > close[: -params.length]
    return wanted


waiting = target_strategy("waiting", signal, {"default": Params()}, {"length": Range(1, 60, step=1)})
'''
"""A strategy of a file, whose settings of 30 and more wait until the file that GATE names is there."""


def frame(table: Table, rows: list[dict[str, object]]) -> pl.DataFrame:
    whole = {name: pl.Int64() if dtype.is_temporal() else dtype for name, dtype in table.columns.items()}
    return pl.DataFrame(rows, schema=whole).cast(dict(table.columns))


def fill_bars(warehouse: Warehouse, window: Window = DAY, market: str = MARKET, seed: int = 1) -> None:
    """Put a seeded walk of bars into a warehouse, every minute settled."""
    minutes = range(window.start_ms, window.end_ms, MINUTE_MS)
    close = 50e6 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0.0, 1e-3, len(minutes))))
    close = np.round(close / 1000.0) * 1000.0
    opened = np.concatenate([[50e6], close[:-1]])
    bars, ledger = [], []
    for at, first, last in zip(minutes, opened.tolist(), close.tolist(), strict=True):
        bars.append(
            {
                "market": market, "ts_open": at, "open": first, "high": max(first, last) + 3000.0,
                "low": min(first, last), "close": last, "volume": 1.0, "notional": last, "state": "verified",
            }
        )  # fmt: skip
        ledger.append({"market": market, "minute": at, "state": "verified", "trades": 3, "is_rounded": False})
    warehouse.upsert(BAR_1M, frame(BAR_1M, bars))
    warehouse.upsert(LEDGER, frame(LEDGER, ledger))


def fill_trades(lake: Lake, window: Window = DAY, market: str = MARKET, seed: int = 2) -> None:
    """Put a seeded walk of trades into a lake, one every twenty seconds."""
    times = range(window.start_ms + 5_000, window.end_ms, 20_000)
    walk = 50e6 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0.0, 6e-4, len(times))))
    prices = (np.round(walk / 1000.0) * 1000.0).tolist()
    trades = [
        Trade(market, at, at, at * 10**6, number, price, 10_000, Side.BUY, Change.RISE)
        for number, (at, price) in enumerate(zip(times, prices, strict=True))
    ]
    fill_lake(lake, trade_frame(trades), window)


def home_with_bars(folder: Path, window: Window = DAY) -> Path:
    """Make a home that can be searched, and `waiting.py` beside it."""
    prepare_home(folder)
    warehouse = SqliteWarehouse(folder / "warehouse.sqlite")
    fill_bars(warehouse, window)
    warehouse.close()
    (folder.parent / "waiting.py").write_text(WAITING)
    return folder
