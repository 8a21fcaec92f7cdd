"""Figures of profits that follow from sums, so that any part or mix of the periods is judged without reading it again.

Over-fitting is measured on thousands of halves of a search, and luck on thousands of resamples of one run. Both add up
the sums of blocks that were read once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tickloop.errors import DataError, NotEnoughDataError

Floats = NDArray[np.float64]

_FLAT = 1e-12
"""A spread below this share of the squares that it is taken from is rounding, not variation."""


class Columns(NamedTuple):
    """Profits (n, ...), and a number for each column that its squares are taken around, (...)."""

    profits: Floats
    centre: Floats


class Sums(NamedTuple):
    """Parts added up (k, ...), over how many periods, and the centre that they were made with."""

    parts: Floats
    periods: Floats | np.float64
    centre: Floats


@dataclass(frozen=True)
class Figure:
    """One figure, as what is summed, columns -> (k, n, ...), and what is made of the sums, (...)."""

    name: str
    parts: Callable[[Columns], Floats]
    value: Callable[[Sums], Floats]

    def of(self, profits: Floats) -> Floats:
        """Give the figure of each column of profits (n, ...)."""
        columns = Columns(profits, profits.mean(axis=0))
        return self.value(Sums(self.parts(columns).sum(axis=1), np.float64(len(profits)), columns.centre))


def _as_they_are(columns: Columns) -> Floats:
    return columns.profits[None]


def _off_centre(columns: Columns) -> Floats:
    off = columns.profits - columns.centre  # squares around 0 would lose the variance of a large mean
    return np.stack([off, off * off])


def _won_and_lost(columns: Columns) -> Floats:
    return np.stack([np.maximum(columns.profits, 0.0), np.maximum(-columns.profits, 0.0)])


def _sharpe(sums: Sums) -> Floats:
    off, squares = sums.parts
    mean = off / sums.periods
    spread = squares - off * mean
    is_flat = spread <= _FLAT * squares
    safe = np.where(is_flat, np.inf, spread)
    return np.asarray((mean + sums.centre) * np.sqrt((sums.periods - 1.0) / safe), np.float64)


def _factor(sums: Sums) -> Floats:
    won, lost = sums.parts
    ratio = np.divide(won, lost, out=np.full(np.shape(won), np.inf), where=lost > 0)
    return np.where((won == 0) & (lost == 0), 1.0, ratio)


MEAN = Figure("mean", _as_they_are, lambda sums: sums.parts[0] / sums.periods)
"""Mean profit per period."""

PROFIT = Figure("profit", _as_they_are, lambda sums: sums.parts[0])
"""Sum of profits."""

SHARPE = Figure("sharpe", _off_centre, _sharpe)
"""Mean over sample standard deviation (n - 1), per period, without a riskless rate; 0 where nothing varies.

Source: Sharpe 1994, The Sharpe Ratio, ex post, with a benchmark of 0: doing nothing.
"""

PROFIT_FACTOR = Figure("profit_factor", _won_and_lost, _factor)
"""Sum of the periods that won over sum of those that lost; infinite where none lost, 1 where none did either."""


def sound(profits: Floats, what: str, at_least: int) -> Floats:
    """Give a row of profits as float64.

    Raises:
        DataError: if it is not one row of finite numbers.
        NotEnoughDataError: if it is shorter than `at_least`.
    """
    row = np.asarray(profits, np.float64)
    if row.ndim != 1:
        raise DataError(f"{what} has shape {row.shape}; valid: one row, (periods,)")
    require_finite(row, what)
    if len(row) < at_least:
        raise NotEnoughDataError(f"{what} has {len(row):,} periods; valid: at least {at_least:,}")
    return row


def require_finite(values: Floats, what: str) -> None:
    """Raise DataError, naming the first place, if a value is NaN or infinite."""
    is_wrong = ~np.isfinite(values)
    if is_wrong.any():
        place = tuple(int(axis) for axis in np.unravel_index(int(np.argmax(is_wrong)), values.shape))
        raise DataError(f"{what} is {values[place]} at {place}; valid: finite numbers")
