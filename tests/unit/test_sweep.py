"""Searches over in-memory ports: what is tried, what is kept, and that going on changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from chain_fakes import FakePorts
from sweep_homes import DAY, MARKET, WAITING, fill_bars, fill_trades
from tickloop.adapters.optuna.sampler import TpeSampler
from tickloop.domain.backtest_job import Job
from tickloop.domain.search import Search, search_from
from tickloop.domain.tables import BAR_1M, TRIAL
from tickloop.domain.window import HOUR_MS, Window
from tickloop.errors import DataError, StrategyError, UnknownMarketError, UsageError
from tickloop.services.backtest_run import run_job
from tickloop.services.janitor import janitor
from tickloop.services.sweep import plan_of, sweep_units
from tickloop.services.sweep_run import run_sweep
from tickloop.services.sweep_units import run_sweep_unit, unit_from
from tickloop.services.trials import trials_so_far

SMA = Job(MARKET, DAY, strategy="sma_cross", budget=50_000.0)
AXES = ("fast=5,10", "slow=20:60:20")


@pytest.fixture
def ports() -> FakePorts:
    made = FakePorts()
    fill_bars(made.warehouse)
    return made


def rows(ports: FakePorts) -> pl.DataFrame:
    return ports.warehouse.read(TRIAL)


def test_every_trial_has_the_figures_of_a_back_test_of_its_own(ports: FakePorts) -> None:
    """Six settings, in the order of the grid, each as `backtest --set` gives it."""
    found = run_sweep(ports, Search(SMA, AXES))

    assert [one.setting for one in found.trials] == [
        {"fast": fast, "slow": slow} for fast in (5, 10) for slow in (20, 40, 60)
    ]
    for one in found.trials:
        summary = run_job(ports, SMA.with_values(one.setting)).summary()
        assert round(one.figures.profit_krw, 4) == summary["profit_krw"]
        assert round(one.figures.max_drawdown_krw, 4) == summary["max_drawdown_krw"]
        assert one.figures.trades == summary["trades"] > 0
    profits = [one.figures.profit_krw for one in found.best]
    assert profits == sorted(profits, reverse=True)
    assert found.result.summary()["profit_krw"] == round(profits[0], 4)


def test_ticks_are_searched_as_bars_are(ports: FakePorts) -> None:
    """With the fill model's latency in the setting's digest, so that another one is another trial."""
    fill_trades(ports.lake)
    ticks = replace(SMA, mode="ticks", strategy="grid")

    found = run_sweep(ports, Search(ticks, ("fall_bp=20,40", "max_lots=4")))
    run_sweep(ports, Search(replace(ticks, latency_ms=1_000), ("fall_bp=20,40", "max_lots=4")))

    for one in found.trials:
        summary = run_job(ports, ticks.with_values(one.setting)).summary()
        assert round(one.figures.profit_krw, 4) == summary["profit_krw"]
        assert one.figures.orders == summary["orders"] > 0
    assert trials_so_far(ports, MARKET, DAY) == 4


def test_run_again_nothing_is_run(ports: FakePorts, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the answer is the same to the letter."""
    first = run_sweep(ports, Search(SMA, AXES))
    kept = rows(ports)
    monkeypatch.setattr("tickloop.services.sweep_units.run_inputs", None)

    again = run_sweep(ports, Search(SMA, AXES))

    assert again.as_dict() == first.as_dict()
    assert rows(ports).equals(kept)


@pytest.mark.parametrize(("method", "workers"), [("grid", 1), ("random", 2), ("tpe", 2)])
def test_search_that_was_cut_short_goes_on_to_the_same_rows(method: Any, workers: int) -> None:
    """Whatever rows were there already; with two processes as with one."""
    search = Search(SMA, ("fast=2:30", "slow=40:200"), method, trials=36, seed=4)
    whole, torn = FakePorts(), FakePorts()
    for one in (whole, torn):
        fill_bars(one.warehouse)
    run_sweep(whole, search, sampler_of=TpeSampler)
    kept = rows(whole)
    torn.warehouse.upsert(TRIAL, kept.filter(pl.col("number").is_in([0, 1, 2, 5, 17, 30])))

    found = run_sweep(torn, search, sampler_of=TpeSampler, workers=workers)

    assert kept.height == 36
    assert rows(torn).equals(kept)
    assert found.as_dict() == run_sweep(whole, search, sampler_of=TpeSampler).as_dict()


