"""Walk a strategy forward over a window: choose on each train part, trade the test part, judge what was traded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

import numpy as np
import polars as pl

from tickloop.domain.backtest_job import Job
from tickloop.domain.figures import Floats
from tickloop.domain.folds import Fold, Plan, folds_of
from tickloop.domain.judgement import Probes, judge
from tickloop.domain.search import Search
from tickloop.domain.search_space import Setting, goes_together, grid_settings, random_settings, search_space
from tickloop.domain.sensitivity import Sensitivity, sensitivity_of
from tickloop.domain.strategy import OrderParams
from tickloop.domain.strategy_params import params_for
from tickloop.domain.tables import TRIAL
from tickloop.domain.trials import Trial
from tickloop.domain.walkforward import (
    FoldRun,
    Subject,
    known_over,
    profit_again,
    run_fold,
    stitched_track,
    stitched_trial,
)
from tickloop.domain.walkforward_result import WalkForward, tested
from tickloop.domain.window import Window
from tickloop.errors import UsageError
from tickloop.services.backtest_run import check_budget, name_of
from tickloop.services.honesty import check_permutations, signal_of, signal_probe
from tickloop.services.steps import StepPorts
from tickloop.services.sweep_units import Runner, SweepUnit, code_of, digest_of_inputs, runner_for
from tickloop.services.trials import TrialPorts, digest_of, rows_of, trials_so_far

Report = Callable[[int, int], None]
"""(folds done, folds wanted)."""

_NAME = "walkforward-"
_TRAIN = "-train"
"""Ends of the names under which trials are kept: one for what was traded, one for what was tried on train parts."""


def run_walkforward(
    ports: StepPorts,
    search: Search,
    plan: Plan,
    *,
    permutations: int | None = None,
    report: Report = lambda _done, _total: None,
) -> WalkForward:
    """Read a search's window, and walk forward over it.

    Args: as `walk`.

    Raises:
        UsageError: for a plan without room, a method that learns, or as `runner_for`; before anything is run.
        DataError: as `read_inputs`: minutes not settled, forecasts that have seen the window, or made-up ticks.
        NotEnoughDataError, StrategyError: as `walk`.
    """
    folds_of(search.job.window, plan)
    check_permutations(permutations)
    if search.method == "tpe":
        raise UsageError("method 'tpe' learns from one train part and starts anew at the next; valid: grid, random")
    return walk(ports, runner_for(ports, search.job), search, plan, permutations=permutations, report=report)


def walk(
    ports: TrialPorts,
    runner: Runner,
    search: Search,
    plan: Plan,
    *,
    permutations: int | None = None,
    report: Report = lambda _done, _total: None,
) -> WalkForward:
    """Walk forward, keep every trial, and judge what the test parts made together.

    Args:
        runner: of the search's job, with its inputs read.
        search: what is tried on each train part: the same settings on each.
        permutations: of the forecasts, as `honesty.judged` takes them.

    Raises:
        UsageError: for a setting that cannot be run.
        NotEnoughDataError: if a train part, or all of the test parts, have no price.
        StrategyError: if the strategy raises or answers what cannot be done.
    """
    settings = settings_of(runner, search)
    folds, subject = folds_of(search.job.window, plan), subject_of(runner)
    for setting in settings:
        check_budget(subject.params_of(folds[0].train, setting), subject.cash)
    search = replace(search, job=runner.job)
    unit = _unit(runner, search, plan)
    runs = _walked(ports, runner, subject, folds, settings, search.objectives, unit, report)
    track, span = stitched_track(subject, runs), tested(runs)
    _keep(ports, search.job, unit, stitched_trial(track, runs, span), span)
    attempts, matrix = attempts_so_far(ports, search.job.market, span)
    probes = _probes(subject, runs, permutations)
    judgement = judge(track, trials=attempts, matrix=matrix, probes=probes, seed=search.seed)
    so_far = trials_so_far(ports, search.job.market, search.job.window)
    name = name_of(search.job)
    return WalkForward(unit.sweep, search, name, plan, tuple(runs), track, judgement, len(settings), attempts, so_far)


def settings_of(runner: Runner, search: Search) -> list[Setting]:
    """Give what is tried on each train part.

    Raises:
        UsageError: as `search_space`, `grid_settings` and `random_settings`.
    """
    space = search_space(runner.strategy, search.axes)
    is_taken = goes_together(runner.strategy, runner.params({}))
    if search.method == "grid":
        return grid_settings(space.gridded(search.trials), is_taken)
    return random_settings(space, is_taken, search.trials, search.seed)


def attempts_so_far(ports: TrialPorts, market: str, span: Window) -> tuple[int, Floats | None]:
    """Count the walk-forwards that traded times which overlap a span: the best of many is chosen, too.

    Returns:
        How many, and their profits (parts, attempts) where all of them traded the same span, else None.
    """
    rows = ports.warehouse.read(TRIAL, market, Window(0, span.end_ms)).filter(
        pl.col("window_end") > span.start,
        pl.col("sweep").str.starts_with(_NAME) & ~pl.col("sweep").str.ends_with(_TRAIN),
    )
    rows = rows.unique("setting", maintain_order=True)
    is_same = rows.select(((pl.col("window_start") == span.start) & (pl.col("window_end") == span.end)).all()).item()
    if not is_same or rows.height < 2:
        return rows.height, None
    return rows.height, np.stack([np.frombuffer(profits, "<f8") for profits in rows["profits"]], axis=1)


def _unit(runner: Runner, search: Search, plan: Plan) -> SweepUnit:
    """Give the names under which the trials are kept: they follow from all that decides what comes out."""
    inputs, code = digest_of_inputs(runner.inputs), code_of(search.job.strategy)
    config = digest_of(search.as_dict() | {"plan": asdict(plan), "inputs": inputs, "code": code})
    return SweepUnit(f"{_NAME}{config[:12]}", config, search.job.as_dict(), inputs, (), ())


def subject_of(runner: Runner) -> Subject:
    """Give what is walked forward of a runner's inputs."""
    job, strategy = runner.job, runner.strategy

    def params_of(window: Window, setting: Setting) -> OrderParams:
        return params_for(strategy, job.market, window.start_ms, job.preset, {**job.values, **setting})

    return Subject(runner.inputs, strategy, params_of, runner.model, runner.cash)


