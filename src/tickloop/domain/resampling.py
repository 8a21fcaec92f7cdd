"""How far the figures of one run could be off by luck: bootstraps of blocks of time, seeded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

import numpy as np

from tickloop.domain.blocks import DEFAULT, MAX_RESAMPLES, Plan, draw_blocks, length_of
from tickloop.domain.figures import PROFIT_FACTOR, SHARPE, Columns, Figure, Floats, Sums, sound
from tickloop.errors import DataError

MIN_PERIODS = 20
"""Fewer periods hold no blocks to speak of."""

_ROUNDING = 1e-9

_TELLING = 20
"""So many resamples in the tail give its share to a quarter or so."""


@dataclass(frozen=True)
class Estimate:
    """A figure as observed, and the interval of it; a limit of a profit factor may be infinite."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Resampled:
    """What resampling says of one row of profits.

    Attributes:
        mean_length: of a block, in periods.
        p_mean: one-sided p of a true mean of 0 or less: small when the mean is unlikely to be above 0 by luck.
    """

    periods: int
    mean_length: float
    resamples: int
    confidence: float
    mean: Estimate
    sharpe: Estimate
    profit_factor: Estimate
    p_mean: float


@dataclass(frozen=True)
class Gain:
    """By how much a challenger is better than the champion, per period.

    Attributes:
        p_mean: one-sided p of a true gain of 0 or less; for one challenger of many see `deflated_p`.
    """

    periods: int
    mean_length: float
    resamples: int
    confidence: float
    mean: Estimate
    p_mean: float


class _Means(NamedTuple):
    """Of each resample: how far its mean is from the observed one, and the standard error that its blocks give."""

    off: Floats
    error: Floats


def resampled(profits: Floats, rng: np.random.Generator, plan: Plan = DEFAULT) -> Resampled:
    """Give intervals of mean profit, Sharpe ratio and profit factor, and the p of a mean that is not above 0.

    The mean is judged by the bootstrap-t: profits of a strategy that takes small ones and sits out large losses are so
    skewed that a bootstrap of the plain mean calls a quarter of worthless ones good at 5 %, on 100 periods. This one
    calls 5 % good on 1,000 periods, and up to 8 % on 100 to 300 that depend on each other or hold few losses; those
    that have not come yet no method sees (`verdict.MIN_LOSSES`).

    Args:
        profits: one per period of equal length, in order of time (n,), periods without a trade included. The profit
            factor is that of periods.
        rng: the seed of the result.

    Raises:
        DataError: if `profits` is not a row of finite numbers, or the plan cannot be carried out.
        NotEnoughDataError: with fewer than MIN_PERIODS periods.

    Source: mean: Gotze and Kunsch 1996, Second-order correctness of the blockwise bootstrap for stationary observations
    (standard error of a resample from its own blocks; of the observed mean from the resamples); the others: percentile
    intervals, Efron 1979. Limits are resampled values, not means of two. p has the + 1 of Davison and Hinkley 1997,
    Bootstrap Methods and their Application.
    """
    row = sound(profits, "the row of profits", MIN_PERIODS)
    length = length_of(plan, row)
    means, (sharpes, factors) = _draw(row, (SHARPE, PROFIT_FACTOR), rng, plan, length)
    mean, p_mean = _judged(float(row.mean()), means, plan)
    return Resampled(
        periods=len(row),
        mean_length=length,
        resamples=plan.resamples,
        confidence=plan.confidence,
        mean=mean,
        sharpe=_percentile(SHARPE, row, sharpes, plan),
        profit_factor=_percentile(PROFIT_FACTOR, row, factors, plan),
        p_mean=p_mean,
    )


