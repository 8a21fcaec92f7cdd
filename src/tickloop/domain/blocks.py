"""Which blocks of time a resample is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.block_length import block_length
from tickloop.domain.figures import Floats
from tickloop.errors import DataError

MAX_RESAMPLES = 200_000

_CHUNK = 1 << 16
"""Blocks drawn at once: 512 KB an array, unless one resample has more."""

_SPARE = 6.0
"""So many standard deviations above the mean number of blocks are drawn at once; what is still short is drawn on."""

Ints = NDArray[np.int64]
Blocks = tuple[Ints, Ints]
"""Where the blocks of each resample start, and their lengths, which add up to the periods: both (resamples, most)."""


@dataclass(frozen=True)
class Plan:
    """How to resample.

    Attributes:
        kind: `stationary` (Politis and Romano 1994): lengths geometric; `circular` (Politis and Romano 1992): lengths
            equal, rounded up, the last one cut. Both wrap around the end.
        resamples: how many; a p value is not below 1 / (resamples + 1).
        confidence: of the two-sided intervals.
        mean_length: of a block, in periods; None chooses it by `block_length`.
    """

    kind: Literal["stationary", "circular"] = "stationary"
    resamples: int = 2_000
    confidence: float = 0.95
    mean_length: float | None = None


DEFAULT = Plan()


def length_of(plan: Plan, row: Floats) -> float:
    """Give the length of blocks for a row, in periods.

    Raises:
        DataError: if the plan cannot be carried out.
    """
    if not 1 <= plan.resamples <= MAX_RESAMPLES:
        raise DataError(f"{plan.resamples:,} resamples; valid: from 1 to {MAX_RESAMPLES:,}")
    if not 0.0 < plan.confidence < 1.0:
        raise DataError(f"confidence is {plan.confidence}; valid: between 0 and 1")
    if plan.mean_length is None:
        best = block_length(row)
        length = best.stationary if plan.kind == "stationary" else best.circular
    else:
        length = plan.mean_length
    if not 1.0 <= length <= len(row):
        raise DataError(f"blocks of {length} periods; valid: from 1 to all {len(row):,}")
    return length if plan.kind == "stationary" else float(ceil(length))


def draw_blocks(periods: int, length: float, rng: np.random.Generator, plan: Plan) -> Iterator[Blocks]:
    """Draw the blocks of all resamples of a series, some resamples at a time.

    Args:
        length: of a block, in periods (mean for the stationary kind).

    Returns:
        An iterator; a block may end after the series, which then begins anew.
    """
    expected = periods / length
    most = ceil(expected + _SPARE * expected**0.5) if plan.kind == "stationary" else ceil(expected)
    step = max(1, _CHUNK // most)
    for start in range(0, plan.resamples, step):
        rows = min(step, plan.resamples - start)
        if plan.kind == "stationary":
            lengths = _geometric(periods, length, rows, most, rng)
        else:
            lengths = _equal(periods, length, rows)
        yield rng.integers(periods, size=lengths.shape), lengths


def _equal(periods: int, length: float, rows: int) -> Ints:
    size = ceil(length)
    ends = np.minimum(np.arange(ceil(periods / size) + 1) * size, periods)
    return np.broadcast_to(np.diff(ends), (rows, len(ends) - 1))


def _geometric(periods: int, length: float, rows: int, most: int, rng: np.random.Generator) -> Ints:
    drawn = rng.geometric(1.0 / length, (rows, most))
    while (drawn.sum(axis=1) < periods).any():
        drawn = np.concatenate([drawn, rng.geometric(1.0 / length, (rows, most))], axis=1)
    ends = np.minimum(np.cumsum(drawn, axis=1), periods)
    return np.diff(ends, axis=1, prepend=0)
