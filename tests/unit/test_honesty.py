"""The judgement of a back-test: complete, the same for the same seed, and silent where nothing can be said."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from honest_worlds import CASH, RIDE, START, edge_world, noise_world, params, ticks_of
from tickloop.domain.backtest_inputs import Inputs, result_for
from tickloop.domain.fills import FILL_MODELS
from tickloop.domain.judgement import Judgement
from tickloop.domain.strategies.plain import buy_and_hold, do_nothing
from tickloop.domain.strategies.sma_cross import sma_cross
from tickloop.domain.strategy import OrderParams, Strategy, default
from tickloop.domain.strategy_params import params_for
from tickloop.domain.verdict import Kind
from tickloop.domain.window import HOUR_MS
from tickloop.services.honesty import judged

MODEL = FILL_MODELS["spread"]


def judge(
    inputs: Inputs,
    setting: OrderParams | None = None,
    strategy: Strategy = default,
    seed: int = 1,
    trials: int = 1,
    permutations: int | None = 39,
) -> Judgement:
    setting = setting or params(RIDE)
    result = result_for(inputs, strategy, setting, MODEL, CASH)
    return judged(inputs, strategy, setting, MODEL, CASH, result, trials=trials, seed=seed, permutations=permutations)


def test_same_seed_gives_the_same_judgement_and_another_seed_another() -> None:
    """Down to the last digit, as JSON."""
    inputs = edge_world(1, 2)

    first, second, other = (json.dumps(judge(inputs, seed=seed).as_dict()) for seed in (1, 1, 2))

    assert first == second
    assert first != other


def test_figures_of_a_known_edge_agree_with_each_other() -> None:
    """The profit at the fee of the result is the result; at none it is higher; the break-even fee is in between."""
    inputs = edge_world(1, 2)

    found = judge(inputs).as_dict()

    profit = result_for(inputs, default, params(RIDE), MODEL, CASH).profit_krw
    assert found["verdict"]["kind"] == "unlikely_luck"
    assert found["notes"] == {}
    assert found["signal"]["profit_krw"] == pytest.approx(profit, abs=1e-3)
    assert found["luck"]["profit_low_krw"] < profit < found["luck"]["profit_high_krw"]
    fees = {row["scale"]: row["profit_krw"] for row in found["sensitivity"]["fees"]}
    assert fees[1.0] == pytest.approx(profit, abs=1e-3)
    assert fees[0.0] > fees[0.5] > fees[1.0] > fees[1.5] > fees[2.0]
    assert 0.0005 < found["sensitivity"]["break_even_fee_rate"] < 0.002


def test_ticks_have_latencies_and_bars_have_none() -> None:
    """At the fill model's own latency stands the result."""
    inputs = ticks_of(edge_world(1, 1))

    ticks, bars = judge(inputs).as_dict(), judge(edge_world(1, 1)).as_dict()

    profits = {row["latency_ms"]: row["profit_krw"] for row in ticks["sensitivity"]["latencies"]}
    assert list(profits) == [0, 100, 300, 1_000, 3_000]
    assert profits[300] == pytest.approx(result_for(inputs, default, params(RIDE), MODEL, CASH).profit_krw, abs=1e-3)
    assert bars["sensitivity"]["latencies"] == []


def test_invented_path_is_not_measured_at_all() -> None:
    """No figure of it reaches a page."""
    found = judge(replace(ticks_of(edge_world(1, 1)), path="invented"))

    assert found.verdict.kind is Kind.INVENTED
    sections = found.as_dict()
    assert [sections[name] for name in ("luck", "choice", "signal", "sensitivity")] == [None] * 4
    assert "invented" in sections["notes"]["all"]
    assert not any(sign in found.verdict.text for sign in ("KRW", "+", "%"))


def test_strategy_without_forecasts_has_no_signal_to_test() -> None:
    """Holding is one round trip at most: luck or loss, never more."""
    inputs = noise_world(1, 1)

    found = judge(inputs, params_for(buy_and_hold, inputs.market, START), buy_and_hold)

    assert found.signal is None
    assert dict(found.notes)["signal"] == "strategy buy_and_hold uses neither forecasts nor signals"
    assert found.verdict.kind in (Kind.LUCK, Kind.LOSS)


@pytest.mark.parametrize("mode", ["bars", "ticks"])
def test_signals_of_a_strategy_are_moved_in_time(mode: str) -> None:
    """Its own profit is found again by the signals that it made; where they come by chance, others do as well."""
    inputs = noise_world(2, 2) if mode == "bars" else ticks_of(noise_world(2, 2))
    setting = params_for(sma_cross, inputs.market, START, values={"order_krw": 100_000})

    found = judge(inputs, setting, sma_cross)

    assert found.signal is not None
    profit = result_for(inputs, sma_cross, setting, MODEL, CASH).profit_krw
    assert found.signal.profit == pytest.approx(profit, abs=1e-6)
    assert found.signal.profits.std() > 0
    assert found.as_dict()["signal"]["of"] == "signals"
    assert found.signal.p > 0.05


def test_doing_nothing_is_no_result() -> None:
    """And no figure of it is NaN or infinite."""
    inputs = noise_world(1, 1)

    found = judge(inputs, params_for(do_nothing, inputs.market, START), do_nothing)

    assert found.verdict.kind is Kind.NOTHING
    json.dumps(found.as_dict(), allow_nan=False)


def test_window_of_minutes_says_what_could_not_be_measured() -> None:
    """Ten minutes: neither resampling nor an order of forecasts."""
    inputs = noise_world(1, 1).between(START, START + HOUR_MS // 6)

    found = judge(inputs)

    assert (found.luck, found.choice, found.signal) == (None, None, None)
    assert "at least 20" in dict(found.notes)["luck"]
    assert "no day has 4 blocks" in dict(found.notes)["signal"]
    assert found.verdict.kind is not Kind.UNLIKELY_LUCK


def test_trials_whose_profits_are_not_known_are_held_against_the_best_of_as_many() -> None:
    """A clear edge stands that, and the notes say what could not be measured."""
    one, many = (judge(edge_world(1, 2), trials=trials) for trials in (40, 100_000))

    assert one.verdict.kind is Kind.UNLIKELY_LUCK
    assert "p 0.0025 for the best of so many" in one.verdict.text
    assert "profits of the trials" in dict(one.notes)["overfitting"]
    assert many.verdict.kind is Kind.LUCK
    assert "the best of 100,000 worthless strategies does as well in up to 100 % of cases" in many.verdict.text


def test_permutations_can_be_left_out() -> None:
    """Said among the notes."""
    found = judge(edge_world(1, 1), permutations=0)

    assert found.signal is None
    assert dict(found.notes)["signal"] == "left out"


def test_judgement_does_not_change_what_it_reads() -> None:
    """The caller's arrays are as they were."""
    inputs = edge_world(1, 1)
    before = inputs.forecasts.price.copy(), inputs.bars.close.copy()

    judge(inputs)

    assert np.array_equal(inputs.forecasts.price, before[0])
    assert np.array_equal(inputs.bars.close, before[1])
