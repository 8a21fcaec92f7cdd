"""Probability of back-test over-fitting, against a slow one that slices, and where its value is known."""

from __future__ import annotations

from itertools import combinations
from math import isnan, log

import numpy as np
import pytest

from tickloop.domain.figures import PROFIT, PROFIT_FACTOR, SHARPE, Figure, Floats
from tickloop.domain.overfitting import overfitting
from tickloop.errors import DataError, NotEnoughDataError

FIGURES = pytest.mark.parametrize("figure", [SHARPE, PROFIT, PROFIT_FACTOR], ids=lambda figure: figure.name)


def noise(seed: int, periods: int = 160, trials: int = 12) -> Floats:
    return np.random.default_rng(seed).normal(size=(periods, trials))


def by_slicing(profits: Floats, blocks: int, figure: Figure) -> list[tuple[int, float, float, float]]:
    """The paper's own steps: join half of the blocks, choose, join the others, rank."""
    cuts, cases = np.array_split(profits, blocks), []
    for held in sorted(combinations(range(blocks), blocks // 2), key=lambda held: sum(1 << block for block in held)):
        inside = figure.of(np.concatenate([cuts[block] for block in held]))
        outside = figure.of(np.concatenate([cuts[block] for block in range(blocks) if block not in held]))
        best = int(np.argmax(inside))
        rank = (outside < outside[best]).sum() + ((outside == outside[best]).sum() + 1) / 2
        share = rank / (len(outside) + 1)
        cases.append((best, float(inside[best]), float(outside[best]), log(share / (1 - share))))
    return cases


@FIGURES
@pytest.mark.parametrize("periods", [160, 163])
def test_sums_of_blocks_give_what_slicing_gives(figure: Figure, periods: int) -> None:
    """For every one of 70 cases, also when the blocks do not divide the time."""
    profits = noise(3, periods)

    fast, slow = overfitting(profits, 8, figure), by_slicing(profits, 8, figure)

    assert fast.chosen.tolist() == [case[0] for case in slow]
    assert fast.in_sample == pytest.approx([case[1] for case in slow], rel=1e-12)
    assert fast.out_of_sample == pytest.approx([case[2] for case in slow], rel=1e-12)
    assert fast.logits == pytest.approx([case[3] for case in slow], rel=1e-12)


def test_figures_are_those_that_pypbo_gives() -> None:
    """pypbo's `pbo` on the same matrix, run by hand: PBO, slope of the degradation, probability of loss."""
    profits = noise(3)
    profits[:, 3] += 0.15

    result = overfitting(profits, 8)

    assert result.probability == pytest.approx(0.6714285714285712)
    assert result.slope == pytest.approx(-0.6005519921402783)
    assert result.probability_of_loss == pytest.approx(0.42857142857142855)
    assert result.logits.sum() == pytest.approx(-45.50656089614578)


def test_search_of_noise_has_a_half_on_average() -> None:
    """One search may be far off, by 0.18: the mean of 200 has a standard error of 0.012."""
    found = [overfitting(noise(seed, 300, 50), 10).probability for seed in range(200)]

    assert np.mean(found) == pytest.approx(0.5, abs=0.04)


@FIGURES
def test_trial_that_dominates_is_not_over_fitted(figure: Figure) -> None:
    """It is chosen in every half, and is the best of the other one."""
    profits = noise(1, trials=40)
    profits[:, 7] += 2.0

    result = overfitting(profits, 16, figure)

    assert len(result.logits) == 12_870
    assert set(result.chosen.tolist()) == {7}
    assert result.probability == result.probability_of_loss == 0.0


def test_trials_that_win_in_one_half_to_lose_in_the_other_are_over_fitted() -> None:
    """Each trial earns in one block what it loses in another one."""
    profits = noise(2, 80, 8) * 0.01
    cuts = np.array_split(np.arange(80), 8)
    for trial in range(8):
        profits[cuts[trial], trial] += 1.0
        profits[cuts[(trial + 4) % 8], trial] -= 1.0

    result = overfitting(profits, 8, PROFIT)

    assert result.probability > 0.9
    assert result.slope < 0.0


def test_trials_that_are_equal_count_as_over_fitted() -> None:
    """Nothing was chosen, so that nothing was found: a rank in the middle is not above the median."""
    same = np.repeat(noise(4, trials=1), 7, axis=1)

    result = overfitting(same, 8)

    assert set(result.logits.tolist()) == {0.0}
    assert result.probability == 1.0
    assert set(result.chosen.tolist()) == {0}


def test_result_does_not_depend_on_chance_or_on_the_order_of_trials() -> None:
    """Except for the numbers of those chosen."""
    profits = noise(8)

    result, again, turned = overfitting(profits, 8), overfitting(profits, 8), overfitting(profits[:, ::-1], 8)

    assert result.logits.tolist() == again.logits.tolist() == turned.logits.tolist()
    assert (11 - turned.chosen).tolist() == result.chosen.tolist()


def test_slope_of_one_that_never_differs_is_none() -> None:
    """Trials that did nothing, and a profit factor without a loss."""
    assert isnan(overfitting(np.zeros((20, 3)), 4).slope)
    assert isnan(overfitting(np.abs(noise(1)), 4, PROFIT_FACTOR).slope)


@pytest.mark.parametrize("blocks", [0, 3, 18])
def test_number_of_blocks_that_cannot_be_is_refused(blocks: int) -> None:
    """Odd ones have no half, and 18 is too many."""
    with pytest.raises(DataError, match=f"{blocks} blocks; valid: an even number from 2 to 16"):
        overfitting(noise(1), blocks)


def test_matrix_that_is_none_is_refused() -> None:
    """One trial, too short a time, a row, a NaN."""
    with pytest.raises(NotEnoughDataError, match="1 trials over 160 periods; valid: at least 2 trials"):
        overfitting(noise(1, trials=1))
    with pytest.raises(NotEnoughDataError, match="12 trials over 31 periods; valid: at least 2 trials, and 32"):
        overfitting(noise(1, 31))
    with pytest.raises(DataError, match=r"shape \(160,\)"):
        overfitting(noise(1)[:, 0])
    with pytest.raises(DataError, match=r"nan at \(5, 2\)"):
        overfitting(np.where(np.arange(160 * 12).reshape(160, 12) == 5 * 12 + 2, np.nan, 0.0))