def compared(champion: Floats, challenger: Floats, rng: np.random.Generator, plan: Plan = DEFAULT) -> Gain:
    """Judge by how much a challenger is better, both being resampled in the same blocks.

    Args:
        champion, challenger: what is to be large, over the same periods in order of time, both (n,): profits, or minus
            the absolute errors of forecasts.

    Raises:
        DataError, NotEnoughDataError: as `resampled`, or if the lengths differ.
    """
    old = sound(champion, "the row of the champion", MIN_PERIODS)
    new = sound(challenger, "the row of the challenger", MIN_PERIODS)
    if len(old) != len(new):
        raise DataError(f"champion has {len(old):,} periods and challenger {len(new):,}; valid: the same ones")
    gains = new - old
    length = length_of(plan, gains)
    means, _ = _draw(gains, (), rng, plan, length)
    mean, p_mean = _judged(float(gains.mean()), means, plan)
    return Gain(len(gains), length, plan.resamples, plan.confidence, mean, p_mean)


def deflated_p(p: float, trials: int) -> float:
    """Give the p of the best of `trials`: p times trials, at most 1 (Bonferroni; true however they depend).

    Args:
        trials: all that were looked at since the last decision, the one in question included.
    """
    if trials < 1:
        raise DataError(f"{trials} trials; valid: at least 1")
    return min(1.0, p * trials)


def resamples_for(alpha: float, trials: int) -> int:
    """Give how many resamples can tell a deflated p from alpha: `_TELLING` of them lie in the tail, at least 2,000.

    Raises:
        DataError: if that is more than MAX_RESAMPLES: so many trials cannot be told apart.
    """
    needed = max(2_000, ceil(_TELLING * trials / alpha))
    if needed > MAX_RESAMPLES:
        raise DataError(f"{trials:,} trials at {alpha:g} need {needed:,} resamples; valid: up to {MAX_RESAMPLES:,}")
    return needed


def _draw(
    row: Floats, figures: Sequence[Figure], rng: np.random.Generator, plan: Plan, length: float
) -> tuple[_Means, list[Floats]]:
    """Give means and figures of resamples: sums of blocks are differences of running sums over the series, twice."""
    n, centre = np.float64(len(row)), row.mean()
    off = _running((row - centre)[None])
    running = [_running(figure.parts(Columns(row, centre))) for figure in figures]
    means, out = _Means(np.empty(plan.resamples), np.empty(plan.resamples)), [np.empty(plan.resamples) for _ in figures]
    at = 0
    for starts, lengths in draw_blocks(len(row), length, rng, plan):
        ends, part = starts + lengths, slice(at, at + len(starts))
        at = part.stop
        sums = off[0][ends] - off[0][starts]
        means.off[part] = sums.sum(axis=1) / n
        means.error[part] = np.sqrt(((sums - means.off[part, None] * lengths) ** 2).sum(axis=1)) / n
        for figure, totals, drawn in zip(figures, running, out, strict=True):
            drawn[part] = figure.value(Sums((totals[:, ends] - totals[:, starts]).sum(axis=2), n, centre))
    return means, out


def _running(parts: Floats) -> Floats:
    twice = np.concatenate([np.zeros((len(parts), 1)), parts, parts], axis=1)
    return np.cumsum(twice, axis=1)


def _judged(mean: float, means: _Means, plan: Plan) -> tuple[Estimate, float]:
    error = float(means.off.std())
    if error == 0.0:
        return Estimate(mean, mean, mean), 1.0 / (plan.resamples + 1.0) if mean > 0.0 else 1.0
    # A resample whose blocks are all alike has error 0, and then lies infinitely far out: against us. Differences of
    # running sums leave a rounding where 0 should be.
    far = np.where(means.off == 0.0, 0.0, np.copysign(np.inf, means.off))
    t = np.divide(means.off, means.error, out=far, where=means.error > _ROUNDING * error)
    low, high = _limits(t, plan)
    p = (1.0 + float((t >= mean / error).sum())) / (plan.resamples + 1.0)
    return Estimate(mean, mean - high * error, mean - low * error), p


def _percentile(figure: Figure, row: Floats, drawn: Floats, plan: Plan) -> Estimate:
    return Estimate(float(figure.of(row)), *_limits(drawn, plan))


def _limits(drawn: Floats, plan: Plan) -> tuple[float, float]:
    tail = (1.0 - plan.confidence) / 2.0
    low = np.quantile(drawn, tail, method="lower")
    high = np.quantile(drawn, 1.0 - tail, method="higher")
    return float(low), float(high)
