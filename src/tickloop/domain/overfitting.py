"""Probability that the best trial of a search is the best by luck: combinatorially symmetric cross-validation."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.figures import SHARPE, Columns, Figure, Floats, Sums, require_finite
from tickloop.errors import DataError, NotEnoughDataError

MAX_BLOCKS = 16
"""Gives 12,870 ways to choose half of them; 18 would be 48,620 for a figure that says no more."""

_CHUNK = 1 << 15
"""Halves times trials that are judged at once: 256 KB an array, so that it stays in the cache of a core."""


@dataclass(frozen=True)
class Overfitting:
    """What choosing the best trial in one half of the time was worth in the other half.

    Every way to choose half of the blocks is a case: c of them, ordered by the sum of 2 ** block over blocks in sample.

    Attributes:
        chosen: trial that is best in sample, the first of equals; int64 (c,).
        in_sample, out_of_sample: figure of the chosen trial there; float64 (c,).
        logits: log(w / (1 - w)), with w = rank out of sample / (trials + 1), of equals the mean rank; float64 (c,).
    """

    trials: int
    blocks: int
    chosen: NDArray[np.int64]
    in_sample: Floats
    out_of_sample: Floats
    logits: Floats

    @property
    def probability(self) -> float:
        """Share of cases in which the chosen trial is not above the median out of sample (logit 0 or less)."""
        return float((self.logits <= 0.0).mean())

    @property
    def probability_of_loss(self) -> float:
        """Share of cases in which the chosen trial's figure is below 0 out of sample: not for a profit factor."""
        return float((self.out_of_sample < 0.0).mean())

    @property
    def slope(self) -> float:
        """Slope of out-of-sample on in-sample figures, least squares; NaN if the latter never differ.

        Below 0, better in one half is worse in the other. What is good in one half is missing in the other, so that
        one trial chosen always has -1 for the sum of profits: read it together with `probability`.
        """
        if not (np.isfinite(self.in_sample).all() and np.isfinite(self.out_of_sample).all()):
            return nan  # an infinite profit factor has no slope
        off = self.in_sample - self.in_sample.mean()
        squares = float(off @ off)
        return float(off @ self.out_of_sample) / squares if squares > 0.0 else nan


def overfitting(profits: Floats, blocks: int = MAX_BLOCKS, figure: Figure = SHARPE) -> Overfitting:
    """Judge a search by choosing in every half of its time and looking at the other half.

    Args:
        profits: returns or profits (periods, trials), all trials that were made, each over the same periods in order
            of time; 0 where a trial did nothing.
        blocks: even number of blocks of time, at most MAX_BLOCKS.
        figure: what the search maximised.

    Raises:
        DataError: if `profits` is not such a matrix of finite numbers, or `blocks` is not such a number.
        NotEnoughDataError: with fewer than two trials, or two periods a block.

    Source: Bailey, Borwein, Lopez de Prado and Zhu 2017, The Probability of Backtest Overfitting, Journal of
    Computational Finance 20(4). Variants: blocks differ by one period where they do not divide the time (the
    paper asks for a multiple); a logit of exactly 0 counts as over-fitted, for the paper's are continuous.
    """
    matrix = _sound_matrix(profits, blocks)
    trials = matrix.shape[1]
    halves = _Halves(matrix, blocks, figure)
    masks = np.flatnonzero(np.bitwise_count(np.arange(1 << blocks)) == blocks // 2)
    chosen, logits = np.empty(len(masks), np.int64), np.empty(len(masks))
    inside, outside = np.empty(len(masks)), np.empty(len(masks))
    step = max(1, _CHUNK // trials)
    for start in range(0, len(masks) // 2, step):
        place = np.arange(start, min(start + step, len(masks) // 2))
        other = len(masks) - 1 - place  # the same cut with the halves exchanged
        one, two = halves.figure_of(masks[place]), halves.figure_of(masks[other])
        for at, held_in, held_out in ((place, one, two), (other, two, one)):
            best = held_in.argmax(axis=1)
            rows = np.arange(len(best))
            chosen[at], inside[at], outside[at] = best, held_in[rows, best], held_out[rows, best]
            logits[at] = _logits(held_out, outside[at])
    return Overfitting(trials, blocks, chosen, inside, outside, logits)


class _Halves:
    """Sums over any set of blocks, by two look-ups: all sets of the first half of the blocks, and of the second.

    A set is a mask: bit b stands for block b. Trials with the same profits get the same bits, so that equals are equal;
    a matrix product would not promise that.
    """

    def __init__(self, matrix: Floats, blocks: int, figure: Figure) -> None:
        self._figure, self._centre = figure, matrix.mean(axis=0)
        cuts = np.array_split(matrix, blocks)
        sums = np.stack([figure.parts(Columns(cut, self._centre)).sum(axis=1) for cut in cuts], axis=1)
        counts = np.array([[[len(cut)] for cut in cuts]], np.float64)
        self._split = blocks // 2
        self._first, self._second = _all_sums(sums[:, : self._split]), _all_sums(sums[:, self._split :])
        self._counts = _all_sums(counts[:, : self._split])[0], _all_sums(counts[:, self._split :])[0]

    def figure_of(self, masks: NDArray[np.int64]) -> Floats:
        """Give the figure of each trial over each set of blocks: (sets, trials)."""
        first, second = masks & ((1 << self._split) - 1), masks >> self._split
        counts = self._counts[0][first] + self._counts[1][second]
        return self._figure.value(Sums(self._first[:, first] + self._second[:, second], counts, self._centre))


def _all_sums(sums: Floats) -> Floats:
    """Give the sums over every set of blocks: (k, blocks, trials) -> (k, 2 ** blocks, trials)."""
    k, blocks, trials = sums.shape
    table = np.zeros((k, 1 << blocks, trials))
    for block in range(blocks):
        size = 1 << block
        table[:, size : 2 * size] = table[:, :size] + sums[:, block : block + 1]
    return table


def _logits(figures: Floats, of_chosen: Floats) -> Floats:
    below = (figures < of_chosen[:, None]).sum(axis=1)
    equal = (figures == of_chosen[:, None]).sum(axis=1)
    rank = below + (equal + 1) / 2.0
    share = rank / (figures.shape[1] + 1)
    return np.asarray(np.log(share / (1.0 - share)), np.float64)


def _sound_matrix(profits: Floats, blocks: int) -> Floats:
    if blocks % 2 or not 2 <= blocks <= MAX_BLOCKS:
        raise DataError(f"{blocks} blocks; valid: an even number from 2 to {MAX_BLOCKS}")
    matrix = np.asarray(profits, np.float64)
    if matrix.ndim != 2:
        raise DataError(f"the profits of trials have shape {matrix.shape}; valid: (periods, trials)")
    periods, trials = matrix.shape
    if trials < 2 or periods < 2 * blocks:
        raise NotEnoughDataError(
            f"{trials:,} trials over {periods:,} periods; valid: at least 2 trials, and {2 * blocks} periods"
        )
    require_finite(matrix, "the profit of a period and trial")
    return matrix
