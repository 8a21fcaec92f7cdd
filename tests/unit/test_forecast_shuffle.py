"""Forecasts that are prices, put at other minutes."""

from __future__ import annotations

import numpy as np
import pytest

from tickloop.domain.forecast_shuffle import expected_moves, permutations_for, shuffled_forecasts, with_moves
from tickloop.domain.tape import BarTape, ForecastSeries
from tickloop.domain.window import MINUTE_MS
from tickloop.errors import DataError, NotEnoughDataError

MINUTES = MINUTE_MS * np.arange(90, dtype=np.int64)
CLOSE = 100.0 * np.exp(np.cumsum(np.random.default_rng(1).normal(0, 0.01, 90)))
BARS = BarTape("KRW-BTC", MINUTES, CLOSE, CLOSE, CLOSE)


def series(price: np.ndarray, minutes: np.ndarray = MINUTES) -> ForecastSeries:
    return ForecastSeries(minutes, price, minutes + 7)


def test_move_is_from_the_last_close_before_the_minute() -> None:
    """The first minute has none; a minute after a gap has the close before the gap."""
    minutes = np.array([0, MINUTE_MS, 500 * MINUTE_MS], np.int64)

    moves = expected_moves(series(np.array([100.0, CLOSE[0] * np.exp(0.02), CLOSE[-1]]), minutes), BARS)

    assert np.isnan(moves[0])
    assert moves[1:] == pytest.approx([0.02, 0.0])


def test_forecasts_follow_from_their_moves() -> None:
    """There and back; one without a close before it stays; the time of use stays."""
    before = series(CLOSE * 1.01)

    after = with_moves(before, BARS, expected_moves(before, BARS))

    assert after.price == pytest.approx(before.price, rel=1e-15)
    assert after.price[0] == before.price[0]
    assert after.usable_from_ms is before.usable_from_ms


def test_shuffled_forecasts_are_the_same_moves_from_other_closes() -> None:
    """Every permutation promises the same moves in another order."""
    seen: list[ForecastSeries] = []
    moves = np.random.default_rng(2).normal(0, 0.01, 90)
    before = with_moves(series(CLOSE), BARS, moves)

    def profit(forecasts: ForecastSeries) -> float:
        seen.append(forecasts)
        return 1.0

    found = shuffled_forecasts(profit, before, BARS, np.random.default_rng(3), 5)

    assert len(seen) == 6
    assert found.p == 1.0
    mixed = expected_moves(seen[1], BARS)
    assert np.sort(mixed[1:]) == pytest.approx(np.sort(moves[1:]))
    assert not np.allclose(mixed[1:], moves[1:])


def test_forecasts_that_cannot_be_tested_are_refused() -> None:
    """Under an hour of them, or a price that is none."""
    rng = np.random.default_rng(3)

    with pytest.raises(NotEnoughDataError, match="4 blocks of 15"):
        shuffled_forecasts(lambda _: 0.0, series(CLOSE[:59], MINUTES[:59]), BARS, rng, 5)
    with pytest.raises(DataError, match="infinite"):
        shuffled_forecasts(lambda _: 0.0, series(np.full(90, np.inf)), BARS, rng, 5)


@pytest.mark.parametrize(("rows", "count"), [(0, 199), (10_000_000, 199), (20_000_000, 100), (60_000_000, 0)])
def test_long_runs_are_permuted_less_often_or_not_at_all(rows: int, count: int) -> None:
    """Below 39 a p could not be told from 5 %."""
    assert permutations_for(rows) == count
