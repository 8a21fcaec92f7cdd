"""The permutation test for forecasts that are prices: what is shuffled is how far each lies from the last price."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tickloop.domain.figures import Floats
from tickloop.domain.permutation import Shuffled, shuffled
from tickloop.domain.tape import BarTape, ForecastSeries

BLOCK = 15
"""Forecasts that stay together, in minutes."""

MOST, LEAST = 199, 39
"""Permutations: p is then as low as 0.005, or 0.025 where a run takes long."""

ROWS = 2_000_000_000
"""Rows that all permutations together may read: some seconds. A count and not a time, so that p depends on the seed and
the inputs alone."""


def permutations_for(rows: int, budget: int = ROWS) -> int:
    """Give how many permutations of a run over so many rows are made; 0 if even `LEAST` are too many."""
    count = min(MOST, budget // max(rows, 1))
    return count if count >= LEAST else 0


def expected_moves(series: ForecastSeries, bars: BarTape) -> Floats:
    """Give the log return that each forecast promises from the last close before its minute; NaN without such a close.

    Args:
        bars: what the run saw; float64 (m,) for m forecasts comes out.
    """
    last = _last_close(series, bars)
    return np.log(series.price / last)


def with_moves(series: ForecastSeries, bars: BarTape, moves: Floats) -> ForecastSeries:
    """Give the forecasts that promise these moves instead; where a move is NaN the forecast stays as it is."""
    price = np.where(np.isnan(moves), series.price, _last_close(series, bars) * np.exp(moves))
    return ForecastSeries(series.minute_ms, price, series.usable_from_ms)


def shuffled_forecasts(
    profit: Callable[[ForecastSeries], float],
    series: ForecastSeries,
    bars: BarTape,
    rng: np.random.Generator,
    permutations: int = MOST,
) -> Shuffled:
    """Run a strategy with its forecasts at other minutes of their days (`permutation.shuffled`).

    Args:
        profit: runs the strategy on forecasts and gives its profit.
        bars: the closes of the run; in tick mode those of the tape's minutes.

    Raises:
        DataError: if a forecast or a profit is not a finite number.
        NotEnoughDataError: if no day has enough forecasts.
    """
    return shuffled(
        lambda moves: profit(with_moves(series, bars, moves)),
        expected_moves(series, bars),
        series.minute_ms,
        rng,
        block=BLOCK,
        permutations=permutations,
    )


def _last_close(series: ForecastSeries, bars: BarTape) -> Floats:
    before = np.searchsorted(bars.ts_ms, series.minute_ms, side="left") - 1
    return np.where(before >= 0, bars.close[before], np.nan)
