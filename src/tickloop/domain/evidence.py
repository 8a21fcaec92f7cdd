"""What a run's profits, period by period, say of it: how far chance could move them, and what a choice brought."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.backtest_book import Book
from tickloop.domain.backtest_result import BacktestResult
from tickloop.domain.figures import SHARPE, Floats
from tickloop.domain.fills import funds_of
from tickloop.domain.overfitting import MAX_BLOCKS, Overfitting, overfitting
from tickloop.domain.resampling import MIN_PERIODS, Resampled, resampled
from tickloop.domain.sharpe import (
    Record,
    deflated_sharpe,
    expected_max_sharpe,
    probabilistic_sharpe,
    record_of,
    sharpe_variance,
)
from tickloop.domain.strategy import OrderParams
from tickloop.domain.verdict import Evidence, Path
from tickloop.domain.window import DAY_MS, HOUR_MS, MINUTE_MS
from tickloop.errors import DataError, NotEnoughDataError

PERIODS = {"day": DAY_MS, "hour": HOUR_MS, "10 minutes": 10 * MINUTE_MS, "minute": MINUTE_MS}

ENOUGH = 200
"""Periods from which on the bootstrap of the mean keeps its level (`resampling.resampled`)."""

Basis = Literal["the trials that were made", "as many worthless trials that have nothing to do with each other"]
"""Where the spread of the trials' ratios comes from, which a deflated ratio needs."""


@dataclass(frozen=True)
class Track:
    """What a run earned, reduced to what a judgement needs.

    Attributes:
        ts_ms: start of each minute with a price, ascending, int64 (n,).
        equity: KRW at the end of those minutes, lots at the last price after the fee of selling, float64 (n,).
        budget: KRW at the start.
        trades, losses: round trips, and those of them that lost.
    """

    ts_ms: NDArray[np.int64]
    equity: Floats
    budget: float
    trades: int
    losses: int
    path: Path
    buy_and_hold_krw: float | None = None

    @property
    def profit_krw(self) -> float:
        return float(self.equity[-1]) - self.budget


@dataclass(frozen=True)
class Luck:
    """How far chance could move a profit.

    Attributes:
        period: name of the period whose profits were resampled: the longest of which there are `ENOUGH`, else minutes.
        record: of the same profits.
        probabilistic_sharpe: probability that the true ratio is above 0.
    """

    period: str
    resampled: Resampled
    record: Record
    probabilistic_sharpe: float

    @property
    def interval_krw(self) -> tuple[float, float]:
        """Limits of the profit over the same time."""
        mean = self.resampled.mean
        return mean.low * self.resampled.periods, mean.high * self.resampled.periods

    @property
    def periods_per_year(self) -> float:
        return 365 * DAY_MS / PERIODS[self.period]


@dataclass(frozen=True)
class Choice:
    """What choosing the best of some trials brings by itself.

    Attributes:
        basis: None for one trial, which was not chosen.
        expected_max_sharpe: per period of the run, the best of `trials` that are all worth nothing.
        overfitting: None where the profits of the trials are not known.
    """

    trials: int
    basis: Basis | None
    expected_max_sharpe: float
    deflated_sharpe: float
    overfitting: Overfitting | None


def track_of(result: BacktestResult, path: Path) -> Track:
    """Take what a judgement needs from a result."""
    profits = result.trips["profit_krw"].to_numpy()
    return Track(
        ts_ms=result.equity["ts"].dt.epoch("ms").to_numpy().astype(np.int64),
        equity=result.equity["equity"].to_numpy().astype(np.float64),
        budget=result.setup.budget,
        trades=len(profits),
        losses=int((profits < 0).sum()),
        path=path,
        buy_and_hold_krw=result.buy_and_hold_krw,
    )


def profit_of(book: Book, params: OrderParams, close: float, cash: float) -> float:
    """Give what `BacktestResult.profit_krw` gives for a run, without reading its orders.

    Args:
        close: last price of the run, KRW.
        cash: KRW at its start.
    """
    purse = book.purse[0]
    held = funds_of(int(book.qty_e8[: purse["lots"]].sum()), close)
    return float(purse["cash"]) + held * (1.0 - params.fee_rate) - cash


def period_for(start_ms: int, end_ms: int) -> str:
    """Choose the period for a span: the longest that it holds `ENOUGH` times, else the minute."""
    for name, length in PERIODS.items():
        if end_ms - start_ms >= ENOUGH * length:
            return name
    return "minute"


