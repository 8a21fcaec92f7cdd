"""Walk-forward: nothing is chosen by what comes later, money carries over, every trial is kept and counted."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from fakes import MemoryWarehouse
from honest_worlds import CASH, MARKET, RIDE, START, edge_world, noise_world, ticks_of, window
from tickloop.domain.backtest_inputs import Inputs, result_for
from tickloop.domain.backtest_job import Job
from tickloop.domain.fills import FILL_MODELS
from tickloop.domain.folds import Plan
from tickloop.domain.search import Search
from tickloop.domain.strategies.sma_cross import sma_cross
from tickloop.domain.strategy import default
from tickloop.domain.strategy_bars import signal_of
from tickloop.domain.tables import TRIAL
from tickloop.domain.tape import BarTape, ForecastSeries, Tape
from tickloop.domain.walkforward import efficiency_of, out_part, profit_again
from tickloop.domain.walkforward_result import WalkForward
from tickloop.domain.window import DAY_MS, HOUR_MS, MINUTE_MS, Window
from tickloop.errors import NotEnoughDataError, UsageError
from tickloop.services.sweep_units import Runner
from tickloop.services.trials import trials_so_far
from tickloop.services.walkforward import attempts_so_far, run_walkforward, subject_of, walk

PLAN = Plan(2 * DAY_MS, DAY_MS)
DAYS = 5
EDGES = ("min_edge=0.0005,0.0015,0.003",)
LENGTHS = ("fast=5,20", "slow=40,90")


@dataclass
class Ports:
    warehouse: MemoryWarehouse = field(default_factory=MemoryWarehouse)


def walked(inputs: Inputs, plan: Plan = PLAN, ports: Ports | None = None, **more: Any) -> WalkForward:
    """Walk the default strategy forward, or with `strategy` another."""
    strategy = more.pop("strategy", "default")
    values = RIDE if strategy == "default" else {"order_krw": 100_000.0}
    mode = "bars" if inputs.tape is None else "ticks"
    job = Job(MARKET, window(DAYS), strategy=strategy, values=values, mode=mode, budget=CASH, version="made-1")
    job = job if strategy == "default" else replace(job, version=None)
    axes = more.pop("axes", EDGES if strategy == "default" else LENGTHS)
    search = Search(job, axes, **more)
    return walk(ports or Ports(), Runner(job, inputs), search, plan, permutations=0)


def poisoned(inputs: Inputs, from_ms: int) -> Inputs:
    """Absurd prices and forecasts from a time on."""
    bars, series = inputs.bars, inputs.forecasts
    late, late_forecast = bars.ts_ms >= from_ms, series.minute_ms >= from_ms
    opened, high, close = (np.where(late, 7.0, column) for column in (bars.open, bars.high, bars.close))
    tape = inputs.tape
    if tape is not None:
        tape = Tape(MARKET, tape.ts_ms, np.where(tape.ts_ms >= from_ms, 7.0, tape.price))
    return replace(
        inputs,
        bars=BarTape(MARKET, bars.ts_ms, opened, high, close),
        tape=tape,
        forecasts=ForecastSeries(series.minute_ms, np.where(late_forecast, 1e12, series.price), series.usable_from_ms),
    )


@pytest.mark.parametrize("mode", ["bars", "ticks", "signal"])
@pytest.mark.parametrize("anchored", [False, True])
def test_poisoned_future_changes_no_fold_that_ended_before(mode: str, anchored: bool) -> None:
    """Neither what was chosen nor what it made, to the last order."""
    world = edge_world(1, DAYS)
    inputs = ticks_of(world) if mode == "ticks" else world
    strategy = "sma_cross" if mode == "signal" else "default"
    plan = replace(PLAN, is_anchored=anchored)

    true = walked(inputs, plan, strategy=strategy).runs
    for nth in range(len(true) - 1):
        false = walked(poisoned(inputs, true[nth].fold.test.end_ms), plan, strategy=strategy).runs

        for one, two in zip(true[: nth + 1], false, strict=False):
            assert one.best.setting == two.best.setting
            assert one.best.figures == two.best.figures
            assert one.result is not None
            assert two.result is not None
            assert one.result.orders.equals(two.result.orders)
            assert one.cash_after == two.cash_after
        assert true[nth + 1].result.profit_krw != false[nth + 1].result.profit_krw  # type: ignore[union-attr]


@pytest.mark.parametrize("mode", ["bars", "ticks", "signal"])
def test_choice_knows_nothing_from_the_end_of_its_train_part_on(mode: str) -> None:
    """Neither of the embargo nor of the test part."""
    inputs = ticks_of(edge_world(1, DAYS)) if mode == "ticks" else edge_world(1, DAYS)
    strategy = "sma_cross" if mode == "signal" else "default"
    plan = replace(PLAN, embargo_ms=6 * HOUR_MS)

    true = walked(inputs, plan, strategy=strategy).runs
    for nth, run in enumerate(true):
        false = walked(poisoned(inputs, run.fold.train.end_ms), plan, strategy=strategy).runs[nth]

        assert false.fold == run.fold
        assert [one.figures for one in false.trials] == [one.figures for one in run.trials]
        assert false.best.setting == run.best.setting
        assert false.result.profit_krw != run.result.profit_krw  # type: ignore[union-attr]


def test_test_part_is_run_with_what_its_train_part_chose() -> None:
    """The best of all settings over those days alone, by the objective, and the same as run by hand."""
    inputs = edge_world(1, DAYS)

    found = walked(inputs)

    for run in found.runs:
        profits = [trial.figures.profit_krw for trial in run.trials]
        assert run.best.figures.profit_krw == max(profits)
        part = inputs.between(run.fold.test.start_ms, run.fold.test.end_ms)
        by_hand = result_for(part, default, run.params, FILL_MODELS["spread"], run.cash)
        assert run.result is not None
        assert run.result.orders.equals(by_hand.orders)
        assert run.params.min_edge == run.best.setting["min_edge"]  # type: ignore[attr-defined]


def test_other_objective_chooses_by_itself() -> None:
    """The least fees are those of the setting that trades least."""
    found = walked(edge_world(1, DAYS), objectives=("fees_krw",))

    assert all(run.best.figures.fees_krw == min(one.figures.fees_krw for one in run.trials) for run in found.runs)
    assert {run.best.setting["min_edge"] for run in found.runs} == {0.003}


@pytest.mark.parametrize("mode", ["bars", "ticks"])
def test_money_carries_over_and_adds_up(mode: str) -> None:
    """The joined equity ends where the last fold does, and holds every minute of the test parts once."""
    inputs = edge_world(1, DAYS) if mode == "bars" else ticks_of(edge_world(1, DAYS))

    found = walked(inputs)

    assert found.runs[0].cash == CASH
    assert all(one.cash_after == two.cash for one, two in pairwise(found.runs))
    assert found.track.profit_krw == found.runs[-1].cash_after - CASH
    assert found.track.profit_krw == pytest.approx(sum(run.profit_krw for run in found.runs))
    equity = found.equity()
    assert equity["ts"].dt.epoch("ms").to_list() == list(range(START + 2 * DAY_MS, START + DAYS * DAY_MS, MINUTE_MS))
    assert equity["fold"].unique().to_list() == [0, 1, 2]
    assert any(run.result.open_lots for run in found.runs if run.result is not None)


@pytest.mark.parametrize("mode", ["bars", "ticks", "signal"])
def test_running_the_test_parts_again_gives_the_same_profit(mode: str) -> None:
    """What the judgement changes one thing of is what was traded."""
    inputs = ticks_of(edge_world(1, DAYS)) if mode == "ticks" else edge_world(1, DAYS)
    strategy = "sma_cross" if mode == "signal" else "default"

    found = walked(inputs, strategy=strategy)

    fees = {row["scale"]: row["profit_krw"] for row in found.judgement.as_dict()["sensitivity"]["fees"]}
    assert fees[1.0] == pytest.approx(found.track.profit_krw, abs=1e-3)
    assert fees[0.0] > fees[2.0]
    figures = found.as_dict()["out_of_sample"]
    assert figures["profit_krw"] == pytest.approx(found.track.profit_krw, abs=1e-3)
    assert figures["trades"] == sum(run.result.trips.height for run in found.runs if run.result is not None)


def test_signal_of_a_test_part_knows_the_closes_of_its_train_part() -> None:
    """From its first bar on, as over the whole; without them its first 90 bars would have none."""
    inputs = edge_world(1, DAYS)
    run = walked(inputs, strategy="sma_cross").runs[1]

    part = out_part(inputs, sma_cross, run.params, run.fold)

    assert part is not None
    known, strategy = part
    whole = signal_of(sma_cross, run.params, inputs.bars)
    first = int((run.fold.test.start_ms - START) // MINUTE_MS)
    assert strategy.signal is None
    assert known.forecasts.minute_ms[0] == run.fold.test.start_ms
    assert known.forecasts.price.tolist() == whole[first - 1 : first - 1 + DAY_MS // MINUTE_MS].tolist()


def test_efficiency_is_profit_a_day_over_profit_a_day() -> None:
    """And none where the choices lost in sample too."""
    won, lost = walked(edge_world(1, DAYS)), walked(noise_world(1, DAYS))

    inside = sum(run.best.figures.profit_krw for run in won.runs) / 6
    assert efficiency_of(won.runs) == pytest.approx(won.track.profit_krw / 3 / inside)
    assert 0.5 < efficiency_of(won.runs) < 1.5  # type: ignore[operator]
    assert efficiency_of(lost.runs) is None


def test_result_is_complete_json_with_the_verdict_first() -> None:
    """No NaN, no infinity; one row a fold."""
    found = walked(edge_world(1, DAYS)).as_dict()

    assert json.loads(json.dumps(found, allow_nan=False))["verdict"] == found["verdict"]
    assert next(iter(found)) == "verdict"
    assert [fold["test"] for fold in found["folds"]] == [
        "2024-01-03T00..2024-01-04T00",
        "2024-01-04T00..2024-01-05T00",
        "2024-01-05T00..2024-01-06T00",
    ]
    assert found["equity"][-1] == (
        START + DAYS * DAY_MS,
        pytest.approx(CASH + found["out_of_sample"]["profit_krw"], abs=1e-3),
    )
    assert "valued at its last price after the fee of selling" in found["notes"][0]


def test_every_trial_is_kept_and_counted_and_a_second_run_adds_none() -> None:
    """Three settings on three train parts, and what was traded; anchored parts start alike and lose no row."""
    ports, inputs = Ports(), edge_world(1, DAYS)

    for anchored, rows in ((False, 10), (True, 20)):
        for _ in range(2):
            found = walked(inputs, replace(PLAN, is_anchored=anchored), ports)

        assert ports.warehouse.read(TRIAL, MARKET, window(DAYS)).height == rows
    # The settings are the same in both; each walk-forward is a trial of its own.
    assert trials_so_far(ports, MARKET, window(DAYS)) == found.trials_so_far == 3 + 2
    assert found.attempts == 2


def test_attempts_over_the_same_span_are_known_to_the_judgement() -> None:
    """The profits of both are there, so over-fitting is measured; on another span they are only counted."""
    ports, inputs = Ports(), edge_world(1, DAYS)
    walked(inputs, ports=ports)

    again = walked(inputs, ports=ports, objectives=("sharpe",))
    other = walked(inputs, Plan(3 * DAY_MS, DAY_MS), ports)

    assert again.judgement.choice is not None
    assert again.judgement.choice.trials == 2
    assert again.judgement.choice.overfitting is not None
    assert (other.attempts, other.judgement.choice.overfitting) == (3, None)  # type: ignore[union-attr]
    assert attempts_so_far(ports, MARKET, Window(START - DAY_MS, START))[0] == 0


def test_random_search_tries_the_same_settings_on_every_train_part() -> None:
    """Drawn once, by the seed."""
    found = walked(edge_world(1, DAYS), axes=("min_edge",), method="random", trials=4, seed=3)

    tried = [[trial.setting for trial in run.trials] for run in found.runs]
    assert len(tried[0]) == 4
    assert tried[0] == tried[1] == tried[2]


def test_test_part_without_a_price_keeps_the_money() -> None:
    """A market that stood still for a day: no result for that fold, and the next starts with the same cash."""
    inputs = edge_world(1, DAYS)
    bars = inputs.bars
    is_there = (bars.ts_ms < START + 3 * DAY_MS) | (bars.ts_ms >= START + 4 * DAY_MS)
    columns = (column[is_there] for column in (bars.ts_ms, bars.open, bars.high, bars.close))

    found = walked(replace(inputs, bars=BarTape(MARKET, *columns)))

    assert found.runs[1].result is None
    assert found.runs[1].cash == found.runs[2].cash == found.runs[0].cash_after
    assert found.as_dict()["folds"][1]["out_of_sample"] is None


def test_train_part_without_a_price_is_an_error() -> None:
    """Nothing could be chosen."""
    inputs = edge_world(1, DAYS).between(START + 2 * DAY_MS, START + DAYS * DAY_MS)

    with pytest.raises(NotEnoughDataError, match="has no bar in"):
        walked(inputs)


def test_search_that_learns_is_refused() -> None:
    """Before anything is read: these ports have nothing."""
    job = Job(MARKET, window(DAYS))

    with pytest.raises(UsageError, match="method 'tpe' learns from one train part"):
        run_walkforward(None, Search(job, method="tpe"), PLAN)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="leave nothing to test"):
        run_walkforward(None, Search(job), Plan(4 * DAY_MS, HOUR_MS, embargo_ms=DAY_MS))  # type: ignore[arg-type]


def test_setting_that_the_budget_does_not_pay_is_refused() -> None:
    """It would show a profit of 0."""
    with pytest.raises(UsageError, match="does not pay one order of 2,000,000 KRW"):
        walked(edge_world(1, DAYS), axes=("order_krw=100000,2000000",))


def test_profit_again_with_other_forecasts_is_another_profit() -> None:
    """Forecasts that promise nothing buy nothing."""
    inputs = edge_world(1, DAYS)
    found = walked(inputs)
    job = found.search.job
    nothing = ForecastSeries(inputs.forecasts.minute_ms, inputs.bars.open, inputs.forecasts.usable_from_ms)

    assert profit_again(subject_of(Runner(job, inputs)), found.runs, known=nothing) == 0.0