def test_random_search_is_made_longer_by_more_trials(ports: FakePorts) -> None:
    """The first of them stay as they are."""
    search = Search(SMA, (), "random", trials=5, seed=9, name="mine")
    run_sweep(ports, search)
    first = rows(ports)

    run_sweep(ports, replace(search, trials=8))

    assert rows(ports).height == 8
    assert rows(ports).head(5).equals(first)


def test_tpe_finds_more_than_its_random_start(ports: FakePorts) -> None:
    """A hill of one peak: what is proposed after the start lies nearer to it."""
    from tickloop.domain.search_space import search_space
    from tickloop.services.strategies import strategy_named

    sampler = TpeSampler(search_space(strategy_named("sma_cross")), 1, seed=3)
    off = []
    for _ in range(60):
        number, setting = sampler.ask()
        off.append(abs(setting["fast"] - 300) + abs(setting["slow"] - 600))
        sampler.tell(number, [-off[-1]])

    assert sum(off[40:]) / 20 < 0.5 * sum(off[:16]) / 16


def test_several_objectives_give_a_front(ports: FakePorts) -> None:
    """Of profit and drawdown: no trial on it is beaten in both."""
    search = Search(SMA, (), "tpe", trials=32, seed=1, objectives=("profit_krw", "max_drawdown_krw"))

    found = run_sweep(ports, search, sampler_of=TpeSampler)

    front = [(one.figures.profit_krw, one.figures.max_drawdown_krw) for one in found.front]
    assert front == sorted(front, reverse=True)
    assert [drawdown for _, drawdown in front] == sorted((drawdown for _, drawdown in front), reverse=True)
    assert found.as_dict()["pareto_front"][0]["number"] == found.best[0].number


def test_search_that_learns_ends_when_there_is_no_more_to_try(ports: FakePorts) -> None:
    """Four settings, however many are asked for."""
    found = run_sweep(ports, Search(SMA, ("fast=5,10", "slow=20,40"), "tpe", trials=50), sampler_of=TpeSampler)

    assert len(found.trials) == 4


def test_unit_writes_its_rows_once(ports: FakePorts) -> None:
    """Through JSON, in any order, again and again: the same rows as the pool's."""
    search = Search(SMA, AXES)
    units = [unit_from(unit.as_dict()) for unit in sweep_units(ports, search, 4)]

    told = [run_sweep_unit(ports, unit) for unit in reversed(units)]
    first = rows(ports)
    again = [run_sweep_unit(ports, unit) for unit in units]

    assert [one["trials"] for one in told] == [2, 2, 2]
    assert [(one["trials"], one["known"]) for one in again] == [(0, 2)] * 3
    other = FakePorts()
    fill_bars(other.warehouse)
    run_sweep(other, search)
    assert rows(ports).equals(first)
    assert first.equals(rows(other))
    assert sweep_units(ports, search, 4) == []


def test_unit_over_changed_data_is_refused(ports: FakePorts) -> None:
    """Its trials could not stand beside the others."""
    (unit,) = sweep_units(ports, Search(SMA, AXES), 1)
    bars = ports.warehouse.read(BAR_1M, MARKET, DAY)
    ports.warehouse.upsert(BAR_1M, bars.head(1).with_columns(pl.col("close") + 1000.0))

    with pytest.raises(DataError, match="have changed since sweep"):
        run_sweep_unit(ports, unit)

    assert rows(ports).is_empty()


def test_search_that_learns_has_no_units(ports: FakePorts) -> None:
    """Each batch follows from the one before."""
    with pytest.raises(UsageError, match=r"'tpe' learns .*; valid: grid, random"):
        sweep_units(ports, Search(SMA, (), "tpe"), 4)
    with pytest.raises(UsageError, match="valid: grid, random"):
        run_sweep(ports, Search(SMA, (), "tpe"))


def test_trials_count_once_over_all_searches_of_overlapping_time(ports: FakePorts) -> None:
    """Another day has its own count; the janitor leaves all of them."""
    day = SMA.window
    noon = day.start_ms + 12 * HOUR_MS
    first, second = replace(SMA, window=Window(day.start_ms, noon)), replace(SMA, window=Window(noon, day.end_ms))
    run_sweep(ports, Search(first, AXES))
    run_sweep(ports, Search(second, ("fast=5,7", "slow=20")))

    whole = run_sweep(ports, Search(SMA, ("fast=5,8", "slow=20")))

    assert trials_so_far(ports, MARKET, first.window) == 6 + 1
    assert trials_so_far(ports, MARKET, second.window) == 2 + 1
    assert trials_so_far(ports, MARKET, day) == 6 + 1 + 1 == whole.trials_so_far
    assert whole.judgement.evidence.trials == 8
    assert trials_so_far(ports, "KRW-ETH", day) == 0
    janitor(ports, NoSegments())  # type: ignore[arg-type]
    assert trials_so_far(ports, MARKET, day) == 8


