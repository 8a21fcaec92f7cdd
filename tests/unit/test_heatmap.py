"""Tables of two parameters of a search."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tickloop.domain.heatmap import MOST_BINS, heat_map, heat_maps
from tickloop.domain.trials import Figures, Trial


def a_trial(number: int, profit: float, **setting: float) -> Trial:
    figures = Figures(**{**dict.fromkeys(Figures._fields, 0), "profit_krw": profit})
    return Trial(number, setting, figures, np.zeros(4))


def test_cells_hold_mean_best_and_count() -> None:
    """A third parameter is averaged over; a cell without a trial is None."""
    trials = [a_trial(0, 1.0, a=1, b=5, c=0), a_trial(1, 3.0, a=1, b=5, c=1), a_trial(2, -2.0, a=2, b=6, c=0)]

    found = heat_map(trials, "a", "b", "profit_krw").as_dict()

    assert found == {
        "x": "a",
        "y": "b",
        "figure": "profit_krw",
        "x_values": [1.0, 2.0],
        "y_values": [5.0, 6.0],
        "mean": [[2.0, None], [None, -2.0]],
        "best": [[3.0, None], [None, -2.0]],
        "trials": [[2, 0], [0, 1]],
    }


def test_best_of_a_figure_of_which_less_is_better_is_the_least() -> None:
    """A drawdown."""
    trials = [a_trial(0, 1.0, a=1, b=5), a_trial(1, 3.0, a=1, b=5)]

    assert heat_map(trials, "a", "b", "profit_krw", is_more_better=False).best.tolist() == [[1.0]]


def test_there_is_a_map_for_each_two_parameters_that_moved() -> None:
    """One that had the same value throughout tells nothing."""
    trials = [a_trial(0, 1.0, a=1, b=5, c=7, d=1), a_trial(1, 3.0, a=2, b=6, c=7, d=2)]

    assert [(one.x, one.y) for one in heat_maps(trials, "profit_krw")] == [("a", "b"), ("a", "d"), ("b", "d")]
    assert heat_maps([], "profit_krw") == []


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200))
def test_many_values_are_put_together_and_no_trial_is_lost(values: list[float]) -> None:
    """At most twelve columns, none empty, in order."""
    trials = [a_trial(number, 1.0, a=value, b=0) for number, value in enumerate(values)]

    found = heat_map(trials, "a", "b", "profit_krw")

    assert found.trials.sum() == len(values)
    assert found.trials.min() > 0
    assert 1 <= len(found.x_values) <= MOST_BINS
    assert (np.diff(found.x_values) > 0).all()
