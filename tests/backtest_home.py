"""A home with two hours of two markets, for back-tests by the command: bars, trades and a settled ledger."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest

from fakes import fill_lake
from tickloop.adapters.local.home import prepare_home
from tickloop.bootstrap import open_app
from tickloop.domain.bars import trade_frame
from tickloop.domain.market import Change, Side, Trade
from tickloop.domain.tables import BAR_1M, LEDGER, Table
from tickloop.domain.window import HOUR_MS, MINUTE_MS, Window
from tickloop.entrypoints.cli import main
from tickloop.settings import load_settings

MARKET, OTHER = "KRW-BTC", "KRW-ETH"
START = 1_705_881_600_000  # 2024-01-22T00:00Z
WINDOW = "2024-01-22T00..2024-01-22T02"
MINUTES = 2 * HOUR_MS // MINUTE_MS


class Done(NamedTuple):
    code: int
    out: str
    err: str


def price_of(market: str, minute: int) -> float:
    """Give a saw of four steps up and four down, 0.4 % a step: what any strategy of crossings or dips trades."""
    step = minute % 8
    level = 50_000_000.0 if market == MARKET else 2_500_000.0
    return level + level * 0.004 * (step if step < 4 else 8 - step)


def make_home(folder: Path, states: Mapping[int, str] | None = None, *, settings: str = "") -> Path:
    """Fill a home; minutes are `verified` unless `states` says otherwise, a state `absent` leaves the row out."""
    states = states or {}
    prepare_home(folder)
    if settings:
        (folder / "tickloop.toml").write_text(settings, encoding="utf-8")
    with open_app(load_settings(folder)) as app:
        for market in (MARKET, OTHER):
            fill_lake(app.lake, trade_frame(_trades(market)), Window(START, START + MINUTES * MINUTE_MS))
            app.warehouse.upsert(BAR_1M, _frame(BAR_1M, [_bar(market, minute, states) for minute in range(MINUTES)]))
            ledger = [_ledger(market, minute, states) for minute in range(MINUTES) if states.get(minute) != "absent"]
            app.warehouse.upsert(LEDGER, _frame(LEDGER, ledger))
    return folder


def command(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *args: str) -> Done:
    """Run the program in this process; give its exit code and what it printed."""
    monkeypatch.setattr(sys, "argv", ["tickloop", *args])
    capfd.readouterr()
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capfd.readouterr()
    return Done(int(ended.value.code or 0), out, err)


def _trades(market: str) -> list[Trade]:
    times = [START + minute * MINUTE_MS + 5_000 * part for minute in range(MINUTES) for part in range(12)]
    return [
        Trade(market, ts, ts, ts * 10**6, ts * 10**6, price, 1_000, Side.BUY, Change.RISE)
        for ts in times
        for price in [price_of(market, (ts - START) // MINUTE_MS)]
    ]


def _bar(market: str, minute: int, states: Mapping[int, str]) -> dict[str, object]:
    price = price_of(market, minute)
    state = states.get(minute, "verified")
    return {
        "market": market, "ts_open": START + minute * MINUTE_MS, "open": price, "high": price, "low": price,
        "close": price, "vwap": price, "mean_price": price, "volume": 1.0, "notional": price, "trades": 12,
        "buy_volume": 1.0, "sell_volume": 0.0, "change_mode": "RISE",
        "state": "unknown" if state == "absent" else state,
    }  # fmt: skip


def _ledger(market: str, minute: int, states: Mapping[int, str]) -> dict[str, object]:
    return {
        "market": market, "minute": START + minute * MINUTE_MS, "state": states.get(minute, "verified"),
        "reason": None, "our_volume": 1.0, "candle_volume": 1.0, "trades": 12, "is_rounded": False,
    }  # fmt: skip


def _frame(table: Table, rows: list[dict[str, object]]) -> pl.DataFrame:
    whole = {name: pl.Int64() if dtype.is_temporal() else dtype for name, dtype in table.columns.items()}
    return pl.DataFrame(rows, schema=whole).cast(dict(table.columns))
