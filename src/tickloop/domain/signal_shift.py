"""Does a strategy of signals earn by when they come, or would the same signals at other times do as well?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tickloop.domain.permutation import MAX_PERMUTATIONS, Shuffled
from tickloop.domain.tape import ForecastSeries
from tickloop.errors import DataError, NotEnoughDataError

MIN_SHIFT = 60
"""Signals by which a series is moved at least, forwards or backwards: nearer ones are much the same."""

MIN_SIGNALS = 8 * MIN_SHIFT


def shifted_signal(
    profit: Callable[[ForecastSeries], float],
    series: ForecastSeries,
    rng: np.random.Generator,
    permutations: int,
) -> Shuffled:
    """Run a strategy with its signals moved in time, those that leave at the end coming in at the start.

    How long it holds, how often it trades and what that costs is kept but at one place; when it is, is not. A profit
    that comes of rising prices alone comes with any shift.

    Args:
        profit: runs the strategy on signals and gives its profit.
        series: what `strategy_bars.signal_series` gives, in `price`.

    Raises:
        DataError: if a profit is not finite, or the number of permutations is not valid.
        NotEnoughDataError: if there are fewer than MIN_SIGNALS.

    Source: p as Phipson and Smyth 2010, Permutation P-values Should Never Be Zero: (b + 1) / (m + 1); the question as
    in Aronson 2006, Evidence-Based Technical Analysis, where signals are put beside the moves of other days.
    """
    count = len(series.price)
    if not 1 <= permutations <= MAX_PERMUTATIONS:
        raise DataError(f"{permutations} permutations; valid: 1 to {MAX_PERMUTATIONS:,}")
    if count < MIN_SIGNALS:
        raise NotEnoughDataError(f"{count:,} signals are too few to be moved in time; valid: at least {MIN_SIGNALS}")
    observed = _finite(profit(series))
    shifts = rng.integers(MIN_SHIFT, count - MIN_SHIFT, size=permutations, endpoint=True)
    profits = np.array(
        [
            _finite(profit(ForecastSeries(series.minute_ms, np.roll(series.price, shift), series.usable_from_ms)))
            for shift in shifts
        ]
    )
    return Shuffled(observed, profits, (1.0 + float((profits >= observed).sum())) / (permutations + 1.0))


def _finite(profit: float) -> float:
    if not np.isfinite(profit):
        raise DataError(f"the profit of a permutation is {profit}; valid: a finite number")
    return profit
