"""Axes of a search and the settings that grid and random searches make of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickloop.domain.search_space import SearchSpace, goes_together, grid_settings, random_settings, search_space
from tickloop.domain.space import Range
from tickloop.domain.strategies.plain import do_nothing
from tickloop.domain.strategies.sma_cross import sma_cross
from tickloop.domain.strategy import default
from tickloop.domain.strategy_params import params_for
from tickloop.errors import UsageError

START = 1_705_881_600_000
SMA = params_for(sma_cross, "KRW-BTC", START)


def anything(_setting: dict[str, float]) -> bool:
    return True


def test_steps_add_up_to_what_they_say() -> None:
    """Both ends included, and 0.0015 is 0.0015."""
    space = search_space(default, ["min_edge=0.0005:0.003:0.0005", "take_profit_num=1002,1004"])

    assert space.axes["min_edge"] == (0.0005, 0.001, 0.0015, 0.002, 0.0025, 0.003)
    assert space.axes["take_profit_num"] == (1002, 1004)


def test_name_alone_and_two_ends_are_ranges() -> None:
    """They move as the strategy says."""
    space = search_space(default, ["hold_ms", "min_edge=0.001:0.002"])

    assert space.axes == {"hold_ms": default.space["hold_ms"], "min_edge": Range(0.001, 0.002, step=0.0001)}


def test_nothing_named_is_all_but_the_size_of_orders() -> None:
    """An order's size scales what a strategy earns and says nothing of it."""
    assert list(search_space(default).axes) == ["min_edge", "take_profit_num", "hold_ms", "cooldown_ms"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("min_egde=0.1", "no parameter 'min_egde' to search; valid: order_krw, min_edge"),
        ("min_edge=0.1", "holds 0.1, which is out of range; valid: 0.0 to 0.01"),
        ("min_edge=0:0.02:0.001", "holds 0.011, which is out of range"),
        ("take_profit_num=1002.5", "1002.5, which is not whole"),
        ("min_edge=low", "'low', which is no number; valid: NAME=LOW:HIGH:STEP"),
        ("min_edge=nan", "valid: finite numbers"),
        ("min_edge=0.002:0.001:0.001", "low not above high"),
        ("min_edge=0.001:0.002:0", "a step above 0"),
        ("min_edge=0.001:0.002:0.001:7", "is no axis"),
        ("min_edge=0:0.01:0.00000001", "1,000,001 values; valid: at most 100,000"),
        ("min_edge=", "'', which is no number"),
    ],
)
def test_axis_that_cannot_be_is_refused(text: str, message: str) -> None:
    """Naming the text, and what would be valid."""
    with pytest.raises(UsageError, match=message):
        search_space(default, [text])


def test_parameter_named_twice_and_strategy_without_any_are_refused() -> None:
    """Which of two would hold?"""
    with pytest.raises(UsageError, match="min_edge is named twice"):
        search_space(default, ["min_edge=0.001", "min_edge=0.002"])
    with pytest.raises(UsageError, match="do_nothing has nothing to search"):
        search_space(do_nothing)


def test_grid_runs_through_all_that_goes_together() -> None:
    """The last axis fastest; a fast mean that is not below the slow one is left out."""
    space = search_space(sma_cross, ["fast=5,10,20", "slow=10,20"])

    found = grid_settings(space, goes_together(sma_cross, SMA))

    assert found == [{"fast": 5, "slow": 10}, {"fast": 5, "slow": 20}, {"fast": 10, "slow": 20}]


def test_grid_of_ranges_has_as_many_values_as_fit() -> None:
    """Nine of each: 9 * 9 = 81 is the most below 90."""
    space = search_space(sma_cross).gridded(90)

    assert [len(axis) for axis in space.axes.values() if isinstance(axis, tuple)] == [9, 9]
    assert space.axes["fast"][0] == 1  # type: ignore[index]


def test_grid_of_too_many_settings_is_refused() -> None:
    """Before any is run."""
    space = search_space(sma_cross, ["fast=1:999:1", "slow=2:1000:1"])

    with pytest.raises(UsageError, match=r"a grid of 998,001 settings; valid: .* at most 100,000"):
        grid_settings(space, anything)


def test_search_of_nothing_that_goes_together_is_refused() -> None:
    """Every fast mean is slower than the slow one."""
    space = search_space(sma_cross, ["fast=50,60", "slow=10,20"])

    for search in (
        lambda: grid_settings(space, goes_together(sma_cross, SMA)),
        lambda: random_settings(space, goes_together(sma_cross, SMA), 5, 1),
    ):
        with pytest.raises(UsageError, match="goes together"):
            search()


@given(seed=st.integers(0, 2**32), count=st.integers(1, 60), more=st.integers(0, 60))
def test_random_settings_are_valid_distinct_and_the_first_of_more(seed: int, count: int, more: int) -> None:
    """So that a search can be made longer and goes on where it was."""
    space = search_space(sma_cross, ["fast", "slow=20:200"])
    is_taken = goes_together(sma_cross, SMA)

    found = random_settings(space, is_taken, count, seed)

    assert len({tuple(one.values()) for one in found}) == count
    assert all(1 <= one["fast"] < one["slow"] and 20 <= one["slow"] <= 200 for one in found)
    assert random_settings(space, is_taken, count + more, seed)[:count] == found


def test_random_search_of_a_small_space_ends_with_all_of_it() -> None:
    """Four settings are four, however many are asked for."""
    space = search_space(default, ["min_edge=0.001,0.002", "take_profit_num=1002,1003"])

    found = random_settings(space, anything, 100, 3)

    assert sorted(one["min_edge"] * 1e6 + one["take_profit_num"] for one in found) == [2002, 2003, 3002, 3003]


@pytest.mark.parametrize("count", [0, -1, 100_001])
def test_number_of_trials_that_cannot_be_is_refused(count: int) -> None:
    """None, or more than anybody waits for."""
    with pytest.raises(UsageError, match="trials; valid: from 1 to 100,000"):
        random_settings(search_space(default), anything, count, 0)


def test_space_as_plain_values_tells_spaces_apart() -> None:
    """A list of the ends is not the range between them."""
    spaces: list[Any] = [
        search_space(default, [text]).as_dict() for text in ("min_edge=0,0.01", "min_edge=0:0.01", "min_edge=0.01,0")
    ]

    assert len({str(space) for space in spaces}) == 3
    assert SearchSpace({"a": (1, 2)}).as_dict() == {"a": [1, 2]}