def _walked(
    ports: TrialPorts,
    runner: Runner,
    subject: Subject,
    folds: Sequence[Fold],
    settings: Sequence[Setting],
    objectives: Sequence[str],
    unit: SweepUnit,
    report: Report,
) -> list[FoldRun]:
    unit = replace(unit, sweep=unit.sweep + _TRAIN)
    runs: list[FoldRun] = []
    cash = subject.cash
    report(0, len(folds))
    for fold in folds:
        part = runner.between(fold.train)
        first = fold.number * len(settings)  # anchored train parts share their start, and so the key of their rows
        trials = [part.run(first + place, setting) for place, setting in enumerate(settings)]
        ports.warehouse.upsert(TRIAL, part.rows(unit, trials))
        runs.append(run_fold(subject, fold, trials, objectives, cash))
        cash = runs[-1].cash_after
        report(fold.number + 1, len(folds))
    return runs


def _keep(ports: TrialPorts, job: Job, unit: SweepUnit, trial: Trial, span: Window) -> None:
    names = {"sweep": unit.sweep, "config": unit.config, "strategy": job.strategy, "setting": [unit.config[:16]]}
    ports.warehouse.upsert(TRIAL, rows_of([trial], job.market, span, **names))


def _probes(subject: Subject, runs: Sequence[FoldRun], permutations: int | None) -> Probes:
    def sensitivity() -> Sensitivity:
        return sensitivity_of(
            lambda fee: profit_again(subject, runs, fee_rate=fee),
            runs[0].params.fee_rate,
            None
            if subject.inputs.tape is None
            else lambda ms: profit_again(subject, runs, model=replace(subject.model, latency_ms=ms)),
        )

    signal, why = signal_probe(
        lambda known: profit_again(subject, runs, known=known),
        known_over(subject, runs),
        subject.inputs,
        subject.strategy,
        permutations,
    )
    return Probes(signal, sensitivity, (("signal", why),) if why else (), signal_of(subject.strategy))
