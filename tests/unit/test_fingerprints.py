"""Every shipped strategy fills as it always did: a fingerprint of each fill over the real data that ships.

Ticks are the trades of two markets in `bursts.parquet`, bars the first candles of KRW-BTC; forecasts are drawn from a
seed.
After a change that is meant to change fills, write the fingerprints anew with `python tests/unit/test_fingerprints.py`
and look at the difference: one line of `tests/data/fills/fingerprints.csv` is one fill.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tickloop.domain.backtest_book import FILLED
from tickloop.domain.backtest_inputs import Inputs, minutes_of, run_inputs
from tickloop.domain.fills import FILL_MODELS
from tickloop.domain.strategies.shipped import SHIPPED
from tickloop.domain.strategy import BUY
from tickloop.domain.strategy_params import params_for
from tickloop.domain.tape import BarTape, ForecastSeries, Tape

FINGERPRINTS = Path(__file__).parent.parent / "data" / "fills" / "fingerprints.csv"
COLUMNS = ("strategy", "mode", "market", "fill", "side", "decided_ms", "fingerprint")
CASES = (("ticks", "KRW-BTC"), ("ticks", "KRW-XRP"), ("bars", "KRW-BTC"))
BARS = 3_000
CASH = 50_000.0

# What lets a strategy trade often on a day that moves by 1 %, or in two days of bars.
VALUES: dict[str, dict[str, float]] = {
    "sma_cross": {"fast": 3, "slow": 8},
    "grid": {"fall_bp": 5, "rise_bp": 12},
    "mean_reversion": {"min_edge": 0.0002, "hold_ms": 1_800_000},
}


@cache
def _rows(name: str, market: str) -> pl.DataFrame:
    with files("tickloop.recordings").joinpath(name).open("rb") as file:
        return pl.read_parquet(file).filter(pl.col("market") == market)


def _forecasts(bars: BarTape, delay_ms: int) -> ForecastSeries:
    """The close before each minute, a little up or down, and no forecast for every tenth minute."""
    rng = np.random.default_rng(11)
    edge = rng.normal(0.0, 0.0015, len(bars.ts_ms) - 1)
    is_there = rng.random(len(edge)) < 0.9
    minute, price = bars.ts_ms[1:], bars.close[:-1] * np.exp(edge)
    return ForecastSeries(minute[is_there], price[is_there], minute[is_there] + delay_ms)


def _inputs(mode: str, market: str) -> Inputs:
    if mode == "ticks":
        rows = _rows("bursts.parquet", market).sort("ts_event", maintain_order=True)
        tape = Tape(market, rows["ts_event"].to_numpy(), rows["price"].to_numpy())
        bars = minutes_of(tape)
        return Inputs(market, bars, tape, _forecasts(bars, 1_000), "seeded", "recorded", delay_ms=1_000)
    rows = _rows("candles.parquet", market).head(BARS)
    bars = BarTape(market, *(rows[name].to_numpy() for name in ("ts_open", "open", "high", "close")))
    return Inputs(market, bars, None, _forecasts(bars, 0), "seeded", "bars")


def _fills(name: str, mode: str, market: str) -> Iterator[dict[str, str]]:
    """Give every fill of a run as a line of the file."""
    strategy, inputs = SHIPPED[name], _inputs(mode, market)
    params = params_for(strategy, market, int(inputs.bars.ts_ms[0]), values=VALUES.get(name))
    book = run_inputs(inputs, strategy, params, FILL_MODELS["spread"], CASH)
    orders = book.orders[: int(book.purse["orders"][0])]
    for nth, order in enumerate(orders[orders["outcome"] == FILLED]):
        side = "BUY" if order["side"] == BUY else "SELL"
        values = (name, mode, market, str(nth), side, str(order["decided_ms"]), _fingerprint(order))
        yield dict(zip(COLUMNS, values, strict=True))


def _fingerprint(order: Any) -> str:
    """Give a digest of the decision and the fill; money to a millionth of a KRW, the rest to the last bit."""
    exact = [order[name].item() for name in ("side", "decided_ms", "filled_ms", "fill_price", "qty_e8")]
    told = [*map(repr, exact), f"{order['funds']:.6f}", f"{order['fee']:.6f}"]
    return hashlib.sha256(" ".join(told).encode()).hexdigest()[:12]


def _all_fills() -> Iterator[dict[str, str]]:
    for name in SHIPPED:
        for mode, market in CASES:
            yield from _fills(name, mode, market)


@cache
def _stored() -> list[dict[str, str]]:
    with FINGERPRINTS.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("mode", "market"), CASES)
@pytest.mark.parametrize("name", list(SHIPPED))
def test_every_fill_is_the_one_of_the_fingerprint(name: str, mode: str, market: str) -> None:
    """The first fill that differs is named."""
    expected = [row for row in _stored() if (row["strategy"], row["mode"], row["market"]) == (name, mode, market)]

    found = list(_fills(name, mode, market))

    for was, now in zip(expected, found, strict=False):
        assert now == was, f"fill {was['fill']} of {name} over {mode} of {market} differs from the fingerprint"
    assert len(found) == len(expected)


def test_fingerprints_cover_every_shipped_strategy() -> None:
    """All but the one that does nothing have fills everywhere; none is left over from one that is gone."""
    covered = {(row["strategy"], row["mode"], row["market"]) for row in _stored()}

    assert covered == {(name, *case) for name in SHIPPED if name != "do_nothing" for case in CASES}


def test_another_price_or_quantity_changes_the_fingerprint() -> None:
    """By the smallest step of each."""
    strategy, inputs = SHIPPED["buy_and_hold"], _inputs("bars", "KRW-BTC")
    book = run_inputs(inputs, strategy, strategy.presets["default"], FILL_MODELS["spread"], CASH)
    order = book.orders[0].copy()
    before = {_fingerprint(order)}

    for name, step in (("decided_ms", 1), ("filled_ms", 1), ("fill_price", 1e-8), ("qty_e8", 1), ("fee", 1e-6)):
        other = order.copy()
        other[name] += step
        before.add(_fingerprint(other))

    assert len(before) == 6


if __name__ == "__main__":
    FINGERPRINTS.parent.mkdir(exist_ok=True)
    with FINGERPRINTS.open("w", newline="") as target:
        writer = csv.DictWriter(target, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(_all_fills())
