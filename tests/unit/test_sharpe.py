"""Probabilistic and deflated Sharpe ratios, against the numbers that their papers print."""

from __future__ import annotations

from math import inf, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickloop.domain.sharpe import (
    Record,
    annualised,
    deflated_sharpe,
    expected_max_sharpe,
    min_track_record,
    probabilistic_sharpe,
    record_of,
    sharpe_variance,
)
from tickloop.errors import DataError, NotEnoughDataError

SELECTED = Record(periods=1250, sharpe=2.5 / sqrt(250), skew=-3.0, kurtosis=10.0)
"""The example of The Deflated Sharpe Ratio: 2.5 a year, daily returns of 5 years; the trials' variance is 1/2."""


def test_deflated_sharpe_is_that_of_the_paper() -> None:
    """100 trials: threshold 0.1132 and 0.9004; 46 trials would do at 95 %, and 88 if returns were normal."""
    assert expected_max_sharpe(100, 0.5 / 250) == pytest.approx(0.1132, abs=5e-5)
    assert deflated_sharpe(SELECTED, 100, 0.5 / 250) == pytest.approx(0.9004, abs=5e-5)
    assert deflated_sharpe(SELECTED, 46, 0.5 / 250) == pytest.approx(0.9505, abs=5e-5)
    assert deflated_sharpe(Record(1250, SELECTED.sharpe), 88, 0.5 / 250) == pytest.approx(0.9505, abs=5e-5)


def test_probabilistic_sharpe_is_that_of_the_paper() -> None:
    """The Sharpe Ratio Efficient Frontier: 24 months with 0.458 a month look 0.982 sure, and are 0.913."""
    assert probabilistic_sharpe(Record(24, 0.458)) == pytest.approx(0.982, abs=5e-4)
    assert probabilistic_sharpe(Record(24, 0.458, skew=-2.448, kurtosis=10.164)) == pytest.approx(0.913, abs=5e-4)


@pytest.mark.parametrize(("per_year", "years"), [(252, 2.73), (52, 2.83), (12, 3.24)])
def test_min_track_record_is_that_of_the_paper(per_year: int, years: float) -> None:
    """2 a year to be above 1 with 95 %, normal returns: 2.73 years of days, 2.83 of weeks, 3.24 of months."""
    record = Record(periods=100, sharpe=2.0 / sqrt(per_year))

    assert min_track_record(record, 1.0 / sqrt(per_year)) / per_year == pytest.approx(years, abs=5e-3)


def test_record_of_the_least_length_is_sure_to_the_confidence_asked() -> None:
    """One formula is the other turned round."""
    least = min_track_record(SELECTED, 0.05, confidence=0.9)
    long = Record(int(1e6), SELECTED.sharpe, SELECTED.skew, SELECTED.kurtosis)
    ahead = (long.sharpe - 0.05) * sqrt(least - 1.0) / long.spread

    assert ahead == pytest.approx(1.2815515655446004)  # the 90 % quantile of the normal distribution


def test_ratio_that_is_not_above_the_benchmark_never_will_be() -> None:
    """However long the record gets."""
    assert min_track_record(Record(100, 0.1), benchmark=0.1) == inf


def test_record_is_measured_by_population_moments() -> None:
    """1, 0, 0, 0, -1 and 6: by hand."""
    record = record_of(np.array([1.0, 0.0, 0.0, 0.0, -1.0, 6.0]))

    assert record.periods == 6
    assert record.sharpe == pytest.approx(1.0 / sqrt(6.4))  # squares off the mean 0 + 1 + 1 + 1 + 4 + 25 over 5
    assert record.skew == pytest.approx((114.0 / 6.0) / (32.0 / 6.0) ** 1.5)  # cubes 0 - 1 - 1 - 1 - 8 + 125
    assert record.kurtosis == pytest.approx((644.0 / 6.0) / (32.0 / 6.0) ** 2)  # 0 + 1 + 1 + 1 + 16 + 625


def test_record_that_never_varies_is_worth_nothing_for_sure_or_not() -> None:
    """It is a half: nothing is known."""
    assert record_of(np.zeros(50)) == Record(50, 0.0)
    assert probabilistic_sharpe(record_of(np.full(50, 0.1))) == 0.5


@given(
    sharpe=st.floats(-2.0, 2.0),
    step=st.floats(0.001, 1.0),
    periods=st.integers(3, 10_000),
    skew=st.floats(-3.0, 3.0),
    over=st.floats(0.0, 10.0),
)
def test_probabilistic_sharpe_falls_with_the_benchmark_and_grows_with_length(
    sharpe: float, step: float, periods: int, skew: float, over: float
) -> None:
    """More periods make what is above 0 surer, and what is below 0 too."""
    kurtosis = skew**2 + 1.0 + over  # no distribution has less
    record, longer = (Record(n, sharpe, skew, kurtosis) for n in (periods, periods * 2))

    now, later = probabilistic_sharpe(record), probabilistic_sharpe(longer)

    assert 0.0 <= probabilistic_sharpe(record, step) <= now <= 1.0
    assert later >= now if sharpe > 0 else later <= now


@given(trials=st.integers(1, 10**7), variance=st.floats(0.0, 10.0))
def test_more_trials_ask_for_more(trials: int, variance: float) -> None:
    """The best of many worthless ones looks better than the best of few."""
    assert 0.0 <= expected_max_sharpe(trials, variance) <= expected_max_sharpe(trials + 1, variance)
    assert deflated_sharpe(SELECTED, trials, variance) <= probabilistic_sharpe(SELECTED)


@pytest.mark.parametrize("trials", [10, 100, 1000])
def test_expected_maximum_is_what_simulation_gives(trials: int) -> None:
    """Of standard normal ratios; the formula is an approximation that is good to 4 % from 10 trials on."""
    simulated = np.random.default_rng(7).normal(size=(4000, trials)).max(axis=1).mean()

    assert expected_max_sharpe(trials, 1.0) == pytest.approx(simulated, rel=0.04)


def test_probabilistic_sharpe_is_calibrated_for_skewed_returns() -> None:
    """Of 2,000 records whose true ratio is the benchmark, 5 % are called above it with 95 %: within 3.1 errors."""
    draws = np.random.default_rng(11).gamma(4.0, size=(2000, 250)) - 3.8  # mean 0.2, deviation 2, skew 1
    called = np.mean([probabilistic_sharpe(record_of(row), benchmark=0.1) > 0.95 for row in draws])

    assert called == pytest.approx(0.05, abs=0.015)


def test_annualised_is_the_root_of_time() -> None:
    """525,600 minutes a year: markets here never close."""
    assert annualised(0.01, 525_600) == pytest.approx(7.249827584156743)


def test_numbers_that_cannot_be_are_refused() -> None:
    """No trial, a negative variance, no year, a coin's confidence."""
    with pytest.raises(DataError, match="0 trials"):
        expected_max_sharpe(0, 1.0)
    with pytest.raises(DataError, match="variance nan"):
        expected_max_sharpe(2, float("nan"))
    with pytest.raises(DataError, match="0 periods; valid: a number above 0"):
        annualised(1.0, 0)
    with pytest.raises(DataError, match=r"confidence is 0\.4"):
        min_track_record(SELECTED, confidence=0.4)
    with pytest.raises(NotEnoughDataError, match="1 trials have no variance"):
        sharpe_variance(np.ones(1))
    assert sharpe_variance(np.array([1.0, 3.0])) == 2.0
