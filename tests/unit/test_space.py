"""Ranges of parameters: what is valid, and how a search walks through them."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickloop.domain.space import Range, check_ranges, with_values
from tickloop.errors import UsageError


class _Params(NamedTuple):
    length: int = 10
    edge: float = 0.001
    fixed: float = 1.0


SPACE = {"length": Range(2, 20, step=2), "edge": Range(0.0, 0.01)}


def test_grid_of_a_stepped_range_holds_its_own_values_only() -> None:
    """Ten values of 2 to 20 in steps of 2; asked for four, four of them."""
    assert SPACE["length"].values(100) == [2, 4, 6, 8, 10, 12, 14, 16, 18, 20]
    assert SPACE["length"].values(4) == [2, 8, 14, 20]
    assert SPACE["length"].values(1) == [2]


def test_grid_of_a_logarithmic_range_moves_by_factors() -> None:
    """1 to 1,000 in four values."""
    assert Range(1, 1_000, is_log=True).values(4) == [1, 10, 100, 1_000]
    assert Range(0.0, 1.0).values(3) == [0.0, 0.5, 1.0]


@given(
    low=st.integers(1, 1_000),
    span=st.integers(0, 100_000),
    step=st.integers(1, 5_000),
    share=st.floats(0, 1),
    way=st.integers(0, 2),
)
def test_every_drawn_value_is_valid(low: int, span: int, step: int, share: float, way: int) -> None:
    """Inside the ends, whole, and on the step."""
    drawn = Range(low, low + span, step=step if way == 0 else None, is_log=way == 1)

    value = drawn.at(share)

    assert drawn.low <= value <= drawn.high
    assert value == int(value)
    assert way != 0 or (value - low) % step == 0


def test_text_is_read_as_the_type_of_the_field() -> None:
    """As a command line gives it."""
    params = with_values(_Params(), SPACE, {"length": "14", "edge": "0.002"}, "toy")

    assert params == _Params(14, 0.002)
    assert isinstance(params.length, int)


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({"lenght": 3}, "toy has no parameter 'lenght' to set; nearest: length; valid: length, edge"),
        ({"fixed": 2.0}, "toy has no parameter 'fixed'"),
        ({"length": "many"}, "length 'many' is not a number"),
        ({"length": None}, "length None is not a number"),
        ({"length": 21}, "length 21 is out of range; valid: 2 to 20 in steps of 2"),
        ({"length": 2.5}, "length 2.5 is not a whole number"),
        ({"edge": float("nan")}, "edge nan is out of range"),
        ({"edge": -1e-9}, "edge -1e-09 is out of range; valid: 0.0 to 0.01"),
    ],
)
def test_value_that_cannot_be_is_refused_by_name(values: dict[str, object], names: str) -> None:
    """The message names parameter, value and range."""
    with pytest.raises(UsageError, match=names):
        with_values(_Params(), SPACE, values, "toy")


def test_parameters_made_elsewhere_are_checked_too() -> None:
    """A plug-in or a notebook builds its own NamedTuple."""
    check_ranges(_Params(), SPACE, "toy")
    with pytest.raises(UsageError, match="length 1 is out of range"):
        check_ranges(_Params(length=1), SPACE, "toy")


@pytest.mark.parametrize(
    ("low", "high", "step", "is_log"),
    [(2, 1, None, False), (0, float("inf"), None, False), (0, 1, 0, False), (1, 2, 1, True), (0, 1, None, True)],
)
def test_range_that_is_none_is_refused(low: float, high: float, step: float | None, is_log: bool) -> None:
    """Where it is written, not in the middle of a search."""
    with pytest.raises(UsageError, match="valid"):
        Range(low, high, step, is_log)


def test_grid_of_no_value_is_refused() -> None:
    """At least one."""
    with pytest.raises(UsageError, match="0 values"):
        SPACE["edge"].values(0)
