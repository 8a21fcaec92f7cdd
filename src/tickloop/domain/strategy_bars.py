"""Bar mode for any strategy, and the signals of those that have one.

The default strategy has bar rules of its own (`backtest_bars`). Every other one is asked once a bar, at its open, and
filled there one tick against it: the prices inside the bar are not used, for or against.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.backtest import run_ticks
from tickloop.domain.backtest_bars import run_bars
from tickloop.domain.backtest_book import Book
from tickloop.domain.fills import FillModel
from tickloop.domain.order_terms import check_one_term
from tickloop.domain.replay import is_ours, translated
from tickloop.domain.strategies import target
from tickloop.domain.strategy import OrderParams, Params, Strategy, default
from tickloop.domain.tape import BarTape, ForecastSeries, Tape
from tickloop.domain.target_bars import run_targets, targets_of
from tickloop.domain.window import MINUTE_MS
from tickloop.errors import StrategyError, UsageError

BAR_FILLS = FillModel(
    "bar",
    latency_ms=0,
    ticks_against=1,
    caveat="decided and filled at the open of a bar, one tick against us; prices inside the bar are not used",
)

_CUTS = (0.1, 0.5, 0.9)  # shares of the bars after which the rest is hidden from a signal


def run_strategy_bars(
    strategy: Strategy, bars: BarTape, forecasts: ForecastSeries, params: OrderParams, cash: float
) -> Book:
    """Replay bars through a strategy.

    Args:
        forecasts: one per minute, usable from its start; a strategy with a signal gets that instead.
        cash: KRW at the start.

    Raises:
        StrategyError: if the strategy raises, answers what cannot be done, or its signal looks ahead.
        UsageError: if the parameters are another strategy's, or the exchange would not take orders of that size. In the
            two replays that know one fee: if fee or size of orders change within the bars.
    """
    span = (bars.market, int(bars.ts_ms[0]), int(bars.ts_ms[-1]) + MINUTE_MS)
    if strategy is default:
        if not isinstance(params, Params):
            raise UsageError(f"{type(params).__name__} are not of strategy default; valid: Params")
        check_one_term(params, *span)
        return run_bars(bars, forecasts, params, cash)
    if strategy.signal is not None and strategy.decide is target.decide:
        check_one_term(params, *span)
        return run_targets(bars, targets_of(signal_of(strategy, params, bars)), params, cash)[0]
    if strategy.signal is not None:
        series = signal_series(strategy, params, bars, delay_ms=0)
    else:
        series = ForecastSeries(forecasts.minute_ms, forecasts.price, forecasts.minute_ms)
    opens = Tape(bars.market, bars.ts_ms, bars.open)
    return run_ticks(opens, series, params, BAR_FILLS, cash, strategy=strategy)


def signal_series(strategy: Strategy, params: OrderParams, bars: BarTape, delay_ms: int) -> ForecastSeries:
    """Give a strategy's signal as `run_ticks` takes it: that of each close holds for the minute of the next bar.

    Args:
        delay_ms: it may be used from the start of that minute + delay on.
    """
    return ForecastSeries(bars.ts_ms[1:], signal_of(strategy, params, bars)[:-1], bars.ts_ms[1:] + delay_ms)


def signal_of(strategy: Strategy, params: OrderParams, bars: BarTape) -> NDArray[np.float64]:
    """Give a strategy's signal after each close, float64 (n,).

    Raises:
        StrategyError: if it raises, has another shape, or changes when later bars are hidden: it looks ahead.
    """
    if strategy.signal is None:
        raise UsageError(f"strategy {strategy.name!r} has no signal; valid: a strategy that says what to hold")
    signal = translated(strategy, strategy.signal)
    wanted = np.asarray(signal(params, bars.close), np.float64)
    if wanted.shape != bars.close.shape:
        raise StrategyError(
            f"the signal of strategy {strategy.name!r} has shape {wanted.shape} for {len(bars.close)} bars; "
            "valid: one value for each bar"
        )
    for cut in () if is_ours(strategy.signal) else _CUTS:
        bar = max(1, int(cut * len(wanted)))
        if not np.array_equal(signal(params, bars.close[:bar].copy()), wanted[:bar], equal_nan=True):
            raise StrategyError(
                f"the signal of strategy {strategy.name!r} looks ahead: without the bars from {bar} on, those before "
                "it get other values; valid: each value from closes up to its own bar"
            )
    return wanted
