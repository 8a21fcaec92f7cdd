"""Bootstraps of blocks: against closed forms, and by how often they are right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickloop.domain.blocks import MAX_RESAMPLES, Plan, draw_blocks
from tickloop.domain.figures import Floats
from tickloop.domain.resampling import compared, deflated_p, resampled, resamples_for
from tickloop.errors import DataError, NotEnoughDataError

Kind = Literal["stationary", "circular"]
KINDS = pytest.mark.parametrize("kind", ["stationary", "circular"])


def seeded(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def dependent(n: int, *seed: int) -> Floats:
    """First-order moving average, mean 0."""
    noise = seeded(*seed).normal(size=n + 1)
    return np.asarray(noise[1:] + 0.5 * noise[:-1])


def small_wins_rare_losses(n: int, *seed: int) -> Floats:
    """A worthless strategy that looks good: every other period it trades, wins 1 in 95 of 100, loses 19 in the rest."""
    rng = seeded(*seed)
    is_traded, is_lost = rng.random(n) < 0.5, rng.random(n) < 0.05
    return np.where(is_traded, np.where(is_lost, -19.0, 1.0), 0.0)


def spread_of_mean(series: Floats, kind: Kind, length: float) -> float:
    """The standard deviation of a resample's mean in closed form, circular autocovariances R(i) with divisor n.

    Stationary: (R(0) + 2 sum (1 - i/n) (1 - 1/b)^i R(i)) / n (Politis and Romano 1994); circular, b divides n:
    (R(0) + 2 sum over i < b of (1 - i/b) R(i)) / n.
    """
    n, off = len(series), series - series.mean()
    covariance = np.array([off @ np.roll(off, -lag) / n for lag in range(n)])
    lag = np.arange(1, n)
    stays = (1 - lag / n) * (1 - 1 / length) ** lag if kind == "stationary" else np.maximum(1 - lag / length, 0)
    return float(np.sqrt((covariance[0] + 2 * (stays * covariance[1:]).sum()) / n))


@KINDS
def test_spread_of_the_mean_is_the_closed_form(kind: Kind) -> None:
    """The interval of a bootstrap-t is wider by its t quantiles, which are near the normal ones at 400 periods."""
    series = dependent(400, 1)

    found = resampled(series, seeded(2), Plan(kind, resamples=20_000, confidence=0.6826894921, mean_length=8.0)).mean

    assert (found.high - found.low) / 2 == pytest.approx(spread_of_mean(series, kind, 8.0), rel=0.04)


def test_figures_of_a_circular_bootstrap_are_those_of_arch() -> None:
    """`CircularBlockBootstrap(8, x, seed=0)` of arch 8.0.0, 20,000 resamples, quantiles 2.5 and 97.5 %, run by hand."""
    noise, series = np.random.default_rng(1).normal(size=600), np.zeros(600)
    for at in range(1, 600):
        series[at] = 0.5 * series[at - 1] + noise[at]

    found = resampled(series[100:] + 0.1, seeded(0), Plan("circular", resamples=20_000, mean_length=8.0))

    assert (found.sharpe.low, found.sharpe.high) == pytest.approx((-0.1123, 0.1618), abs=0.004)
    assert (found.profit_factor.low, found.profit_factor.high) == pytest.approx((0.7512, 1.5088), abs=0.015)


@KINDS
@pytest.mark.parametrize("made", [dependent, small_wins_rare_losses])
def test_interval_of_the_mean_covers_in_95_of_100(kind: Kind, made: Callable[..., Floats]) -> None:
    """200 worlds of mean 0: standard error 1.5 %; the skewed one is where a plain bootstrap of the mean fails."""
    plan = Plan(kind, resamples=199)
    found = [resampled(made(400, 3, seed), seeded(4, seed), plan).mean for seed in range(200)]

    covered = np.mean([one.low <= 0.0 <= one.high for one in found])

    assert covered == pytest.approx(0.95, abs=0.04)


def test_worthless_strategy_of_small_wins_is_seldom_called_good() -> None:
    """At 5 % in 5 of 100 at most, give or take two standard errors; the resampled mean alone calls 12 of 100 good."""
    plan = Plan("circular", resamples=199)
    found = [resampled(small_wins_rare_losses(200, 5, seed), seeded(6, seed), plan) for seed in range(200)]

    assert np.mean([one.p_mean <= 0.05 for one in found]) <= 0.075


def test_p_of_a_mean_is_even_where_nothing_is_earned() -> None:
    """A p of 0.05 must come in 5 of 100, a p of 0.5 in half: standard errors 1.5 and 3.5 %."""
    plan = Plan("circular", resamples=199)
    p = np.array([resampled(dependent(800, 7, seed), seeded(8, seed), plan).p_mean for seed in range(200)])

    assert (p <= 0.05).mean() == pytest.approx(0.05, abs=0.03)
    assert (p <= 0.5).mean() == pytest.approx(0.5, abs=0.07)


def test_same_seed_gives_the_same_bits() -> None:
    """And another seed others."""
    series = dependent(200, 9)

    one, again, other = (resampled(series, seeded(seed)) for seed in (1, 1, 2))

    assert one == again
    assert one != other


@given(
    seed=st.integers(0, 2**32),
    n=st.integers(20, 400),
    length=st.floats(1.0, 20.0),
    kind=st.sampled_from(["stationary", "circular"]),
)
def test_resample_has_as_many_periods_as_the_series(seed: int, n: int, length: float, kind: Kind) -> None:
    """Blocks lie inside the series and its repetition, and their lengths add up to it."""
    rows = 0
    for starts, lengths in draw_blocks(n, length, seeded(seed), Plan(kind, resamples=50)):
        assert ((starts >= 0) & (starts < n) & (lengths >= 0) & (lengths <= n)).all()
        assert (lengths.sum(axis=1) == n).all()
        rows += len(starts)

    assert rows == 50


def test_nothing_traded_is_nothing_earned() -> None:
    """No division by a spread of 0, and p 1; what always earns the same is sure to."""
    found, sure = resampled(np.zeros(50), seeded(1)), resampled(np.ones(50), seeded(1))

    assert (found.mean.low, found.mean.high, found.p_mean) == (0.0, 0.0, 1.0)
    assert (sure.mean.low, sure.mean.high, sure.p_mean) == (1.0, 1.0, 1 / 2001)
    assert (found.sharpe.value, found.profit_factor.value) == (0.0, 1.0)


def test_challenger_is_judged_on_the_same_minutes() -> None:
    """A gain of 0.2 is found though both rows swing by 10 together; apart, neither mean could be told from 0."""
    shared, gain = 10.0 * dependent(500, 11), 0.2 + dependent(500, 12)
    champion, challenger = shared, shared + gain

    found = compared(champion, challenger, seeded(13))

    assert found.mean.value == pytest.approx(gain.mean())
    assert found.p_mean < 0.01
    assert found.mean.low > 0.0
    assert compared(challenger, champion, seeded(13)).p_mean > 0.99
    assert resampled(challenger, seeded(13)).p_mean > 0.05


def test_p_of_the_best_of_many_is_deflated() -> None:
    """By Bonferroni; and resampled so often that it can be told from alpha."""
    assert [deflated_p(0.01, trials) for trials in (1, 4, 500)] == [0.01, 0.04, 1.0]
    assert [resamples_for(0.05, trials) for trials in (1, 5, 100)] == [2_000, 2_000, 40_000]


def test_what_cannot_be_resampled_is_refused() -> None:
    """Each says what would be valid."""
    series = dependent(100, 1)

    with pytest.raises(NotEnoughDataError, match="19 periods; valid: at least 20"):
        resampled(series[:19], seeded(1))
    with pytest.raises(DataError, match=r"nan at \(3,\)"):
        resampled(np.where(np.arange(100) == 3, np.nan, series), seeded(1))
    with pytest.raises(DataError, match="0 resamples; valid: from 1 to 200,000"):
        resampled(series, seeded(1), Plan(resamples=0))
    with pytest.raises(DataError, match=r"confidence is 1\.0"):
        resampled(series, seeded(1), Plan(confidence=1.0))
    with pytest.raises(DataError, match=r"blocks of 101 periods; valid: from 1 to all 100"):
        resampled(series, seeded(1), Plan(mean_length=101))
    with pytest.raises(DataError, match="champion has 100 periods and challenger 99"):
        compared(series, series[1:], seeded(1))
    with pytest.raises(DataError, match="0 trials"):
        deflated_p(0.1, 0)
    with pytest.raises(DataError, match=f"valid: up to {MAX_RESAMPLES:,}"):
        resamples_for(0.05, 10_000)
