"""Judgements where the truth is known: noise is not called an edge, an edge is, and the best of many noises is not.

The seeds are fixed, so that these are facts and no chances; how often noise passes is stated and held.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from fakes import MemoryWarehouse
from honest_worlds import CASH, MARKET, RIDE, edge_world, noise_world, params, window
from tickloop.domain.backtest_inputs import Inputs, result_for, run_inputs
from tickloop.domain.backtest_job import Job
from tickloop.domain.fills import FILL_MODELS
from tickloop.domain.folds import Plan
from tickloop.domain.judgement import Judgement
from tickloop.domain.search import Search
from tickloop.domain.strategy import Params, default
from tickloop.domain.trials import Trial, marks_of, matrix_of, trial_of
from tickloop.domain.verdict import Kind
from tickloop.domain.window import DAY_MS
from tickloop.services.honesty import judged
from tickloop.services.sweep_units import Runner
from tickloop.services.walkforward import walk

MODEL = FILL_MODELS["spread"]


def judge(inputs: Inputs, setting: Params, seed: int, permutations: int = 39, **more: object) -> Judgement:
    result = result_for(inputs, default, setting, MODEL, CASH)
    return judged(inputs, default, setting, MODEL, CASH, result, seed=seed, permutations=permutations, **more)  # type: ignore[arg-type]


def test_noise_with_costs_is_never_called_more_than_luck() -> None:
    """Ten random walks of two days: every one loses its fees."""
    kinds = Counter(judge(noise_world(seed, 2), params(RIDE), seed, 0).verdict.kind for seed in range(10))

    assert set(kinds) <= {Kind.LOSS, Kind.LUCK}


def test_noise_without_costs_is_called_an_edge_less_often_than_alpha() -> None:
    """40 random walks of two days at no fee, so that the truth is 0 and not a loss; forecasts know nothing.

    Of the mean and of the signal 5 in 100 are above chance by chance, and a verdict needs both.
    """
    kinds: Counter[Kind] = Counter()
    by_mean = by_signal = 0
    for seed in range(40):
        found = judge(noise_world(seed, 2), params(RIDE, fee_rate=0.0), seed)
        kinds[found.verdict.kind] += 1
        assert found.luck is not None
        assert found.signal is not None
        by_mean += found.luck.resampled.p_mean <= 0.05
        by_signal += found.signal.p <= 0.05

    assert kinds[Kind.UNLIKELY_LUCK] == 0
    assert by_mean <= 4
    assert by_signal <= 4


def test_planted_edge_beyond_the_fees_is_called_unlikely_to_be_luck() -> None:
    """Ten of ten markets of two days, on which it would break even at about twice the fee."""
    found = [judge(edge_world(seed, 2), params(RIDE), seed) for seed in range(10)]

    assert {one.verdict.kind for one in found} == {Kind.UNLIKELY_LUCK}
    assert all(one.signal is not None and one.signal.p == 1 / 40 for one in found)
    fees = [one.sensitivity.break_even.fee_rate for one in found if one.sensitivity is not None]
    assert all(fee is not None and 1.5 < fee / 0.0005 < 3.0 for fee in fees)


def test_best_of_200_noises_is_not_called_an_edge() -> None:
    """Five searches: the best of each looks well by itself, and the deflated ratio sees through it."""
    alone: Counter[Kind] = Counter()
    searched: Counter[Kind] = Counter()
    for seed in range(5):
        trials, chosen, setting = noise_trials(seed, 200)
        best = max(trials, key=lambda one: one.figures.profit_krw)
        inputs = chosen[best.number]
        alone[judge(inputs, setting, seed, 0).verdict.kind] += 1
        searched[judge(inputs, setting, seed, 0, trials=200, matrix=matrix_of(trials)).verdict.kind] += 1

    assert searched[Kind.UNLIKELY_LUCK] == 0
    assert alone[Kind.UNLIKELY_LUCK] >= 3


def noise_trials(seed: int, count: int) -> tuple[list[Trial], list[Inputs], Params]:
    """One random walk of two days without fees, and as many forecasts that know nothing of it."""
    world, setting = noise_world(seed, 2), params(RIDE, fee_rate=0.0)
    marks = marks_of(world.bars.ts_ms, world.bars.close, window(2))
    worlds = [replace(world, forecasts=noise_world(1_000 * (seed + 1) + nth, 2).forecasts) for nth in range(count)]
    books = [run_inputs(one, default, setting, MODEL, CASH) for one in worlds]
    return [trial_of(nth, {}, book, setting, marks, CASH) for nth, book in enumerate(books)], worlds, setting


@pytest.mark.parametrize("is_anchored", [False, True])
def test_walkforward_of_an_edge_and_of_noise(is_anchored: bool) -> None:
    """Five markets each: what was chosen on the past earns on, or it is a loss."""
    kinds = {
        world: Counter(walk_kind(world, seed, is_anchored) for seed in range(5)) for world in (edge_world, noise_world)
    }

    assert kinds[edge_world] == {Kind.UNLIKELY_LUCK: 5}
    assert set(kinds[noise_world]) <= {Kind.LOSS, Kind.LUCK}


def walk_kind(world: Callable[[int, int], Inputs], seed: int, is_anchored: bool) -> Kind:
    job = Job(MARKET, window(5), values=RIDE, budget=CASH, version="made-1")
    search = Search(job, ("min_edge=0.0005:0.003:0.0005",), seed=seed)
    plan = Plan(2 * DAY_MS, DAY_MS, is_anchored=is_anchored)
    return walk(Ports(), Runner(job, world(seed, 5)), search, plan, permutations=39).judgement.verdict.kind


class Ports:
    def __init__(self) -> None:
        self.warehouse = MemoryWarehouse()
