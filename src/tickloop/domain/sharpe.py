"""How far a Sharpe ratio can be trusted: given its length, the shape of its returns, and how many were tried.

All ratios are per period unless a name says annualised; returns are in any unit, since a ratio has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import e, inf, sqrt
from statistics import NormalDist

import numpy as np

from tickloop.domain.figures import SHARPE, Floats, require_finite, sound
from tickloop.errors import DataError, NotEnoughDataError

MIN_PERIODS = 3
"""Below that a standard deviation and a shape are not measured at all."""

_NORMAL = NormalDist()
_EULER = 0.5772156649015329  # Euler-Mascheroni constant
_SURELY = 1.0 - 1e-16  # a probability that `NormalDist.inv_cdf` still takes


@dataclass(frozen=True)
class Record:
    """A track record, reduced to what the formulas below need.

    Attributes:
        periods: number of returns.
        sharpe: mean over sample standard deviation (n - 1), per period.
        skew: third standardised moment, population variant (divisor n, no bias correction): 0 for a normal one.
        kurtosis: fourth standardised moment, population variant, not the excess: 3 for a normal one.
    """

    periods: int
    sharpe: float
    skew: float = 0.0
    kurtosis: float = 3.0

    @property
    def spread(self) -> float:
        """Standard error of the ratio, times sqrt(n - 1): 1 - skew SR + (kurtosis - 1) / 4 SR^2, under the root.

        Source: Mertens 2002; Bailey and Lopez de Prado 2012, The Sharpe Ratio Efficient Frontier.
        """
        squared = 1.0 - self.skew * self.sharpe + (self.kurtosis - 1.0) / 4.0 * self.sharpe**2
        return sqrt(max(squared, 0.0))  # 0 at the edge of what moments can be: returns of two values


def record_of(returns: Floats) -> Record:
    """Measure a row of returns or profits, one per period, periods without a trade included.

    Returns:
        The record; one that never varies has ratio 0 and the shape of a normal one.

    Raises:
        DataError, NotEnoughDataError: if it is not a row of at least MIN_PERIODS finite numbers.
    """
    row = sound(returns, "the row of returns", MIN_PERIODS)
    ratio = float(SHARPE.of(row))
    off = row - row.mean()
    variance = float((off**2).mean())
    if ratio == 0.0 and variance <= 1e-24 * float((row**2).mean()):
        return Record(len(row), 0.0)
    return Record(len(row), ratio, float((off**3).mean() / variance**1.5), float((off**4).mean() / variance**2))


def annualised(sharpe: float, periods_per_year: float) -> float:
    """Give SR sqrt(q): right for returns without autocorrelation only (Lo 2002, The Statistics of Sharpe Ratios).

    Args:
        periods_per_year: of a market that never closes: 365 days, 8,760 hours, 525,600 minutes.
    """
    if not periods_per_year > 0:
        raise DataError(f"a year has {periods_per_year} periods; valid: a number above 0")
    return sharpe * sqrt(periods_per_year)


def probabilistic_sharpe(record: Record, benchmark: float = 0.0) -> float:
    """Give the probability that the true ratio is above a benchmark (per period), given the record.

    Phi((SR - SR*) sqrt(n - 1) / spread).

    Source: Bailey and Lopez de Prado 2012, The Sharpe Ratio Efficient Frontier. It takes the returns as
    independent of each other; a block bootstrap does not.
    """
    ahead = (record.sharpe - benchmark) * sqrt(record.periods - 1)
    if record.spread == 0.0:
        return 0.5 if ahead == 0.0 else float(ahead > 0.0)
    return _NORMAL.cdf(ahead / record.spread)


def expected_max_sharpe(trials: int, variance: float) -> float:
    """Give the best ratio to expect of trials that are all worth nothing.

    sqrt(V) ((1 - g) Z(1 - 1/N) + g Z(1 - 1/(N e))), with g the Euler-Mascheroni constant and Z the normal quantile; 0
    for one trial, which was not chosen.

    Args:
        trials: all that were tried, also those that were dropped. Counting trials that resemble each other as
            different ones is against us.
        variance: of their ratios, per period.

    Source: Bailey and Lopez de Prado 2014, The Deflated Sharpe Ratio.
    """
    if trials < 1 or not (0.0 <= variance < inf):
        raise DataError(f"{trials} trials with variance {variance}; valid: at least 1, and a number from 0")
    if trials == 1:
        return 0.0
    low, high = 1.0 - 1.0 / trials, min(1.0 - 1.0 / (trials * e), _SURELY)
    return sqrt(variance) * ((1.0 - _EULER) * _NORMAL.inv_cdf(low) + _EULER * _NORMAL.inv_cdf(high))


def sharpe_variance(sharpes: Floats) -> float:
    """Give the sample variance (n - 1) of the ratios of trials."""
    row = np.asarray(sharpes, np.float64)
    require_finite(row, "the ratio of a trial")
    if len(row) < 2:
        raise NotEnoughDataError(f"{len(row)} trials have no variance; valid: at least 2")
    return float(row.var(ddof=1))


def deflated_sharpe(record: Record, trials: int, variance: float) -> float:
    """Give the probability that the true ratio of the chosen trial is above 0, after the choice among `trials`.

    It is the probabilistic ratio against `expected_max_sharpe`.

    Source: Bailey and Lopez de Prado 2014, The Deflated Sharpe Ratio.
    """
    return probabilistic_sharpe(record, expected_max_sharpe(trials, variance))


def min_track_record(record: Record, benchmark: float = 0.0, confidence: float = 0.95) -> float:
    """Give how many periods such a record must have before its true ratio is above a benchmark with confidence.

    1 + spread^2 (Z(confidence) / (SR - SR*))^2; infinite if the ratio is not above the benchmark.

    Source: Bailey and Lopez de Prado 2012, The Sharpe Ratio Efficient Frontier.
    """
    if not 0.5 <= confidence < 1.0:
        raise DataError(f"confidence is {confidence}; valid: from 0.5 to below 1")
    ahead = record.sharpe - benchmark
    return 1.0 + (record.spread * _NORMAL.inv_cdf(confidence) / ahead) ** 2 if ahead > 0.0 else inf
