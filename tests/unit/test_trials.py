"""What is kept of a trial, against the result of a single run; and which of many is the best."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from honest_worlds import CASH, MARKET, START, edge_world, ticks_of, window
from tickloop.domain.backtest_inputs import Inputs, result_for, run_inputs
from tickloop.domain.fills import FILL_MODELS
from tickloop.domain.strategies.shipped import SHIPPED
from tickloop.domain.strategy_params import params_for
from tickloop.domain.trials import (
    PARTS,
    Figures,
    Trial,
    best_first,
    marks_of,
    matrix_of,
    objectives_of,
    pareto_front,
    trial_of,
)
from tickloop.domain.window import HOUR_MS, MINUTE_MS, Window
from tickloop.errors import UsageError

DAY = window(1)
BARS = edge_world(7, 1)
MODEL = FILL_MODELS["spread"]


def a_trial(number: int, **figures: float) -> Trial:
    nothing = dict.fromkeys(Figures._fields, 0)
    return Trial(number, {}, Figures(**{**nothing, **figures}), np.zeros(4))


@pytest.mark.parametrize("inputs", [BARS, ticks_of(BARS)], ids=["bars", "ticks"])
@pytest.mark.parametrize("name", SHIPPED)
def test_figures_are_those_of_a_single_run(name: str, inputs: Inputs) -> None:
    """Every shipped strategy: what a search shows is what `backtest` shows for that setting."""
    strategy = SHIPPED[name]
    params = params_for(strategy, MARKET, START)
    minutes = inputs.minutes
    marks = marks_of(minutes.ts_ms, minutes.close, DAY)

    found = trial_of(3, {}, run_inputs(inputs, strategy, params, MODEL, CASH), params, marks, CASH)

    figures = found.figures._asdict()
    summary = result_for(inputs, strategy, params, MODEL, CASH).summary()
    shared = [key for key in figures if key in summary]
    assert {key: round(figures[key], 4) for key in shared} == {key: round(summary[key], 4) for key in shared}
    assert set(figures) - set(shared) == {"sharpe"}
    assert found.number == 3
    assert found.profits.sum() == pytest.approx(figures["profit_krw"], abs=1e-6)


def test_profits_of_parts_are_steps_of_the_equity() -> None:
    """A day has 96 parts of 15 minutes; each ends with the equity of its last minute."""
    strategy = SHIPPED["grid"]
    params = params_for(strategy, MARKET, START)
    minutes = BARS.minutes
    marks = marks_of(minutes.ts_ms, minutes.close, DAY)

    found = trial_of(0, {}, run_inputs(BARS, strategy, params, MODEL, CASH), params, marks, CASH)

    equity = result_for(BARS, strategy, params, MODEL, CASH).equity["equity"].to_numpy()
    assert len(found.profits) == PARTS
    assert np.count_nonzero(found.profits) > 10
    np.testing.assert_allclose(CASH + np.cumsum(found.profits), equity[14::15], rtol=0, atol=1e-6)


def test_part_without_a_minute_makes_nothing_and_short_windows_have_fewer_parts() -> None:
    """Half an hour without trades: the profit comes with the next price."""
    hour = Window(START, START + HOUR_MS)
    ts_ms = START + MINUTE_MS * np.array([0, 1, 45])
    marks = marks_of(ts_ms, np.array([1.0, 2.0, 3.0]), hour)

    assert marks.parts == 60
    assert marks.part.tolist() == [0, 1, 45]
    strategy = SHIPPED["buy_and_hold"]
    bars = BARS.between(START, START + HOUR_MS)
    params = params_for(strategy, MARKET, START)
    book = run_inputs(bars, strategy, params, MODEL, CASH)
    some = np.array([0, 1, 45])
    found = trial_of(0, {}, book, params, marks_of(bars.bars.ts_ms[some], bars.bars.close[some], hour), CASH)
    assert np.flatnonzero(found.profits).tolist() == [0, 1, 45]


@given(minutes=st.integers(1, 3_000), start=st.integers(0, 10**6))
def test_parts_are_equal_to_a_minute(minutes: int, start: int) -> None:
    """They cover the window in order, none empty."""
    span = Window(start * MINUTE_MS, (start + minutes) * MINUTE_MS)
    ts_ms = np.arange(span.start_ms, span.end_ms, MINUTE_MS)

    marks = marks_of(ts_ms, np.ones(minutes), span)

    sizes = np.bincount(marks.part, minlength=marks.parts)
    assert len(sizes) == marks.parts == min(PARTS, minutes)
    assert sizes.max() - sizes.min() <= 1
    assert (np.diff(marks.part) >= 0).all()


def test_best_is_by_the_first_objective_then_the_next_then_the_number() -> None:
    """Less drawdown is better; of equals the first stands first."""
    trials = [
        a_trial(0, profit_krw=5, max_drawdown_krw=9),
        a_trial(1, profit_krw=7, max_drawdown_krw=4),
        a_trial(2, profit_krw=7, max_drawdown_krw=3),
        a_trial(3, profit_krw=7, max_drawdown_krw=3),
    ]

    assert [one.number for one in best_first(trials, ("profit_krw", "max_drawdown_krw"))] == [2, 3, 1, 0]
    assert [one.number for one in best_first(trials, ("profit_krw",))] == [1, 2, 3, 0]
    assert [one.number for one in best_first(trials, ("max_drawdown_krw",))] == [2, 3, 1, 0]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=30))
def test_front_holds_what_no_other_beats(points: list[tuple[int, int, int]]) -> None:
    """Against the definition, pair by pair; of equals the first."""
    objectives = ("profit_krw", "max_drawdown_krw", "sharpe")
    trials = [
        a_trial(number, profit_krw=one, max_drawdown_krw=two, sharpe=three)
        for number, (one, two, three) in enumerate(points)
    ]

    def beats(other: tuple[int, int, int], own: tuple[int, int, int]) -> bool:
        return other[0] >= own[0] and other[1] <= own[1] and other[2] >= own[2] and other != own

    expected = {points.index(own) for own in points if not any(beats(other, own) for other in points)}
    assert {one.number for one in pareto_front(trials, objectives)} == expected


def test_matrix_has_a_column_for_each_trial() -> None:
    """As the over-fitting measure takes it."""
    trials = [
        Trial(0, {}, a_trial(0).figures, np.array([1.0, 2.0, 3.0])),
        Trial(1, {}, a_trial(1).figures, np.zeros(3)),
    ]

    assert matrix_of(trials).tolist() == [[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("profit", "objective 'profit' is not known; valid: profit_krw, sharpe"),
        ("", "objective '' is not known"),
        ("sharpe,sharpe", "name one twice"),
    ],
)
def test_objective_that_is_none_is_refused(text: str, message: str) -> None:
    """Naming those that are."""
    with pytest.raises(UsageError, match=message):
        objectives_of(text)
