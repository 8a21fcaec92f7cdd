"""Two parameters of a search against each other: a table of what their settings made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.figures import Floats
from tickloop.domain.trials import Trial

MOST_BINS = 12
"""Values of a parameter beyond which they are put together, equally many trials in each."""

MOST_MAPS = 6


@dataclass(frozen=True)
class HeatMap:
    """The trials of a search, by two of the parameters.

    Attributes:
        x, y: names of the parameters.
        x_values, y_values: value of each column and row; where values were put together, their middle one.
        mean, best: of the figure, (rows, columns); NaN where no trial lies.
        trials: how many lie in each, int64 (rows, columns).
    """

    x: str
    y: str
    figure: str
    x_values: Floats
    y_values: Floats
    mean: Floats
    best: Floats
    trials: NDArray[np.int64]

    def as_dict(self) -> dict[str, Any]:
        """Give JSON-ready values; None where no trial lies."""
        return {
            "x": self.x,
            "y": self.y,
            "figure": self.figure,
            "x_values": self.x_values.tolist(),
            "y_values": self.y_values.tolist(),
            "mean": _without_nan(self.mean),
            "best": _without_nan(self.best),
            "trials": self.trials.tolist(),
        }


def heat_map(trials: Sequence[Trial], x: str, y: str, figure: str, is_more_better: bool = True) -> HeatMap:
    """Put the trials of a search into a table by two of their parameters.

    Args:
        trials: at least one; all have both parameters.
        is_more_better: of two figures, which one is the best.
    """
    columns, x_values = _binned(np.array([one.setting[x] for one in trials], np.float64))
    rows, y_values = _binned(np.array([one.setting[y] for one in trials], np.float64))
    made = np.array([getattr(one.figures, figure) for one in trials], np.float64)
    shape = (len(y_values), len(x_values))
    count, total = np.zeros(shape, np.int64), np.zeros(shape)
    worst = -np.inf if is_more_better else np.inf
    best = np.full(shape, worst)
    np.add.at(count, (rows, columns), 1)
    np.add.at(total, (rows, columns), made)
    (np.maximum if is_more_better else np.minimum).at(best, (rows, columns), made)
    is_empty = count == 0
    mean = np.where(is_empty, np.nan, total / np.maximum(count, 1))
    return HeatMap(x, y, figure, x_values, y_values, mean, np.where(is_empty, np.nan, best), count)


def heat_maps(trials: Sequence[Trial], figure: str, is_more_better: bool = True) -> list[HeatMap]:
    """Give a table for each two of the parameters that the search moved: at most MOST_MAPS, in order of their names."""
    if not trials:
        return []
    moved = [name for name in trials[0].setting if len({one.setting[name] for one in trials}) > 1]
    pairs = list(combinations(moved, 2))[:MOST_MAPS]
    return [heat_map(trials, x, y, figure, is_more_better) for x, y in pairs]


def _binned(values: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Give the place of each value among the distinct ones, and these; or of the bins that they are put into."""
    distinct, place = np.unique(values, return_inverse=True)
    if len(distinct) <= MOST_BINS:
        return place.astype(np.int64), distinct
    edges = np.unique(np.quantile(values, np.linspace(0.0, 1.0, MOST_BINS + 1)[1:-1], method="inverted_cdf"))
    found = np.searchsorted(edges, values, side="left")
    _, found = np.unique(found, return_inverse=True)  # no bin is empty
    middles = [float(np.quantile(values[found == bin_], 0.5, method="inverted_cdf")) for bin_ in range(found.max() + 1)]
    return found.astype(np.int64), np.array(middles)


def _without_nan(table: Floats) -> list[list[float | None]]:
    return [[None if cell != cell else cell for cell in row] for row in table.tolist()]
