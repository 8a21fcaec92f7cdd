"""Signals moved in time: what stays, what is found, and how often it errs."""

from __future__ import annotations

import numpy as np
import pytest

from tickloop.domain.signal_shift import shifted_signal
from tickloop.domain.tape import ForecastSeries
from tickloop.domain.window import MINUTE_MS
from tickloop.errors import DataError, NotEnoughDataError

COUNT = 600
MINUTES = MINUTE_MS * np.arange(COUNT, dtype=np.int64)


def series(signal: np.ndarray) -> ForecastSeries:
    return ForecastSeries(MINUTES[: len(signal)], signal, MINUTES[: len(signal)] + 5)


def held(moves: np.ndarray):  # type: ignore[no-untyped-def]
    """Earn the moves of minutes with a signal of 1."""
    return lambda one: float(moves[one.price == 1.0].sum())


def blocks(seed: int) -> np.ndarray:
    """Hold and rest for half an hour at a time, by chance."""
    return np.repeat(np.random.default_rng(seed).integers(0, 2, COUNT // 30), 30).astype(np.float64)


def test_every_shift_is_the_same_signals_from_another_minute_on() -> None:
    """Never by less than an hour in either direction; minutes and times of use stay."""
    seen: list[ForecastSeries] = []
    before = series(np.arange(COUNT, dtype=np.float64))

    def profit(one: ForecastSeries) -> float:
        seen.append(one)
        return 0.0

    found = shifted_signal(profit, before, np.random.default_rng(1), 99)

    assert found.p == 1.0
    assert seen[0] is before
    first = [int(one.price[0]) for one in seen[1:]]
    assert min(first) >= 60
    assert max(first) <= COUNT - 60
    assert len(set(first)) > 50
    for one in seen[1:]:
        assert one.price.tolist() == np.roll(before.price, -int(one.price[0])).tolist()
        assert one.minute_ms is before.minute_ms
        assert one.usable_from_ms is before.usable_from_ms


def test_signal_that_knows_is_found_at_the_least_p_there_is() -> None:
    """It holds while prices rise."""
    moves = np.repeat(np.random.default_rng(2).choice((-1.0, 1.0), COUNT // 30), 30)

    found = shifted_signal(held(moves), series((moves > 0).astype(np.float64)), np.random.default_rng(1), 99)

    assert found.p == 0.01


def test_rising_market_is_no_signal() -> None:
    """To hold by chance earns well where all prices rise, and as well at other times."""
    moves = np.random.default_rng(3).normal(0.5, 1.0, COUNT)

    found = shifted_signal(held(moves), series(blocks(6)), np.random.default_rng(1), 99)

    assert found.profit > 0
    assert found.p > 0.05


def test_worthless_signal_is_found_in_5_of_100() -> None:
    """400 worlds, standard error 1.1 %."""

    def p_of(seed: int) -> float:
        profit = held(np.random.default_rng((5, seed)).normal(size=COUNT))
        return shifted_signal(profit, series(blocks(seed)), np.random.default_rng(seed), 39).p

    found = [p_of(seed) for seed in range(400)]

    assert 0.02 < np.mean(np.array(found) <= 0.05) < 0.08


def test_what_cannot_be_tested_is_refused() -> None:
    """Too few signals, no permutation, a profit that is none."""
    rng = np.random.default_rng(1)

    with pytest.raises(NotEnoughDataError, match="479 signals are too few"):
        shifted_signal(lambda _: 0.0, series(np.zeros(479)), rng, 9)
    with pytest.raises(DataError, match="0 permutations"):
        shifted_signal(lambda _: 0.0, series(np.zeros(COUNT)), rng, 0)
    with pytest.raises(DataError, match="profit of a permutation is nan"):
        shifted_signal(lambda _: float("nan"), series(np.zeros(COUNT)), rng, 9)