class NoSegments:
    def segments(self) -> list[Any]:
        return []


def test_name_of_another_search_is_refused(ports: FakePorts) -> None:
    """Its rows would be written over; the same search under the name goes on."""
    run_sweep(ports, Search(SMA, AXES, name="mine"))

    with pytest.raises(UsageError, match="sweep 'mine' is of another search, or the data have changed"):
        run_sweep(ports, Search(SMA, ("fast=5", "slow=20"), name="mine"))

    assert len(run_sweep(ports, Search(SMA, AXES, name="mine")).trials) == 6


def test_another_version_of_a_strategys_file_is_another_search(ports: FakePorts, tmp_path: Path) -> None:
    """The file's place is not: a copy of it is the same strategy."""
    found = {}
    for name, text in {"one": WAITING, "two": WAITING, "three": WAITING.replace("> close[", ">= close[")}.items():
        (tmp_path / f"{name}.py").write_text(text)
        found[name] = plan_of(ports, Search(replace(SMA, strategy=f"{tmp_path}/{name}.py:waiting"), ("length=1:20:1",)))

    told = {name: plan.runner.digest({"length": 5}) for name, plan in found.items()}

    assert told["one"] == told["two"] != told["three"]
    assert len({plan.unit.sweep for plan in found.values()}) == 3


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (lambda: Search(SMA, ("speed=1",)), UsageError, "no parameter 'speed' to search; valid: order_krw, fast, slow"),
        (lambda: Search(SMA, ("fast=0:5:1",)), UsageError, "holds 0, which is out of range"),
        (lambda: Search(SMA, AXES, trials=0), UsageError, "0 trials; valid: from 1"),
        (lambda: Search(SMA, AXES, objectives=("luck",)), UsageError, "objective 'luck' is not known"),
        (lambda: Search(SMA, AXES, "annealing"), UsageError, "method 'annealing' is not known; valid: grid, random"),  # type: ignore[arg-type]
        (lambda: Search(SMA, AXES, seed=-1), UsageError, "seed -1 is not valid"),
        (lambda: Search(SMA, AXES, name="a/b"), UsageError, "name 'a/b' is not valid"),
        (lambda: Search(replace(SMA, strategy="none"), AXES), StrategyError, "strategy 'none' is not known"),
        (lambda: Search(replace(SMA, market="KRW-NO"), AXES), UnknownMarketError, "KRW-NO"),
        (lambda: Search(replace(SMA, window=Window(0, HOUR_MS)), AXES), DataError, "unknown or not settled"),
    ],
)
def test_search_that_cannot_be_is_refused_before_anything_is_run(
    ports: FakePorts, change: Callable[[], Search], kind: type[Exception], message: str
) -> None:
    """Naming the value and what would be valid."""
    with pytest.raises(kind, match=message):
        run_sweep(ports, change())

    assert rows(ports).is_empty()


def test_ticks_of_an_invented_path_are_not_searched(ports: FakePorts) -> None:
    """Their best would be the best of an invention."""
    fill_trades(ports.lake)
    ports.is_path_invented = True

    with pytest.raises(DataError, match=r"made from candles.*; valid: --mode bars"):
        plan_of(ports, Search(replace(SMA, mode="ticks"), AXES))


@pytest.mark.parametrize("workers", [0, -2])
def test_number_of_workers_that_cannot_be_is_refused(ports: FakePorts, workers: int) -> None:
    """At least this process itself."""
    with pytest.raises(UsageError, match=f"{workers} workers; valid: 1 or more"):
        run_sweep(ports, Search(SMA, AXES), workers=workers)


def test_search_goes_through_json() -> None:
    """To a scheduler and back; what is no search is refused."""
    search = Search(SMA, AXES, "random", 7, 3, ("sharpe", "profit_krw"), "mine")

    assert search_from(search.as_dict()) == search
    assert search_from({"job": SMA.as_dict()}) == Search(SMA)
    for wrong in ({}, {"job": SMA.as_dict(), "colour": 1}, {"job": {"market": MARKET}}, {"job": 7}):
        with pytest.raises(UsageError, match="cannot be read"):
            search_from(wrong)


def test_report_counts_what_was_there_before(ports: FakePorts) -> None:
    """So that the time left is that of the rest."""
    told: list[tuple[int, int]] = []
    run_sweep(ports, Search(SMA, AXES))

    run_sweep(ports, Search(SMA, AXES), report=lambda done, total: told.append((done, total)))

    assert told == [(6, 6)]
