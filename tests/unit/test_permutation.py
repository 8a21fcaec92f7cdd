"""Permutation of forecasts inside days: what stays, what is found, and how often it errs."""

from __future__ import annotations

import numpy as np
import pytest

from tickloop.domain.figures import Floats
from tickloop.domain.permutation import Shuffled, shuffled
from tickloop.domain.window import DAY_MS, MINUTE_MS
from tickloop.errors import DataError, NotEnoughDataError

MINUTES = 200
DAYS = 4
TS = (np.arange(DAYS)[:, None] * DAY_MS + np.arange(MINUTES) * MINUTE_MS).ravel().astype(np.int64)
"""The first 200 minutes of four days."""


class Strategy:
    """Earns the move of each minute whose forecast is above 0, and remembers what it was asked."""

    def __init__(self, moves: Floats) -> None:
        self.moves = moves
        self.asked: list[Floats] = []

    def __call__(self, forecasts: Floats) -> float:
        self.asked.append(forecasts)
        return float(self.moves[forecasts > 0].sum())  # a NaN is not above 0


def normal(*seed: int) -> Floats:
    return np.random.default_rng(seed).normal(size=len(TS))


def run(strategy: Strategy, forecasts: Floats, block: int = 10, permutations: int = 99, seed: int = 1) -> Shuffled:
    rng = np.random.default_rng(seed)
    return shuffled(strategy, forecasts, TS, rng, block=block, permutations=permutations)


def test_signal_is_found_at_the_least_p_there_is() -> None:
    """No order of 99 earns as much as the true one."""
    moves = normal(1)

    found = run(Strategy(moves), moves + normal(2))

    assert found.profit == pytest.approx(moves[moves + normal(2) > 0].sum())
    assert found.profits.max() < found.profit
    assert found.p == 1 / 100


def test_rising_market_is_no_signal() -> None:
    """Forecasts that know nothing earn well where all prices rise, and as well at other minutes."""
    found = run(Strategy(normal(3) + 1.0), normal(4))

    assert found.profit > 0
    assert found.p > 0.05


def test_worthless_signal_is_found_in_5_of_100() -> None:
    """400 worlds, standard error 1.1 %; forecasts that hold for an hour, so that minutes alone would not do."""
    found = [
        run(Strategy(normal(5, seed)), np.repeat(normal(6, seed)[::20], 20), block=20, permutations=19, seed=seed).p
        for seed in range(400)
    ]

    assert np.mean(np.array(found) <= 0.05) == pytest.approx(0.05, abs=0.025)


@pytest.mark.parametrize("block", [1, 7, 50])
def test_days_keep_their_forecasts_and_gaps_stay_where_they_are(block: int) -> None:
    """Only the order inside a day changes, and it does change."""
    forecasts = normal(7)
    forecasts[::3] = np.nan
    forecasts[MINUTES + 5 : 2 * MINUTES] = np.nan  # a day that is too short keeps its order
    strategy = Strategy(normal(8))

    run(strategy, forecasts, block=33 if block == 50 else block, permutations=5)

    for mixed in strategy.asked[1:]:
        assert (np.isnan(mixed) == np.isnan(forecasts)).all()
        for day in range(DAYS):
            rows = slice(day * MINUTES, (day + 1) * MINUTES)
            assert sorted(mixed[rows][~np.isnan(mixed[rows])]) == sorted(forecasts[rows][~np.isnan(forecasts[rows])])
        assert (mixed != forecasts).sum() > np.isnan(forecasts).sum()


def test_blocks_move_as_a_whole() -> None:
    """Neighbours stay neighbours but at the edges of blocks: of 200 minutes in tens, 21 blocks at most."""
    strategy = Strategy(normal(9))

    run(strategy, np.arange(1.0, len(TS) + 1), permutations=20)

    for mixed in strategy.asked[1:]:
        edges = (np.diff(mixed) != 1.0).sum()
        assert edges <= DAYS * 21


def test_strategy_may_write_into_what_it_is_given() -> None:
    """It gets a copy."""
    forecasts = normal(10)
    before = forecasts.copy()

    def spoil(given: Floats) -> float:
        given[:] = 0.0
        return 1.0

    assert shuffled(spoil, forecasts, TS, np.random.default_rng(1), permutations=9).p == 1.0
    assert (forecasts == before).all()


def test_what_cannot_be_tested_is_refused() -> None:
    """Each says what would be valid."""
    strategy, forecasts, rng = Strategy(normal(1)), normal(2), np.random.default_rng(1)

    with pytest.raises(NotEnoughDataError, match="no day has 4 blocks of 60 forecasts"):
        run(strategy, forecasts, block=60)
    with pytest.raises(NotEnoughDataError, match="no day has 4 blocks"):
        run(strategy, np.full(len(TS), np.nan))
    with pytest.raises(DataError, match="0 permutations"):
        run(strategy, forecasts, permutations=0)
    with pytest.raises(DataError, match="valid: one row each"):
        shuffled(strategy, forecasts[1:], TS, rng)
    with pytest.raises(DataError, match="minutes do not ascend after row 0"):
        shuffled(strategy, forecasts, TS[::-1].copy(), rng)
    with pytest.raises(DataError, match="forecast 4 is infinite"):
        run(strategy, np.where(np.arange(len(TS)) == 4, np.inf, forecasts))
    with pytest.raises(DataError, match="profit of a permutation is nan"):
        shuffled(lambda _: float("nan"), forecasts, TS, rng)
