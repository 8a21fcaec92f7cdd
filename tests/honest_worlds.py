"""Markets whose truth is known: a random walk that nothing forecasts, and one with a drift that a forecast knows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.backtest_inputs import Inputs
from tickloop.domain.strategy import Params, default
from tickloop.domain.strategy_params import params_for
from tickloop.domain.tape import BarTape, ForecastSeries, Tape
from tickloop.domain.window import DAY_MS, HOUR_MS, MINUTE_MS, Window

MARKET = "KRW-BTC"
START = 1_704_067_200_000  # 2024-01-01T00Z
DAY = DAY_MS // MINUTE_MS
CASH = 1_000_000.0
FIRST = 150e6
"""KRW; a price unit is then a fifteenth of a basis point, so that without fees a trade costs next to nothing."""

_MOVE = 4e-4  # standard deviation of a minute's log return
_DRIFT = 2e-4  # of a minute, up or down for half an hour at a time
_HALF_HOUR = 30


def window(days: int) -> Window:
    return Window(START, START + days * DAY_MS)


def noise_world(seed: int, days: int) -> Inputs:
    """A random walk, and forecasts that have nothing to do with it."""
    rng = np.random.default_rng((1, seed))
    bars = _walk(rng.normal(0.0, _MOVE, days * DAY))
    return _inputs(bars, rng.normal(0.0, 2e-3, days * DAY))


def edge_world(seed: int, days: int) -> Inputs:
    """A walk that drifts for half an hours, and forecasts that know the drift and are off by half of it."""
    rng = np.random.default_rng((2, seed))
    drift = np.repeat(rng.choice((-_DRIFT, _DRIFT), days * DAY // _HALF_HOUR), _HALF_HOUR)
    bars = _walk(drift + rng.normal(0.0, _MOVE, days * DAY))
    return _inputs(bars, _HALF_HOUR / 2 * drift + rng.normal(0.0, _HALF_HOUR / 4 * _DRIFT, days * DAY))


def ticks_of(inputs: Inputs) -> Inputs:
    """The same market as four trades a minute: open, high, low of both, close."""
    bars = inputs.bars
    low = np.minimum(bars.open, bars.close)
    price = np.stack([bars.open, bars.high, low, bars.close], axis=1).ravel()
    ts_ms = (bars.ts_ms[:, None] + np.array([0, 20_000, 40_000, 59_000])).ravel()
    return Inputs(MARKET, bars, Tape(MARKET, ts_ms, price), inputs.forecasts, "made-1", "recorded", delay_ms=0)


def params(values: Mapping[str, float] | None = None, fee_rate: float | None = None) -> Params:
    """The default strategy's, with some values set."""
    found = params_for(default, MARKET, START, "default", values)
    assert isinstance(found, Params)
    return found if fee_rate is None else found._replace(fee_rate=fee_rate)


RIDE = {"order_krw": 100_000.0, "take_profit_num": 1006, "hold_ms": HOUR_MS // 4, "cooldown_ms": 5 * MINUTE_MS}
"""What can live on a drift of half an hour."""


def _walk(moves: NDArray[np.float64]) -> BarTape:
    close = FIRST * np.exp(np.cumsum(moves))
    opened = np.concatenate([[FIRST], close[:-1]])
    high = np.maximum(opened, close) * (1.0 + np.abs(moves) / 4.0)
    ts_ms = START + MINUTE_MS * np.arange(len(close), dtype=np.int64)
    return BarTape(MARKET, ts_ms, opened, high, close)


def _inputs(bars: BarTape, moves: NDArray[np.float64]) -> Inputs:
    series = ForecastSeries(bars.ts_ms, bars.open * np.exp(moves), bars.ts_ms)
    return Inputs(MARKET, bars, None, series, "made-1", "bars")
