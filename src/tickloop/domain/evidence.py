"""What a run's profits, period by period, say of it: how far chance could move them, and what a choice brought."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from tickloop.domain.blocks import DEFAULT
from tickloop.domain.figures import SHARPE, Floats
from tickloop.domain.overfitting import MAX_BLOCKS, Overfitting, overfitting
from tickloop.domain.resampling import MIN_PERIODS, Resampled, deflated_p, resampled, resamples_for
from tickloop.domain.sharpe import (
    Record,
    deflated_sharpe,
    expected_max_sharpe,
    probabilistic_sharpe,
    record_of,
    sharpe_variance,
)
from tickloop.domain.track import PERIODS, Track, period_for, period_profits
from tickloop.domain.verdict import ALPHA, Evidence, SignalOf
from tickloop.domain.window import DAY_MS, MINUTE_MS
from tickloop.errors import NotEnoughDataError

MOST_DRAWN = 20_000_000
"""Periods that all resamples together may draw: a second or so."""

_MOST_TOLD = 500
"""Trials whose best can be told from `verdict.ALPHA` at all: `resampling.MAX_RESAMPLES`."""

Basis = Literal["the trials that were made", "as many worthless trials that have nothing to do with each other"]
"""Where the spread of the trials' ratios comes from, which a deflated ratio needs."""


@dataclass(frozen=True)
class Luck:
    """How far chance could move a profit.

    Attributes:
        period: name of the period whose profits were resampled: the longest of which there are `ENOUGH`, else minutes.
        record: of the same profits.
        probabilistic_sharpe: probability that the true ratio is above 0.
        moved: periods that brought a profit or a loss.
    """

    period: str
    resampled: Resampled
    record: Record
    probabilistic_sharpe: float
    moved: int

    @property
    def interval_krw(self) -> tuple[float, float] | None:
        """Limits of the profit over the same time; None where it came in too few periods for resampling to bound it."""
        mean, periods = self.resampled.mean, self.resampled.periods
        limits = mean.low * periods, mean.high * periods
        return limits if self.moved >= MIN_PERIODS and np.isfinite(limits).all() else None

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
        p_best: p of a mean of 0 or less for the best of all trials, however they depend on each other: an upper limit,
            given where `overfitting` is not.
    """

    trials: int
    basis: Basis | None
    expected_max_sharpe: float
    deflated_sharpe: float
    overfitting: Overfitting | None
    p_best: float | None = None


def luck_of(track: Track, rng: np.random.Generator, trials: int = 1) -> Luck:
    """Judge the profits of a run by resampling.

    Args:
        trials: so many as the p of the mean is to be told from `verdict.ALPHA` for the best of; as far as `MOST_DRAWN`
            lets it.

    Raises:
        NotEnoughDataError: if the run covers fewer than `resampling.MIN_PERIODS` minutes.
        DataError: if its equity is not finite.
    """
    period = period_for(int(track.ts_ms[0]), int(track.ts_ms[-1]) + MINUTE_MS)
    row = period_profits(track, period)
    if len(row) < MIN_PERIODS:
        raise NotEnoughDataError(f"the run covers {len(row)} minutes; valid: at least {MIN_PERIODS}")
    record = record_of(row)
    most = max(DEFAULT.resamples, MOST_DRAWN // len(row))
    plan = replace(DEFAULT, resamples=min(resamples_for(ALPHA, min(trials, _MOST_TOLD)), most))
    return Luck(period, resampled(row, rng, plan), record, probabilistic_sharpe(record), int(np.count_nonzero(row)))


def choice_of(luck: Luck, trials: int, matrix: Floats | None = None) -> Choice:
    """Judge what the choice among trials brought.

    Args:
        luck: of the chosen one, over the whole time of `matrix`.
        trials: all that were made, this one included; those in `matrix` count at least.
        matrix: profits (periods, trials) over the same time in periods of equal length, of any length; None if they
            are not known. The spread of the trials is then that of as many which are all worth nothing, normal and
            independent: 1 / (n - 1) per period. Trials that resemble each other spread less, so that is against us.
    """
    record = luck.record
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
    p_best = deflated_p(luck.resampled.p_mean, trials) if found is None else None
    return Choice(trials, basis, best, deflated_sharpe(record, trials, variance), found, p_best)


def evidence_of(
    track: Track,
    luck: Luck | None,
    choice: Choice | None,
    trials: int,
    p_signal: float | None,
    signal_of: SignalOf = "forecasts",
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
        p_best=None if choice is None else choice.p_best,
        signal_of=signal_of,
    )


def _overfitting(matrix: Floats) -> Overfitting | None:
    """Give None where there are too few periods to halve."""
    blocks = min(MAX_BLOCKS, len(matrix) // 4 * 2)
    return None if blocks < 2 else overfitting(matrix, blocks)
