"""What was read for a back-test, once, and any number of runs over it: a sweep reads no row twice."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tickloop.domain.backtest import run_ticks
from tickloop.domain.backtest_bars import run_buy_and_hold
from tickloop.domain.backtest_book import Book
from tickloop.domain.backtest_result import BacktestResult, Minutes, Mode, Setup, result_of
from tickloop.domain.depth import Depth, between
from tickloop.domain.fills import FillModel
from tickloop.domain.strategy import OrderParams, Strategy, default
from tickloop.domain.strategy_bars import BAR_FILLS, run_strategy_bars, signal_series
from tickloop.domain.tape import BarTape, ForecastSeries, Tape
from tickloop.domain.verdict import Path
from tickloop.domain.window import MINUTE_MS
from tickloop.errors import NotEnoughDataError

DEFAULT_BAR_FILLS = FillModel(
    "bar",
    latency_ms=0,
    ticks_against=1,
    caveat="bought and sold late at the open of a bar, one tick against us; sold at the target where the high went "
    "more than a tick beyond it",
)


@dataclass(frozen=True)
class Inputs:
    """One market over one span.

    Attributes:
        bars: in tick mode the minutes of the tape.
        tape: None in bar mode.
        version: whose forecasts these are; None without any.
        path: where the prices inside a minute come from.
        delay_ms: a signal of the bars may be used from the start of the next minute + delay on.
        unknown_minutes: minutes of the span that were not settled and were let through.
        depth: recorded order books; None where the fill model looks at none.
    """

    market: str
    bars: BarTape
    tape: Tape | None
    forecasts: ForecastSeries
    version: str | None
    path: Path
    delay_ms: int = 0
    unknown_minutes: int = 0
    depth: Depth | None = None

    @property
    def mode(self) -> Mode:
        return "bars" if self.tape is None else "ticks"

    @property
    def minutes(self) -> Minutes:
        return Minutes(self.bars.ts_ms, self.bars.close)

    def between(self, start_ms: int, end_ms: int) -> Inputs:
        """Give the part in [start, end) as views of the same arrays; both ends are whole minutes.

        Raises:
            NotEnoughDataError: if nothing lies there.
        """
        all_ = self.bars
        bars = slice(*np.searchsorted(all_.ts_ms, (start_ms, end_ms)))
        if bars.start == bars.stop:
            raise NotEnoughDataError(f"{self.market} has no bar in {start_ms} to {end_ms} ms; valid: a span with bars")
        some = slice(*np.searchsorted(self.forecasts.minute_ms, (start_ms, end_ms)))
        series = self.forecasts
        return replace(
            self,
            bars=BarTape(self.market, all_.ts_ms[bars], all_.open[bars], all_.high[bars], all_.close[bars]),
            tape=None if self.tape is None else _cut(self.tape, start_ms, end_ms),
            forecasts=ForecastSeries(series.minute_ms[some], series.price[some], series.usable_from_ms[some]),
            depth=None if self.depth is None else between(self.depth, start_ms, end_ms),
        )


def run_inputs(inputs: Inputs, strategy: Strategy, params: OrderParams, model: FillModel, cash: float) -> Book:
    """Replay them through a strategy.

    Args:
        model: for ticks; bar mode has its own rule.
        cash: KRW at the start.

    Raises:
        StrategyError, UsageError: as `run_ticks` and `run_strategy_bars`.
    """
    if inputs.tape is None:
        return run_strategy_bars(strategy, inputs.bars, inputs.forecasts, params, cash)
    forecasts = inputs.forecasts
    if strategy.signal is not None:
        forecasts = signal_series(strategy, params, inputs.bars, inputs.delay_ms)
    return run_ticks(inputs.tape, forecasts, params, model, cash, strategy=strategy, depth=inputs.depth)


def result_for(
    inputs: Inputs, strategy: Strategy, params: OrderParams, model: FillModel, cash: float, name: str = ""
) -> BacktestResult:
    """Replay and read the book, with buy and hold over the same minutes beside it.

    Args:
        name: what the result calls the strategy, if not by its own name: that of a preset.
    """
    fills = model if inputs.tape is not None else bar_fills_of(strategy)
    setup = Setup(
        market=inputs.market,
        strategy=name or strategy.name,
        model_version=inputs.version,
        mode=inputs.mode,
        is_path_invented=inputs.path != "recorded",
        fill_model=fills.name,
        latency_ms=fills.latency_ms,
        budget=cash,
        params=params,
        caveat=fills.caveat,
    )
    book = run_inputs(inputs, strategy, params, model, cash)
    held = result_of(run_buy_and_hold(inputs.bars, params, cash), setup, inputs.minutes)
    result = result_of(book, setup, inputs.minutes, held.profit_krw)
    seen = {"forecasts": len(inputs.forecasts.minute_ms), "unknown_minutes": inputs.unknown_minutes}
    if inputs.tape is not None:
        seen["trades_on_tape"] = len(inputs.tape.ts_ms)
    if inputs.depth is not None:
        seen["recorded_books"] = len(inputs.depth.ts_ms)
    return replace(result, extra=seen)


def bar_fills_of(strategy: Strategy) -> FillModel:
    """Give the rule by which bar mode fills a strategy's orders."""
    return DEFAULT_BAR_FILLS if strategy is default else BAR_FILLS


def minutes_of(tape: Tape) -> BarTape:
    """Give open, high and close of each minute with a trade."""
    minute = tape.ts_ms - tape.ts_ms % MINUTE_MS
    first = np.flatnonzero(np.diff(minute, prepend=minute[0] - 1))
    last = np.append(first[1:], len(minute)) - 1
    high = np.maximum.reduceat(tape.price, first)
    return BarTape(tape.market, minute[first], tape.price[first], high, tape.price[last])


def _cut(tape: Tape, start_ms: int, end_ms: int) -> Tape:
    part = slice(*np.searchsorted(tape.ts_ms, (start_ms, end_ms)))
    return Tape(tape.market, tape.ts_ms[part], tape.price[part])
