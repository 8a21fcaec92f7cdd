"""Does a strategy earn by its forecasts, or would forecasts of other minutes do as well?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.figures import Floats
from tickloop.domain.window import DAY_MS
from tickloop.errors import DataError, NotEnoughDataError

MAX_PERMUTATIONS = 10_000

MIN_BLOCKS = 4
"""A day of fewer blocks is left as it is; four have 24 orders."""


@dataclass(frozen=True)
class Shuffled:
    """What the strategy earned with its forecasts, and with the same forecasts at other minutes of their day.

    Attributes:
        profits: of each permutation, float64 (permutations,).
        p: share of permutations that earned as much or more, the observed order counted as one of them.
    """

    profit: float
    profits: Floats
    p: float


class Days(NamedTuple):
    """Places of the forecasts that there are, and where each day of them starts and ends in that list."""

    places: NDArray[np.int64]
    edges: NDArray[np.int64]


def shuffled(
    profit: Callable[[Floats], float],
    forecasts: Floats,
    ts_ms: NDArray[np.int64],
    rng: np.random.Generator,
    *,
    block: int = 15,
    permutations: int = 200,
) -> Shuffled:
    """Test the signal: the forecasts of each day are cut into blocks, and the blocks put in another order.

    What a forecast looks like, how often it is high and how long it stays so is kept; when it is high is not. A profit
    that comes of rising prices, of the time of day over all days or of the exit rule alone comes with any order.

    Args:
        profit: runs the strategy on a row of forecasts like `forecasts` and gives what is to be large. It is called
            `permutations` + 1 times.
        forecasts: log returns, one a minute, NaN where there is none (n,). Not prices: those of another minute say
            nothing but how far the market has moved since. Minutes without a forecast stay without.
        ts_ms: their minutes, epoch ms, ascending (n,); days are those of UTC.
        block: length of a block in forecasts; the first of a day may be shorter, at random.
        permutations: at most MAX_PERMUTATIONS; p is not below 1 / (permutations + 1).

    Raises:
        DataError: if the rows differ in length, minutes are not ascending, a number is not valid, or a profit is not
            finite.
        NotEnoughDataError: if no day has MIN_BLOCKS blocks.

    Source: Phipson and Smyth 2010, Permutation P-values Should Never Be Zero: (b + 1) / (m + 1).
    """
    if not 1 <= permutations <= MAX_PERMUTATIONS or block < 1:
        raise DataError(f"{permutations} permutations, blocks of {block}; valid: 1 to {MAX_PERMUTATIONS:,}, at least 1")
    days = _days(forecasts, ts_ms)
    if not _is_long(days.edges, block).any():
        raise NotEnoughDataError(
            f"no day has {MIN_BLOCKS} blocks of {block} forecasts; valid: shorter blocks, or more forecasts a day"
        )
    observed = _finite(profit(forecasts.copy()))
    profits = np.empty(permutations)
    for nth in range(permutations):
        mixed = forecasts.copy()
        mixed[days.places] = forecasts[days.places[_order(days.edges, block, rng)]]
        profits[nth] = _finite(profit(mixed))
    return Shuffled(observed, profits, (1.0 + float((profits >= observed).sum())) / (permutations + 1.0))


def _days(forecasts: Floats, ts_ms: NDArray[np.int64]) -> Days:
    if forecasts.shape != ts_ms.shape or forecasts.ndim != 1:
        raise DataError(f"forecasts have shape {forecasts.shape} and minutes {ts_ms.shape}; valid: one row each, alike")
    if (np.diff(ts_ms) <= 0).any():
        raise DataError(f"minutes do not ascend after row {int(np.argmax(np.diff(ts_ms) <= 0))}; valid: ascending")
    if np.isinf(forecasts).any():
        raise DataError(f"forecast {int(np.argmax(np.isinf(forecasts)))} is infinite; valid: finite numbers, or NaN")
    places = np.flatnonzero(~np.isnan(forecasts))
    changes = np.flatnonzero(np.diff(ts_ms[places] // DAY_MS)) + 1
    return Days(places, np.concatenate([[0], changes, [len(places)]]).astype(np.int64))


def _order(edges: NDArray[np.int64], block: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Give a new order of forecasts: inside each day, in blocks whose first starts at a random place before it."""
    sizes = np.diff(edges)
    within = np.arange(edges[-1]) + np.repeat(rng.integers(block, size=len(sizes)) - edges[:-1], sizes)
    day = np.repeat(np.arange(len(sizes)), sizes)
    is_start = np.ones(len(day), np.bool_)
    is_start[1:] = (np.diff(day) > 0) | (np.diff(within // block) > 0)
    starts = np.flatnonzero(is_start)
    lengths = np.diff(np.append(starts, edges[-1]))
    day_of_block = day[starts]
    draw = rng.random(len(starts)) * _is_long(edges, block)[day_of_block]
    new = np.lexsort((draw, day_of_block))  # stable: a day that is too short keeps its order
    before = np.cumsum(lengths[new]) - lengths[new]
    return np.repeat(starts[new] - before, lengths[new]) + np.arange(edges[-1])


def _is_long(edges: NDArray[np.int64], block: int) -> NDArray[np.bool_]:
    return np.diff(edges) >= MIN_BLOCKS * block


def _finite(profit: float) -> float:
    if not np.isfinite(profit):
        raise DataError(f"the profit of a permutation is {profit}; valid: a finite number")
    return float(profit)
