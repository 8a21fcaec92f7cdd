"""Figures from sums, on numbers small enough to check by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tickloop.domain.figures import MEAN, PROFIT, PROFIT_FACTOR, SHARPE, Columns, Figure, Sums, sound
from tickloop.errors import DataError, NotEnoughDataError

PROFITS = np.array([1.0, -1.0, 3.0, 1.0])


@pytest.mark.parametrize(
    ("figure", "expected"),
    [(MEAN, 1.0), (PROFIT, 4.0), (SHARPE, 1.0 / np.sqrt(8.0 / 3.0)), (PROFIT_FACTOR, 5.0)],
    ids=lambda value: getattr(value, "name", ""),
)
def test_figures_are_as_written(figure: Figure, expected: float) -> None:
    """Mean 1, squares off the mean 0 + 4 + 4 + 0 over 3, won 5, lost 1."""
    assert figure.of(PROFITS) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("figure", [MEAN, PROFIT, SHARPE, PROFIT_FACTOR], ids=lambda figure: figure.name)
def test_sums_of_parts_give_what_the_whole_gives(figure: Figure) -> None:
    """Whatever centre the squares were taken around."""
    trials = np.random.default_rng(5).normal(0.1, 1.0, (97, 4))
    centre = np.full(4, 0.3)
    parts = [figure.parts(Columns(cut, centre)).sum(axis=1) for cut in np.array_split(trials, 7)]

    value = figure.value(Sums(sum(parts), np.float64(97), centre))

    assert value == pytest.approx(figure.of(trials), rel=1e-12)


def test_sharpe_of_what_never_varies_is_0() -> None:
    """Rounding is not variation: 0.1 has no exact float, and its mean is off by the last bit."""
    columns = np.column_stack([np.zeros(7), np.full(7, 0.1), np.full(7, -1e9)])

    assert SHARPE.of(columns).tolist() == [0.0, 0.0, 0.0]


def test_variance_survives_a_large_mean() -> None:
    """1e9 and 1e9 + 1 differ by 1, although their squares as float64 do not tell."""
    profits = np.tile([1e9, 1e9 + 1.0], 50)

    assert float(SHARPE.of(profits)) == pytest.approx((1e9 + 0.5) / np.sqrt(25.0 / 99.0), rel=1e-12)


def test_profit_factor_without_a_loss_is_infinite_and_without_anything_1() -> None:
    """Neither is an error: a resample may hold no losing period."""
    columns = np.column_stack([[1.0, 2.0], [0.0, 0.0], [0.0, -2.0]])

    assert PROFIT_FACTOR.of(columns).tolist() == [np.inf, 1.0, 0.0]


def test_row_that_is_none_is_refused_by_place() -> None:
    """NaN, two dimensions, too short: each says what would be valid."""
    with pytest.raises(DataError, match=r"the row is nan at \(1,\); valid: finite"):
        sound(np.array([0.0, np.nan]), "the row", 1)
    with pytest.raises(DataError, match=r"shape \(1, 2\); valid: one row"):
        sound(np.ones((1, 2)), "the row", 1)
    with pytest.raises(NotEnoughDataError, match="2 periods; valid: at least 3"):
        sound(np.ones(2), "the row", 3)
