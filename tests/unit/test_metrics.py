"""Figures of forecasts, on numbers small enough to check by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tickloop.domain.metrics import all_metrics, direction_hit_rate, skill
from tickloop.errors import DataError, NotEnoughDataError

LAST = np.array([100.0, 100.0, 200.0, 200.0])
ACTUAL = np.array([101.0, 99.0, 202.0, 200.0])
FORECAST = np.array([101.0, 101.0, 201.0, 199.0])


def test_all_metrics_are_as_written() -> None:
    """Errors 0, 2, -1, -1 KRW; two of three moves that were forecast had the right sign."""
    figures = all_metrics(FORECAST, ACTUAL, LAST)

    assert figures == pytest.approx(
        {
            "minutes": 4.0,
            "mae_krw": 1.0,  # (0 + 2 + 1 + 1) / 4
            "mae_bp": 75.0,  # (0 + 200 + 50 + 50) / 4
            "bias_bp": 25.0,  # (0 + 200 - 50 - 50) / 4
            "skill": 0.0,  # persistence errs by (100 + 100 + 100 + 0) / 4 = 75
            "direction_hit_rate": 2 / 3,
        }
    )


def test_persistence_has_no_skill_and_no_direction() -> None:
    """It never says that anything moves."""
    figures = all_metrics(LAST, ACTUAL, LAST)

    assert figures["skill"] == 0.0
    assert "direction_hit_rate" not in figures


def test_market_that_stood_still_has_no_skill_to_measure() -> None:
    """Persistence is never wrong there."""
    assert skill(FORECAST, LAST, LAST) is None
    assert direction_hit_rate(FORECAST, LAST, LAST) is None


def test_perfect_forecast_has_skill_one() -> None:
    """And no error."""
    figures = all_metrics(ACTUAL, ACTUAL, LAST)

    assert (figures["skill"], figures["mae_bp"], figures["direction_hit_rate"]) == (1.0, 0.0, 1.0)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 0.0, -1.0])
def test_price_that_is_none_is_refused_by_row(wrong: float) -> None:
    """A mean over a NaN would say nothing, silently."""
    forecast = FORECAST.copy()
    forecast[2] = wrong

    with pytest.raises(DataError, match=f"forecast price {wrong} in row 2"):
        all_metrics(forecast, ACTUAL, LAST)


def test_no_minutes_is_not_enough() -> None:
    """Rather than a mean of nothing."""
    nothing = np.empty(0)

    with pytest.raises(NotEnoughDataError, match="no minute"):
        all_metrics(nothing, nothing, nothing)
