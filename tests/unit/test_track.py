"""A run reduced to its equity: profits by period that add up, and runs joined to one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from honest_worlds import CASH, RIDE, START, edge_world, params, ticks_of
from tickloop.domain.backtest_inputs import Inputs, result_for, run_inputs
from tickloop.domain.fills import FILL_MODELS
from tickloop.domain.strategy import default
from tickloop.domain.track import Track, period_for, period_profits, profit_of, stitched, track_of
from tickloop.domain.window import DAY_MS, HOUR_MS, MINUTE_MS
from tickloop.errors import DataError

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