def period_profits(track: Track, period: str) -> Floats:
    """Give the profit of each period of UTC that the run touches, in order; 0 for one without a price.

    Their sum is the profit. The first and the last period may be cut by the run's ends.
    """
    length = PERIODS[period]
    first, last = int(track.ts_ms[0]) // length, int(track.ts_ms[-1]) // length
    edges = (np.arange(first, last + 1) + 1) * length
    at_end = track.equity[np.searchsorted(track.ts_ms, edges) - 1]
    return np.diff(at_end, prepend=track.budget)


def luck_of(track: Track, rng: np.random.Generator) -> Luck:
    """Judge the profits of a run by resampling.

    Raises:
        NotEnoughDataError: if the run covers fewer than `resampling.MIN_PERIODS` minutes.
        DataError: if its equity is not finite.
    """
    period = period_for(int(track.ts_ms[0]), int(track.ts_ms[-1]) + MINUTE_MS)
    row = period_profits(track, period)
    if len(row) < MIN_PERIODS:
        raise NotEnoughDataError(f"the run covers {len(row)} minutes; valid: at least {MIN_PERIODS}")
    record = record_of(row)
    return Luck(period, resampled(row, rng), record, probabilistic_sharpe(record))


def choice_of(record: Record, trials: int, matrix: Floats | None = None) -> Choice:
    """Judge what the choice among trials brought.

    Args:
        record: of the chosen one, over the whole time of `matrix`.
        trials: all that were made, this one included; those in `matrix` count at least.
        matrix: profits (periods, trials) over the same time in periods of equal length, of any length; None if they
            are not known. The spread of the trials is then that of as many which are all worth nothing, normal and
            independent: 1 / (n - 1) per period. Trials that resemble each other spread less, so that is against us.
    """
    known = matrix if matrix is not None and matrix.ndim == 2 and matrix.shape[1] > 1 else None
    trials = trials if known is None else max(trials, known.shape[1])
    if trials == 1:
        return Choice(1, None, 0.0, probabilistic_sharpe(record), None)
    basis: Basis = "as many worthless trials that have nothing to do with each other"
    variance, found = 1.0 / (record.periods - 1), None
    if known is not None:
        basis, found = "the trials that were made", _overfitting(known)
        # A ratio per period grows with the root of the period's length.
        variance = sharpe_variance(SHARPE.of(known)) * len(known) / record.periods
    best = expected_max_sharpe(trials, variance)
    return Choice(trials, basis, best, deflated_sharpe(record, trials, variance), found)


def evidence_of(
    track: Track, luck: Luck | None, choice: Choice | None, trials: int, p_signal: float | None
) -> Evidence:
    """Put together what is known of a run; what is None was not measured."""
    was_chosen = choice is not None and choice.trials > 1
    return Evidence(
        profit_krw=track.profit_krw,
        trades=track.trades,
        losses=track.losses,
        path=track.path,
        trials=trials if choice is None else choice.trials,
        p_mean=None if luck is None else luck.resampled.p_mean,
        interval_krw=None if luck is None else luck.interval_krw,
        deflated_sharpe=choice.deflated_sharpe if choice is not None and was_chosen else None,
        overfitting=choice.overfitting.probability if choice is not None and choice.overfitting is not None else None,
        p_signal=p_signal,
        buy_and_hold_krw=track.buy_and_hold_krw,
    )


def stitched(parts: list[Track]) -> Track:
    """Join runs that follow each other, each starting with what the one before it ended with.

    Raises:
        DataError: if there is none, one starts before the end of the one before it, or with other money.
    """
    if not parts:
        raise DataError("no run to join; valid: at least one")
    for before, after in pairwise(parts):
        if after.ts_ms[0] <= before.ts_ms[-1] or after.budget != float(before.equity[-1]):
            raise DataError(f"a run of {after.budget} KRW does not follow one that ended with {before.equity[-1]} KRW")
    held = [part.buy_and_hold_krw for part in parts]
    return Track(
        ts_ms=np.concatenate([part.ts_ms for part in parts]),
        equity=np.concatenate([part.equity for part in parts]),
        budget=parts[0].budget,
        trades=sum(part.trades for part in parts),
        losses=sum(part.losses for part in parts),
        path=parts[0].path,
        buy_and_hold_krw=None if None in held else sum(krw for krw in held if krw is not None),
    )


def _overfitting(matrix: Floats) -> Overfitting | None:
    """Give None where there are too few periods to halve."""
    blocks = min(MAX_BLOCKS, len(matrix) // 4 * 2)
    return None if blocks < 2 else overfitting(matrix, blocks)
