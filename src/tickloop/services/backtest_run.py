"""Run a back-test job: find strategy and model, read the window once and refuse what would make a number a lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import polars as pl

from tickloop.domain.backtest_inputs import Inputs, minutes_of, result_for
from tickloop.domain.backtest_job import Job
from tickloop.domain.backtest_result import BacktestResult
from tickloop.domain.fills import FILL_MODELS, FillModel
from tickloop.domain.market import MinuteState
from tickloop.domain.strategy import OrderParams, Strategy
from tickloop.domain.strategy_params import params_for
from tickloop.domain.tables import BAR_1M, FORECAST, LEDGER
from tickloop.domain.tape import BarTape, bars_of, forecast_series
from tickloop.domain.verdict import Path
from tickloop.domain.window import MINUTE_MS, Window, to_datetime
from tickloop.errors import DataError, NotEnoughDataError, UnknownMarketError, UsageError
from tickloop.ports import ModelVersion
from tickloop.services.depth import depth_of
from tickloop.services.lake_tape import read_tape
from tickloop.services.scoring import forecasts_over
from tickloop.services.steps import StepPorts
from tickloop.services.strategies import strategy_named

_SHOWN_MINUTES = 5


class Chosen(NamedTuple):
    """What a job names, found."""

    strategy: Strategy
    params: OrderParams
    model: FillModel
    cash: float


class Run(NamedTuple):
    """A job that was run, with all that went into it: a judgement or a page needs no second reading."""

    chosen: Chosen
    inputs: Inputs
    result: BacktestResult


def run_job(ports: StepPorts, job: Job) -> BacktestResult:
    """Give the result of `run_whole` alone."""
    return run_whole(ports, job).result


def run_whole(ports: StepPorts, job: Job) -> Run:
    """Run one job; nothing is stored.

    Raises:
        UsageError: for a name that is not known, or a value that is out of range.
        DataError: if minutes are not settled or (ticks) not complete, or the model has seen the window.
        NotEnoughDataError: if the window has no data.
        StrategyError: if the strategy raises or answers what cannot be done.
    """
    chosen = chosen_by(ports, job)
    check_budget(chosen.params, chosen.cash)
    inputs = _read(ports, job, chosen.strategy)
    result = result_for(inputs, chosen.strategy, chosen.params, chosen.model, chosen.cash, name_of(job))
    return Run(chosen, inputs, result)


def check_budget(params: OrderParams, cash: float) -> None:
    """Refuse a budget that does not pay a single order: what it would show is nothing, and not a profit of 0.

    Raises:
        UsageError: with the least budget that does.
    """
    least = params.order_krw * (1.0 + params.fee_rate)
    if cash < least:
        raise UsageError(
            f"budget {cash:,.0f} KRW does not pay one order of {params.order_krw:,.0f} KRW with its fee;"
            f" valid: {least:,.2f} or more, or a smaller order_krw"
        )


def chosen_by(ports: StepPorts, job: Job) -> Chosen:
    """Find what a job names.

    Raises:
        UsageError, StrategyError: naming what is not known or out of range.
    """
    strategy = strategy_named(job.strategy)
    values = dict(job.values)
    if job.strategy == "default" and ports.strategy.order_notional is not None:
        values.setdefault("order_krw", float(ports.strategy.order_notional))
    cash = float(ports.strategy.budget) if job.budget is None else job.budget
    return chosen_for(job, strategy, values, cash)


def chosen_for(job: Job, strategy: Strategy, values: Mapping[str, Any], cash: float) -> Chosen:
    """Give a strategy with the parameters of the job's preset, market and time, and these values set.

    Raises:
        UsageError: naming what is not known or out of range.
    """
    params = params_for(strategy, job.market, job.window.start_ms, job.preset, values)
    return Chosen(strategy, params, fill_model_of(job), cash)


def name_of(job: Job) -> str:
    """Give what a result calls the strategy: the preset where that is not the default one."""
    return job.strategy if job.preset == "default" else f"{job.strategy}/{job.preset}"


def read_inputs(ports: StepPorts, job: Job) -> Inputs:
    """Read what a job's window holds.

    Raises: as `run_whole`.
    """
    return _read(ports, job, strategy_named(job.strategy))


def _read(ports: StepPorts, job: Job, strategy: Strategy) -> Inputs:
    if job.market not in ports.markets:
        raise UnknownMarketError(job.market, ports.markets)
    version = version_for(ports, job, strategy)
    unknown = check_minutes(ports, job)
    forecasts = FORECAST.empty() if version is None else forecasts_over(ports, version, job.window)
    name = None if version is None else version.name
    if job.mode == "bars":
        series = forecast_series(forecasts, delay_ms=0)
        return Inputs(job.market, bars_in(ports, job.market, job.window), None, series, name, "bars", 0, unknown)
    tape = read_tape(ports.lake, job.market, job.window)
    if not len(tape.ts_ms):
        raise NotEnoughDataError(f"{job.market} has no trade in {job.window}; valid: a window with trades")
    delay_ms = ports.strategy.forecast_delay_ms
    path: Path = "invented" if ports.is_path_invented else "recorded"
    series = forecast_series(forecasts, delay_ms)
    depth = depth_of(ports, job.market, job.window) if fill_model_of(job).is_by_depth else None
    return Inputs(job.market, minutes_of(tape), tape, series, name, path, delay_ms, unknown, depth)


def bars_in(ports: StepPorts, market: str, window: Window) -> BarTape:
    """Give the settled bars of a window.

    Raises:
        NotEnoughDataError: if there is none.
    """
    rows = ports.warehouse.read(BAR_1M, market, window)
    if rows.is_empty():
        raise NotEnoughDataError(f"{market} has no bar in {window}; valid: a window whose bars are built")
    return bars_of(rows)


def fill_model_of(job: Job) -> FillModel:
    """Give the fill model that a job names, with its latency."""
    if job.fill_model not in FILL_MODELS:
        raise UsageError(f"fill model {job.fill_model!r} is not known; valid: {', '.join(FILL_MODELS)}")
    model = FILL_MODELS[job.fill_model]
    return model if job.latency_ms is None else replace(model, latency_ms=job.latency_ms)


def version_named(ports: StepPorts, market: str, name: str | None) -> ModelVersion | None:
    """Give a registered version, or the champion for None; None if there is no champion.

    Raises:
        UsageError: if no version of the market has that name.
    """
    if name is None:
        return ports.registry.champion(market)
    versions = ports.registry.versions(market)
    for version in versions:
        if version.name == name:
            return version
    known = ", ".join(version.name for version in versions) or "none"
    raise UsageError(f"model version {name!r} of {market} is not registered; valid: {known}")


def version_for(ports: StepPorts, job: Job, strategy: Strategy) -> ModelVersion | None:
    """Find the version whose forecasts a job uses; None for a strategy that uses none.

    Raises:
        UsageError: if there is none of that name, or no champion.
        DataError: if it has seen the window in training.
    """
    if not strategy.uses_forecasts:
        if job.version is not None:
            raise UsageError(f"strategy {strategy.name} uses no forecasts, and not those of {job.version}; valid: none")
        return None
    version = version_named(ports, job.market, job.version)
    if version is None:
        raise UsageError(f"{job.market} has no champion; valid: the name of a registered version")
    end_ms = int(version.params.get("train_end_ms", 0))
    if end_ms > job.window.start_ms:
        raise DataError(
            f"window {job.window} begins before {to_datetime(end_ms):%Y-%m-%dT%H:%M}, and {version.name} of"
            f" {job.market} has seen what came until then in training; valid: a window from then on, or another version"
        )
    return version


def check_minutes(ports: StepPorts, job: Job) -> int:
    """Refuse minutes that are not settled, and in tick mode those without complete trades; give how many passed."""
    ledger = ports.warehouse.read(LEDGER, job.market, job.window)
    known = ledger.filter(pl.col("state") != MinuteState.UNKNOWN.value)
    unknown = _missing(job.window, known)
    if unknown and not job.allow_unknown:
        raise DataError(
            f"{_listed(unknown)} of {job.market} in {job.window} are unknown or not settled; valid: a window of"
            " settled minutes, or --allow-unknown, which the result then says"
        )
    if job.mode == "ticks":
        candle = known.filter(pl.col("state") == MinuteState.CANDLE.value)["minute"].dt.epoch("ms").to_list()
        if candle:
            raise DataError(
                f"{_listed(candle)} of {job.market} in {job.window} have no complete trades (state candle); valid: a"
                " window of verified, repaired and no_trade minutes, or bar mode"
            )
    return len(unknown)


def _missing(window: Window, known: pl.DataFrame) -> list[int]:
    there = set(known["minute"].dt.epoch("ms"))
    return [at for at in range(window.start_ms, window.end_ms, MINUTE_MS) if at not in there]


def _listed(minutes: list[int]) -> str:
    shown = ", ".join(f"{to_datetime(at):%Y-%m-%dT%H:%M}" for at in minutes[:_SHOWN_MINUTES])
    more = f" and {len(minutes) - _SHOWN_MINUTES} more" if len(minutes) > _SHOWN_MINUTES else ""
    return f"{len(minutes)} {'minute' if len(minutes) == 1 else 'minutes'} ({shown}{more})"
