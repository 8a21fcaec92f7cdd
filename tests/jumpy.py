"""Made tapes on which every strategy acts often: bursts in one millisecond, silences of minutes, late forecasts."""

from __future__ import annotations

import numpy as np

from tickloop.domain.backtest_inputs import minutes_of
from tickloop.domain.fills import FILL_MODELS, FillModel
from tickloop.domain.strategies.grid import GridParams
from tickloop.domain.strategies.mean_reversion import MeanReversionParams
from tickloop.domain.strategies.plain import PlainParams
from tickloop.domain.strategies.shipped import SHIPPED
from tickloop.domain.strategies.sma_cross import SmaCrossParams
from tickloop.domain.strategy import OrderParams, Params
from tickloop.domain.strategy_bars import signal_series
from tickloop.domain.tape import ForecastSeries, Tape

START = 1_705_881_600_000  # 2024-01-22T00:00Z
MINUTE = 60_000
MODELS = [FILL_MODELS["spread"], FILL_MODELS["last"], FillModel("slow", 20_000, 1)]

# So that each acts often.
LIVELY: dict[str, OrderParams] = {
    "default": Params(order_krw=5_000.0, min_edge=0.0),
    "buy_and_hold": PlainParams(),
    "do_nothing": PlainParams(),
    "sma_cross": SmaCrossParams(fast=2, slow=5),
    "grid": GridParams(fall_bp=20, rise_bp=20, max_lots=5),
    "mean_reversion": MeanReversionParams(order_krw=5_000.0, min_edge=0.0, hold_ms=600_000),
}


def market(seed: int, name: str = "KRW-BTC", count: int = 3_000) -> tuple[Tape, ForecastSeries]:
    """Give some hours of a market."""
    rng = np.random.default_rng(seed)
    gaps = rng.choice([0, 7, 200, 1_500, 9_000, 70_000, 400_000], count, p=[0.2, 0.2, 0.2, 0.2, 0.17, 0.02, 0.01])
    moves = rng.choice([-1, 0, 1], count) * rng.choice([1, 5, 20], count)
    tape = Tape(name, START + np.cumsum(gaps), 2_500_000.0 + 1_000.0 * np.cumsum(moves))
    minutes = np.arange(START, tape.ts_ms[-1], MINUTE)
    minutes = minutes[rng.random(len(minutes)) < 0.8]
    at = np.clip(np.searchsorted(tape.ts_ms, minutes), 0, count - 1)
    forecast = np.round(tape.price[at] * np.exp(rng.normal(0, 0.004, len(minutes))))
    usable = minutes + rng.choice([1_000, 1_000, 30_000, 70_000], len(minutes))
    return tape, ForecastSeries(minutes, forecast, usable)


def series_for(name: str, tape: Tape, forecasts: ForecastSeries) -> ForecastSeries:
    """Give what a shipped strategy is asked with: forecasts, or its own signal."""
    strategy = SHIPPED[name]
    if strategy.signal is None:
        return forecasts
    return signal_series(strategy, LIVELY[name], minutes_of(tape), delay_ms=1_000)


def forecasts_of(forecasts: ForecastSeries, first_ms: int, last_ms: int) -> ForecastSeries:
    """Give only the forecasts of minutes that a chunk touches."""
    low = np.searchsorted(forecasts.minute_ms, first_ms - first_ms % MINUTE)
    high = np.searchsorted(forecasts.minute_ms, last_ms, side="right")
    part = slice(int(low), int(high))
    return ForecastSeries(forecasts.minute_ms[part], forecasts.price[part], forecasts.usable_from_ms[part])
