"""Profits by period, what a choice among trials brings, and runs joined to one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from honest_worlds import CASH, RIDE, START, edge_world, params, ticks_of
from tickloop.domain.backtest_inputs import Inputs, result_for, run_inputs
from tickloop.domain.evidence import (
    Track,
    choice_of,
    evidence_of,
    luck_of,
    period_for,
    period_profits,
    profit_of,
    stitched,
    track_of,
)
from tickloop.domain.figures import SHARPE
from tickloop.domain.fills import FILL_MODELS
from tickloop.domain.sharpe import Record, deflated_sharpe, probabilistic_sharpe
from tickloop.domain.strategy import default
from tickloop.domain.window import DAY_MS, HOUR_MS, MINUTE_MS
from tickloop.errors import DataError, NotEnoughDataError

DAY_0 = 19_000 * DAY_MS


def track(ts_ms: list[int], equity: list[float], budget: float = 100.0) -> Track:
    return Track(np.array(ts_ms, np.int64), np.array(equity), budget, trades=3, losses=1, path="bars")


@pytest.mark.parametrize(
    ("minutes", "period"),
    [(30, "minute"), (1_999, "minute"), (2_000, "10 minutes"), (12_000, "hour"), (288_000, "day")],
)
def test_period_is_the_longest_of_which_there_are_200(minutes: int, period: str) -> None:
    """Below 200 minutes there is nothing shorter."""
    assert period_for(DAY_0, DAY_0 + minutes * MINUTE_MS) == period


def test_profits_of_hours_by_hand() -> None:
    """The first hour starts with the budget; the third has no price, and nothing is earned in it."""
    at = [DAY_0 + 50 * MINUTE_MS, DAY_0 + 59 * MINUTE_MS, DAY_0 + HOUR_MS, DAY_0 + 3 * HOUR_MS + MINUTE_MS]

    profits = period_profits(track(at, [101.0, 103.0, 102.0, 110.0]), "hour")

    assert profits.tolist() == [3.0, -1.0, 0.0, 8.0]


@given(
    st.lists(st.integers(0, 4_000), min_size=1, max_size=60, unique=True),
    st.sampled_from(["minute", "10 minutes", "hour", "day"]),
)
def test_profits_of_periods_add_up_to_the_profit(minutes: list[int], period: str) -> None:
    """Whatever minutes have a price."""
    rng = np.random.default_rng(len(minutes))
    run = track([DAY_0 + minute * MINUTE_MS for minute in sorted(minutes)], rng.normal(100, 9, len(minutes)).tolist())

    assert period_profits(run, period).sum() == pytest.approx(run.profit_krw, abs=1e-9)


@pytest.mark.parametrize("mode", ["bars", "ticks"])
def test_profit_of_a_book_is_that_of_the_result(mode: str) -> None:
    """Open lots included: the run ends while some are held."""
    inputs = edge_world(3, 1) if mode == "bars" else ticks_of(edge_world(3, 1))
    model, setting = FILL_MODELS["spread"], params(RIDE)
    cut = inputs.between(int(inputs.bars.ts_ms[0]), _when_held(inputs))

    book = run_inputs(cut, default, setting, model, CASH)
    result = result_for(cut, default, setting, model, CASH)

    assert result.open_lots > 0
    assert profit_of(book, setting, float(cut.bars.close[-1]), CASH) == pytest.approx(result.profit_krw, abs=1e-6)


def _when_held(inputs: Inputs) -> int:
    """Give the end of a minute after which a lot is held in both modes: five minutes after a buy."""
    result = result_for(inputs, default, params(RIDE), FILL_MODELS["spread"], CASH)
    held = result.equity.filter(result.equity["qty_e8"] > 0)["ts"].dt.epoch("ms")
    return int(held[len(held) // 2]) + MINUTE_MS


def test_track_holds_what_the_result_says() -> None:
    """Losses are round trips that lost."""
    result = result_for(edge_world(3, 1), default, params(RIDE), FILL_MODELS["spread"], CASH)

    run = track_of(result, "bars")

    assert run.profit_krw == result.profit_krw
    assert run.trades == result.trips.height
    assert 0 < run.losses == result.trips.filter(result.trips["profit_krw"] < 0).height < run.trades
    assert run.buy_and_hold_krw == result.buy_and_hold_krw
    assert run.ts_ms[0] == START


def test_interval_is_that_of_the_mean_times_the_periods() -> None:
    """So that it stands beside the profit."""
    rng = np.random.default_rng(5)
    run = track([DAY_0 + n * MINUTE_MS for n in range(400)], (100 + np.cumsum(rng.normal(0.1, 1.0, 400))).tolist())

    luck = luck_of(run, np.random.default_rng(0))

    assert luck.period == "minute"
    assert luck.resampled.periods == 400
    assert luck.interval_krw == (luck.resampled.mean.low * 400, luck.resampled.mean.high * 400)
    assert luck.interval_krw[0] < run.profit_krw < luck.interval_krw[1]
    assert luck.periods_per_year == 525_600


def test_run_of_nineteen_minutes_is_too_short() -> None:
    """There are no shorter periods."""
    with pytest.raises(NotEnoughDataError, match="covers 19 minutes; valid: at least 20"):
        luck_of(track([DAY_0 + n * MINUTE_MS for n in range(19)], [100.0] * 19), np.random.default_rng(0))


def test_one_trial_was_not_chosen() -> None:
    """Its deflated ratio is the probabilistic one."""
    record = Record(400, 0.1, -0.5, 5.0)

    choice = choice_of(record, 1)

    assert choice.basis is None
    assert choice.deflated_sharpe == probabilistic_sharpe(record)


def test_choice_among_unknown_trials_takes_them_as_independent() -> None:
    """Variance of the ratio of noise: 1 / (n - 1); of 100 such the best has 2.53 times its root."""
    record = Record(401, 0.1)

    choice = choice_of(record, 100)

    assert choice.basis == "as many worthless trials that have nothing to do with each other"
    assert choice.expected_max_sharpe == pytest.approx(2.5306 * 0.05, abs=1e-4)
    assert choice.deflated_sharpe == deflated_sharpe(record, 100, 1 / 400)
    assert choice.overfitting is None


def test_choice_among_known_trials_takes_their_spread() -> None:
    """Of 16 long periods against 160 short ones of the same time: ratios per period differ by the root of ten."""
    matrix = np.random.default_rng(1).normal(size=(16, 30))
    record = Record(160, 0.2)

    choice = choice_of(record, 50, matrix)
    counted = choice_of(record, 1, matrix)

    assert choice.basis == "the trials that were made"
    assert choice.trials == 50
    assert counted.trials == 30
    variance = SHARPE.of(matrix).var(ddof=1) / 10
    assert choice.deflated_sharpe == pytest.approx(deflated_sharpe(record, 50, float(variance)))
    assert choice.overfitting is not None
    assert choice.overfitting.blocks == 8


def test_matrix_of_too_few_periods_gives_no_probability_of_overfitting() -> None:
    """Three periods have no halves; their ratios have a spread."""
    choice = choice_of(Record(160, 0.2), 5, np.random.default_rng(1).normal(size=(3, 5)))

    assert choice.overfitting is None
    assert choice.basis == "the trials that were made"


def test_what_was_not_measured_stays_out_of_the_evidence() -> None:
    """None, and the trials as the caller counts them."""
    evidence = evidence_of(track([DAY_0], [107.0]), None, None, 3, None)

    assert (evidence.p_mean, evidence.deflated_sharpe, evidence.overfitting, evidence.p_signal) == (None,) * 4
    assert (evidence.profit_krw, evidence.trials) == (7.0, 3)


def test_runs_are_joined_when_each_goes_on_from_the_last() -> None:
    """Money, round trips and holding add up."""
    one = replace(track([DAY_0, DAY_0 + MINUTE_MS], [101.0, 104.0]), buy_and_hold_krw=2.0)
    two = replace(track([DAY_0 + HOUR_MS], [99.0], budget=104.0), buy_and_hold_krw=-3.0)

    whole = stitched([one, two])

    assert whole.profit_krw == -1.0
    assert whole.equity.tolist() == [101.0, 104.0, 99.0]
    assert (whole.trades, whole.losses, whole.buy_and_hold_krw) == (6, 2, -1.0)


def test_runs_that_do_not_follow_each_other_are_refused() -> None:
    """Other money, an overlap, or none at all."""
    one = track([DAY_0], [101.0])

    with pytest.raises(DataError, match="does not follow"):
        stitched([one, track([DAY_0 + MINUTE_MS], [99.0])])
    with pytest.raises(DataError, match="does not follow"):
        stitched([one, track([DAY_0], [99.0], budget=101.0)])
    with pytest.raises(DataError, match="at least one"):
        stitched([])
