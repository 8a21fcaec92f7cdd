"""Back-test one strategy over several markets with one purse: a job for each market, one result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tickloop.domain.backtest_inputs import Inputs, bar_fills_of
from tickloop.domain.backtest_job import Job
from tickloop.domain.backtest_purse import Leg, check_legs, run_purse_ticks
from tickloop.domain.backtest_purse_bars import run_purse_bars
from tickloop.domain.backtest_result import Setup
from tickloop.domain.backtest_shelf import Shelf
from tickloop.domain.purse_meter import PurseMeter
from tickloop.domain.purse_result import PurseResult, purse_result_of
from tickloop.domain.strategy_bars import signal_series
from tickloop.domain.tape import ForecastSeries
from tickloop.errors import UsageError
from tickloop.services.backtest_run import Chosen, check_budget, chosen_by, name_of, read_inputs
from tickloop.services.steps import StepPorts

_SHARED = ("window", "strategy", "preset", "mode", "fill_model", "latency_ms", "budget", "allow_unknown")


def run_purse(ports: StepPorts, jobs: Sequence[Job]) -> PurseResult:
    """Run jobs that differ in market, model version and values of parameters, with one purse; nothing is stored.

    What they read is held at once; `stream_purse` does the same for trades of any span, some hours at a time.

    Args:
        jobs: in the order in which trades of one millisecond, and bars of one minute, are taken.

    Raises:
        UsageError: if they differ in something else or a market comes twice, or as `run_job`.
        DataError, NotEnoughDataError, StrategyError: as `run_job`.
    """
    chosen, legs = chosen_for_all(ports, jobs)
    inputs = [read_inputs(ports, job) for job in jobs]
    shelf = _replay(chosen, legs, inputs)
    meter = PurseMeter(legs, chosen.cash)
    meter.note(shelf, [one.bars for one in inputs])
    versions = [one.version for one in inputs]
    extra: dict[str, Any] = {
        "forecasts": sum(len(one.forecasts.minute_ms) for one in inputs),
        "unknown_minutes": sum(one.unknown_minutes for one in inputs),
    }
    if jobs[0].mode == "ticks":
        extra["trades_on_tape"] = sum(len(one.tape.ts_ms) for one in inputs if one.tape is not None)
    is_path_invented = any(one.path != "recorded" for one in inputs)
    return purse_result_of(shelf, legs, setup_of(jobs[0], chosen, versions, is_path_invented), meter, extra)


def chosen_for_all(ports: StepPorts, jobs: Sequence[Job]) -> tuple[Chosen, list[Leg]]:
    """Find what the jobs name: what they share, and each market with its parameters.

    Raises:
        UsageError, StrategyError: as `run_purse`.
    """
    if not jobs:
        raise UsageError("no job is given; valid: one for each market")
    for name in _SHARED:
        values = [getattr(job, name) for job in jobs]
        if any(value != values[0] for value in values):
            shown = ", ".join(dict.fromkeys(str(value) for value in values))
            raise UsageError(f"{name} differs between markets that share a purse: {shown}; valid: one for all of them")
    chosen = [chosen_by(ports, job) for job in jobs]
    legs = [Leg(job.market, one.params) for job, one in zip(jobs, chosen, strict=True)]
    check_legs(legs)
    for one in chosen:
        check_budget(one.params, one.cash)
    return chosen[0], legs


def setup_of(job: Job, chosen: Chosen, versions: Sequence[str | None], is_path_invented: bool) -> Setup:
    """Give what the run of several jobs is labelled with, `job` being one of them."""
    fills = chosen.model if job.mode == "ticks" else bar_fills_of(chosen.strategy)
    named = [version for version in versions if version is not None]
    return Setup(
        market=job.market,
        strategy=name_of(job),
        model_version=",".join(named) or None,
        mode=job.mode,
        is_path_invented=is_path_invented,
        fill_model=fills.name,
        latency_ms=fills.latency_ms,
        budget=chosen.cash,
        params=chosen.params,
        caveat=fills.caveat,
    )


def _replay(chosen: Chosen, legs: Sequence[Leg], inputs: Sequence[Inputs]) -> Shelf:
    tapes = [one.tape for one in inputs if one.tape is not None]
    if not tapes:
        bars, forecasts = [one.bars for one in inputs], [one.forecasts for one in inputs]
        return run_purse_bars(legs, bars, forecasts, chosen.cash, strategy=chosen.strategy)
    series = [_series(chosen, leg, one) for leg, one in zip(legs, inputs, strict=True)]
    depths = [one.depth for one in inputs if one.depth is not None]
    return run_purse_ticks(
        legs, tapes, series, chosen.model, chosen.cash, strategy=chosen.strategy, depths=depths or None
    )


def _series(chosen: Chosen, leg: Leg, inputs: Inputs) -> ForecastSeries:
    if chosen.strategy.signal is None:
        return inputs.forecasts
    return signal_series(chosen.strategy, leg.params, inputs.bars, inputs.delay_ms)
