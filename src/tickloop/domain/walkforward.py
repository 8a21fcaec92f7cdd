"""Walk forward: choose a setting on one span of time, trade it on the span that follows, and go on from there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tickloop.domain.backtest_bars import run_buy_and_hold
from tickloop.domain.backtest_inputs import Inputs, result_for, run_inputs
from tickloop.domain.backtest_result import BacktestResult
from tickloop.domain.figures import SHARPE
from tickloop.domain.fills import FillModel
from tickloop.domain.folds import Fold
from tickloop.domain.search_space import Setting
from tickloop.domain.strategy import OrderParams, Strategy
from tickloop.domain.strategy_bars import signal_series
from tickloop.domain.tape import ForecastSeries
from tickloop.domain.track import Track, profit_of, stitched, track_of
from tickloop.domain.trials import Figures, Trial, best_first, marks_of
from tickloop.domain.window import DAY_MS, Window
from tickloop.errors import NotEnoughDataError


@dataclass(frozen=True)
class Subject:
    """What is walked forward.

    Attributes:
        inputs: of the whole window.
        params_of: (window, setting) -> parameters, with the exchange's costs at the window's start.
        cash: KRW that the first test part starts with.
    """

    inputs: Inputs
    strategy: Strategy
    params_of: Callable[[Window, Setting], OrderParams]
    model: FillModel
    cash: float


@dataclass(frozen=True)
class FoldRun:
    """What became of a fold.

    Attributes:
        trials: every setting over the train part, in order of their numbers.
        best: the one that was chosen.
        params: it, with the costs of the test part.
        result: of the test part; None if that has no price.
        cash: KRW at the start of the test part.
    """

    fold: Fold
    trials: tuple[Trial, ...]
    best: Trial
    params: OrderParams
    result: BacktestResult | None
    cash: float

    @property
    def profit_krw(self) -> float:
        """Of the test part."""
        return 0.0 if self.result is None else self.result.profit_krw

    @property
    def cash_after(self) -> float:
        """Money at the end of the test part, open lots at the last price after the fee of selling."""
        return self.cash if self.result is None else float(self.result.equity["equity"][-1])


def run_fold(subject: Subject, fold: Fold, trials: Sequence[Trial], objectives: Sequence[str], cash: float) -> FoldRun:
    """Choose the best trial of a train part and run it on the test part.

    Args:
        trials: of the train part alone, in order of their numbers.
        cash: KRW at the start of the test part.
    """
    best = best_first(trials, objectives)[0]
    params = subject.params_of(fold.test, best.setting)
    part = out_part(subject.inputs, subject.strategy, params, fold)
    result = None if part is None else result_for(part[0], part[1], params, subject.model, cash)
    return FoldRun(fold, tuple(trials), best, params, result, cash)


def out_part(inputs: Inputs, strategy: Strategy, params: OrderParams, fold: Fold) -> tuple[Inputs, Strategy] | None:
    """Give what a test part is run with; None if it has no price.

    A signal is made of the train part's closes too, which are known when the test part starts: its first bars have one.
    """
    try:
        part = inputs.between(fold.test.start_ms, fold.test.end_ms)
    except NotEnoughDataError:
        return None
    if strategy.signal is None:
        return part, strategy
    seen = inputs.between(fold.train.start_ms, fold.test.end_ms)
    series = signal_series(strategy, params, seen.bars, inputs.delay_ms)
    some = slice(*np.searchsorted(series.minute_ms, (fold.test.start_ms, fold.test.end_ms)))
    known = ForecastSeries(series.minute_ms[some], series.price[some], series.usable_from_ms[some])
    return replace(part, forecasts=known), replace(strategy, signal=None)


def known_over(subject: Subject, runs: Sequence[FoldRun]) -> ForecastSeries:
    """Give what the test parts were told minute by minute: forecasts, or the signals of the settings chosen."""
    parts = [out_part(subject.inputs, subject.strategy, run.params, run.fold) for run in runs]
    series = [part[0].forecasts for part in parts if part is not None]
    return ForecastSeries(
        np.concatenate([one.minute_ms for one in series]),
        np.concatenate([one.price for one in series]),
        np.concatenate([one.usable_from_ms for one in series]),
    )


def profit_again(
    subject: Subject,
    runs: Sequence[FoldRun],
    *,
    known: ForecastSeries | None = None,
    fee_rate: float | None = None,
    model: FillModel | None = None,
) -> float:
    """Run the test parts once more with the settings that were chosen, and one thing changed; give the profit in KRW.

    Args:
        known: in the place of what `known_over` gives.
        fee_rate: of one side.
    """
    inputs, strategy = subject.inputs, subject.strategy
    if known is not None:
        inputs, strategy = replace(inputs, forecasts=known), replace(strategy, signal=None)
    cash = subject.cash
    for run in runs:
        params: Any = run.params
        params = params if fee_rate is None else params._replace(fee_rate=fee_rate)
        part = out_part(inputs, strategy, params, run.fold)
        if part is not None:
            book = run_inputs(part[0], part[1], params, model or subject.model, cash)
            cash += profit_of(book, params, float(part[0].bars.close[-1]), cash)
    return cash - subject.cash


def stitched_track(subject: Subject, runs: Sequence[FoldRun]) -> Track:
    """Join the test parts: each starts with the money of the one before it, its open lots turned into cash.

    Raises:
        NotEnoughDataError: if none of them has a price.
    """
    tracks = [track_of(run.result, subject.inputs.path) for run in runs if run.result is not None]
    if not tracks:
        raise NotEnoughDataError(f"no test part of {subject.inputs.market} has a price; valid: a window with trades")
    span = subject.inputs.between(runs[0].fold.test.start_ms, runs[-1].fold.test.end_ms)
    held = run_buy_and_hold(span.bars, runs[0].params, subject.cash)
    close = float(span.bars.close[-1])
    return replace(stitched(tracks), buy_and_hold_krw=profit_of(held, runs[0].params, close, subject.cash))


def efficiency_of(runs: Sequence[FoldRun]) -> float | None:
    """Give profit per day of the test parts over that of the chosen settings in the train parts; None if those lost.

    1 says that what was chosen went on earning as much, 0 that nothing was left.

    Source: Pardo 2008, The Evaluation and Optimization of Trading Strategies: walk-forward efficiency, of annualised
    profits; here over all folds together.
    """
    inside = sum(run.best.figures.profit_krw for run in runs)
    days_in, days_out = (
        sum(window.end_ms - window.start_ms for window in windows) / DAY_MS
        for windows in ([run.fold.train for run in runs], [run.fold.test for run in runs])
    )
    if inside <= 0.0:
        return None
    return (sum(run.profit_krw for run in runs) / days_out) / (inside / days_in)


def stitched_trial(track: Track, runs: Sequence[FoldRun], span: Window) -> Trial:
    """Give the figures of all test parts together, and the profit of each of the equal parts of their span.

    Args:
        track: of `stitched_track`.
        span: from the start of the first test part to the end of the last.
    """
    marks = marks_of(track.ts_ms, track.equity, span)
    seen = np.searchsorted(marks.part, np.arange(marks.parts), side="right")
    profits = np.diff(np.concatenate([[track.budget], track.equity])[seen], prepend=track.budget)
    equity = np.concatenate([[track.budget], track.equity])
    done = [run.result.summary() for run in runs if run.result is not None]
    minutes = sum(figures["minutes"] for figures in done)
    figures = Figures(
        profit_krw=track.profit_krw,
        sharpe=float(SHARPE.of(profits)),
        max_drawdown_krw=float((np.maximum.accumulate(equity) - equity).max()),
        exposure=sum(figures["exposure"] * figures["minutes"] for figures in done) / minutes,
        trades=track.trades,
        orders=sum(figures["orders"] for figures in done),
        open_lots=sum(figures["open_lots"] for figures in done),
        fees_krw=sum(figures["fees_krw"] for figures in done),
        turnover_krw=sum(figures["turnover_krw"] for figures in done),
    )
    return Trial(0, {}, figures, profits)
