"""A search of the settings of a strategy: what it is to try, and what the best of all that was tried is worth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from tickloop.domain.backtest_inputs import result_for
from tickloop.domain.backtest_result import BacktestResult
from tickloop.domain.heatmap import HeatMap, heat_maps
from tickloop.domain.judgement import Judgement
from tickloop.domain.search import Search
from tickloop.domain.search_space import (
    SearchSpace,
    Setting,
    goes_together,
    grid_settings,
    random_settings,
    search_space,
)
from tickloop.domain.trials import OBJECTIVES, Trial, best_first, matrix_of, pareto_front
from tickloop.errors import UsageError
from tickloop.services.backtest_run import name_of
from tickloop.services.honesty import judged
from tickloop.services.steps import StepPorts
from tickloop.services.sweep_units import Runner, SweepUnit, code_of, digest_of_inputs, runner_for, units_of
from tickloop.services.trials import digest_of, trials_of, trials_so_far

SHOWN = 10


@dataclass(frozen=True)
class Plan:
    """A search with its inputs read.

    Attributes:
        unit: one without settings, of which all others are made.
        settings: those of a grid or random search, by number; None for one that learns.
    """

    search: Search
    runner: Runner
    space: SearchSpace
    unit: SweepUnit
    settings: list[Setting] | None

    def trials(self, ports: StepPorts) -> list[Trial]:
        """Give what was tried so far, by number."""
        job = self.runner.job
        return trials_of(ports, self.unit.sweep, self.unit.config, job.market, job.window)

    def missing(self, ports: StepPorts) -> list[tuple[int, Setting]]:
        """Give the settings of a grid or random search that were not tried yet, with their numbers."""
        there = {one.number for one in self.trials(ports)}
        return [(number, one) for number, one in enumerate(self.settings or ()) if number not in there]


@dataclass(frozen=True)
class Sweep:
    """What a search has found.

    Attributes:
        best: the best trials, at most SHOWN; `front`: those that no other beats in every objective, at most SHOWN.
        result, judgement: of the best one, run once more.
        trials_so_far: settings tried on this market and overlapping windows by all searches, these included.
    """

    plan: Plan
    trials: list[Trial]
    best: list[Trial]
    front: list[Trial]
    result: BacktestResult
    judgement: Judgement
    trials_so_far: int
    heat_maps: list[HeatMap]

    def as_dict(self) -> dict[str, Any]:
        """Give JSON-ready values."""
        search, job = self.plan.search, self.plan.runner.job
        return {
            "verdict": self.judgement.verdict.text,
            "sweep": self.plan.unit.sweep,
            "job": job.as_dict() | {"window": str(job.window)},
            "method": search.method,
            "seed": search.seed,
            "objectives": list(search.objectives),
            "space": self.plan.space.as_dict(),
            "trials": len(self.trials),
            "trials_so_far": self.trials_so_far,
            "best": [_shown(one) for one in self.best],
            "pareto_front": [_shown(one) for one in self.front] if len(search.objectives) > 1 else None,
            "result": self.result.summary(),
            "judgement": self.judgement.as_dict(),
            "heat_maps": [one.as_dict() for one in self.heat_maps],
        }


def plan_of(ports: StepPorts, search: Search) -> Plan:
    """Read the inputs of a search once and list what it is to try; nothing is run.

    Raises:
        UsageError: for a name that is not known, a value that is out of range, or a name that another search has.
        DataError, NotEnoughDataError: as `runner_for`.
    """
    runner = runner_for(ports, search.job)
    strategy = runner.strategy
    space = search_space(strategy, search.axes)
    is_taken = goes_together(strategy, runner.params({}))
    settings = None
    if search.method == "grid":
        space = space.gridded(search.trials)
        settings = grid_settings(space, is_taken)
    elif search.method == "random":
        settings = random_settings(space, is_taken, search.trials, search.seed)
    inputs = digest_of_inputs(runner.inputs)
    config = digest_of(_config(search, runner, space) | {"inputs": inputs})
    unit = SweepUnit(search.name or f"sweep-{config[:12]}", config, runner.job.as_dict(), inputs, (), ())
    plan = Plan(search, runner, space, unit, settings)
    plan.trials(ports)  # refuses a name that another search has
    return plan


def pinned(ports: StepPorts, search: Search) -> Search:
    """Put into a search what the home decides now, such as who is champion, so that every unit means the same.

    Raises: as `plan_of`, for what can be told before the settings are listed.
    """
    return replace(search, job=runner_for(ports, search.job).job)


def sweep_units(ports: StepPorts, search: Search, most: int, least: int = 1) -> list[SweepUnit]:
    """Give what a scheduler is to run of a search; no unit when all is there.

    Args:
        most: units, at most.
        least: settings of a unit, but for the last: each reads the inputs once.

    Raises:
        UsageError: for a method whose settings follow from what others have made; and as `plan_of`.
    """
    if search.method == "tpe":
        raise UsageError("method 'tpe' learns from each batch and cannot be cut into units; valid: grid, random")
    plan = plan_of(ports, search)
    missing = plan.missing(ports)
    return list(units_of(plan.unit, missing, max(least, -(-len(missing) // most))))


def judged_sweep(ports: StepPorts, plan: Plan) -> Sweep:
    """Judge the best of what was tried.

    Raises:
        NotEnoughDataError: if nothing was.
    """
    trials = plan.trials(ports)
    if not trials:
        raise UsageError(f"sweep {plan.unit.sweep!r} has no trial; valid: one that was run")
    runner, objectives = plan.runner, plan.search.objectives
    ordered = best_first(trials, objectives)
    job, params = runner.job, runner.params(ordered[0].setting)
    result = result_for(runner.inputs, runner.strategy, params, runner.model, runner.cash, name_of(job))
    so_far = trials_so_far(ports, job.market, job.window)
    judgement = judged(
        runner.inputs,
        runner.strategy,
        params,
        runner.model,
        runner.cash,
        result,
        trials=so_far,
        matrix=matrix_of(trials),
        seed=plan.search.seed,
    )
    first = objectives[0]
    return Sweep(
        plan=plan,
        trials=trials,
        best=ordered[:SHOWN],
        front=pareto_front(trials, objectives)[:SHOWN],
        result=result,
        judgement=judgement,
        trials_so_far=so_far,
        heat_maps=heat_maps(trials, first, OBJECTIVES[first]),
    )


def _config(search: Search, runner: Runner, space: SearchSpace) -> dict[str, Any]:
    """Give what decides the settings of a search and their figures, by number.

    A random search can be made longer and goes on where it was; only one that learns follows from what it is for.
    """
    does_learn = search.method == "tpe"
    return {
        "job": runner.job.as_dict(),
        "code": code_of(runner.job.strategy),
        "space": list(space.as_dict().items()),
        "method": search.method,
        "seed": None if search.method == "grid" else search.seed,
        "objectives": list(search.objectives) if does_learn else None,
        "trials": search.trials if does_learn else None,
    }


def _shown(trial: Trial) -> dict[str, Any]:
    return {"number": trial.number, "setting": trial.setting, **trial.figures._asdict()}
