"""Searches cut into units of work: plain values that a process pool or a scheduler hands out in any order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import polars as pl

from tickloop.domain.backtest_inputs import Inputs, run_inputs
from tickloop.domain.backtest_job import Job, job_from
from tickloop.domain.fills import FillModel
from tickloop.domain.search_space import Setting
from tickloop.domain.strategy import OrderParams, Params, Strategy
from tickloop.domain.strategy_params import params_for
from tickloop.domain.tables import TRIAL
from tickloop.domain.trial_sweep import TickSweep, has_tick_sweep
from tickloop.domain.trials import Marks, Trial, marks_of, trial_of
from tickloop.domain.window import Window
from tickloop.errors import DataError, UsageError
from tickloop.services.backtest_run import chosen_by, fill_model_of, read_inputs
from tickloop.services.steps import StepPorts
from tickloop.services.strategies import strategy_named
from tickloop.services.trials import digest_of, rows_of, trials_of


@dataclass(frozen=True)
class SweepUnit:
    """Some settings of one search.

    Attributes:
        sweep, config: of the rows that it writes.
        job: resolved by `resolved`, as `Job.as_dict` gives it.
        inputs: digest of the data that the search began with.
        numbers, settings: of the trials.
    """

    sweep: str
    config: str
    job: Mapping[str, Any]
    inputs: str
    numbers: tuple[int, ...]
    settings: tuple[Setting, ...]

    def as_dict(self) -> dict[str, Any]:
        """Give JSON-ready values that `unit_from` reads."""
        plain = {one.name: getattr(self, one.name) for one in fields(self)}
        return plain | {"job": dict(self.job), "numbers": list(self.numbers), "settings": list(self.settings)}


def unit_from(plain: Mapping[str, Any]) -> SweepUnit:
    """Read what `SweepUnit.as_dict` gave.

    Raises:
        UsageError: if it is no unit.
    """
    try:
        lists = {"numbers": tuple(plain["numbers"]), "settings": tuple(plain["settings"])}
        return SweepUnit(**{**plain, **lists})
    except (KeyError, TypeError) as exc:
        raise UsageError(f"unit {dict(plain)} cannot be read: {exc}; valid: the fields of SweepUnit") from exc


class _Parts(NamedTuple):
    strategy: Strategy
    model: FillModel
    sweep: TickSweep | None


class Runner:
    """Runs settings over inputs that were read once; it goes to another process without reading or asking anything.

    Args:
        job: resolved: parameters, budget and version are in it.
    """

    def __init__(self, job: Job, inputs: Inputs) -> None:
        self.job, self.inputs = job, inputs
        minutes = inputs.minutes
        self._marks: Marks = marks_of(minutes.ts_ms, minutes.close, job.window)
        self._code = code_of(job.strategy)
        self._found: _Parts | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_found": None}  # a strategy of a file cannot be pickled: each process loads its own

    def between(self, window: Window) -> Runner:
        """Give the same for a part of the window: with what was read and found, and the costs at the part's start."""
        part = Runner(replace(self.job, window=window), self.inputs.between(window.start_ms, window.end_ms))
        part._found = self._parts()
        return part

    @property
    def strategy(self) -> Strategy:
        return self._parts().strategy

    @property
    def model(self) -> FillModel:
        return self._parts().model

    @property
    def cash(self) -> float:
        assert self.job.budget is not None
        return self.job.budget

    def params(self, setting: Setting) -> OrderParams:
        """Give the job's parameters with a setting over them.

        Raises:
            UsageError: if a value is out of range or does not go with the others.
        """
        job = self.job
        return params_for(self.strategy, job.market, job.window.start_ms, job.preset, {**job.values, **setting})

    def run(self, number: int, setting: Setting) -> Trial:
        """Run one setting by itself.

        Raises:
            StrategyError, UsageError: as `run_inputs`.
        """
        params = self.params(setting)
        book = run_inputs(self.inputs, self.strategy, params, self.model, self.cash)
        return trial_of(number, setting, book, params, self._marks, self.cash)

    def run_all(self, numbers: Sequence[int], settings: Sequence[Setting]) -> list[Trial]:
        """Run settings, all at once where that is faster: what comes out of one does not depend on the others.

        Raises: as `run`.
        """
        sweep = self._parts().sweep
        if sweep is None or not settings:
            return [self.run(number, one) for number, one in zip(numbers, settings, strict=True)]
        return sweep.run(numbers, settings, [cast("Params", self.params(one)) for one in settings])

    def rows(self, unit: SweepUnit, trials: Sequence[Trial]) -> pl.DataFrame:
        """Give the rows of trials of a unit."""
        job = self.job
        setting = [self.digest(one.setting) for one in trials]
        names = {"sweep": unit.sweep, "config": unit.config, "strategy": job.strategy, "setting": setting}
        return rows_of(trials, job.market, job.window, **names)

    def digest(self, setting: Setting) -> str:
        """Give the digest of all that decides the figures of a setting but the data."""
        job = self.job
        return digest_of(
            {
                "strategy": job.strategy.rpartition(":")[2],
                "code": self._code,
                "params": self.params(setting)._asdict(),
                "mode": job.mode,
                "version": job.version,
                "fills": [self.model.name, self.model.latency_ms] if job.mode == "ticks" else None,
                "budget": job.budget,
            }
        )

    def _parts(self) -> _Parts:
        if self._found is None:
            strategy, model = strategy_named(self.job.strategy), fill_model_of(self.job)
            can_sweep = has_tick_sweep(self.inputs, strategy, model)
            sweep = TickSweep(self.inputs, model, self._marks, self.cash) if can_sweep else None
            self._found = _Parts(strategy, model, sweep)
        return self._found


def runner_for(ports: StepPorts, job: Job) -> Runner:
    """Read a job's inputs once, and put into the job what the home decides, so that nobody has to ask it again.

    Raises:
        UsageError, DataError, NotEnoughDataError: as `read_inputs`; and DataError for ticks of an invented path, whose
            profits are none.
    """
    chosen = chosen_by(ports, job)
    inputs = read_inputs(ports, job)
    if inputs.tape is not None and inputs.path == "invented":
        raise DataError(
            f"the trades of {job.market} in {job.window} were made from candles, so that no profit from tick to tick is"
            " one to search for; valid: --mode bars, or trades of an exchange"
        )
    values = {name: getattr(chosen.params, name) for name in chosen.strategy.space}
    return Runner(replace(job, values=values, budget=chosen.cash, version=inputs.version), inputs)


def units_of(first: SweepUnit, settings: Sequence[tuple[int, Setting]], size: int) -> Iterator[SweepUnit]:
    """Cut settings into units.

    Args:
        first: a unit of the same search.
        settings: with their numbers.
        size: settings of a unit, at most.
    """
    for start in range(0, len(settings), size):
        part = settings[start : start + size]
        yield replace(first, numbers=tuple(number for number, _ in part), settings=tuple(one for _, one in part))


def run_sweep_unit(ports: StepPorts, unit: SweepUnit) -> dict[str, Any]:
    """Run the settings of a unit that have no row yet, and write theirs: a unit that was run before changes nothing.

    Raises:
        DataError: if the data are not those that the search began with.
        UsageError, StrategyError, NotEnoughDataError: as `runner_for` and `Runner.run`.
    """
    job = job_from(unit.job)
    there = {one.number for one in trials_of(ports, unit.sweep, unit.config, job.market, job.window)}
    missing = [(number, one) for number, one in zip(unit.numbers, unit.settings, strict=True) if number not in there]
    if missing:
        runner = runner_for(ports, job)
        if digest_of_inputs(runner.inputs) != unit.inputs:
            raise DataError(
                f"the data of {job.market} in {job.window} have changed since sweep {unit.sweep!r} began; valid: the"
                " search once more, from its beginning"
            )
        numbers, settings = zip(*missing, strict=True)
        ports.warehouse.upsert(TRIAL, runner.rows(unit, runner.run_all(numbers, settings)))
    return {"sweep": unit.sweep, "trials": len(missing), "known": len(unit.numbers) - len(missing)}


def digest_of_inputs(inputs: Inputs) -> str:
    """Give 16 hexadecimal digits that differ for inputs that differ."""
    digest = hashlib.blake2b(digest_size=8)
    for part in _parts_of(inputs):
        digest.update(part)
    return digest.hexdigest()


def code_of(strategy: str) -> str:
    """Give the digest of a strategy's file; empty for one that is installed."""
    path, colon, _ = strategy.rpartition(":")
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16] if colon else ""


def _parts_of(value: Any) -> Iterable[bytes | memoryview]:
    if isinstance(value, np.ndarray):
        yield f"{value.dtype}{value.shape}".encode()
        yield np.ascontiguousarray(value).data.cast("B") if value.size else b""
    elif is_dataclass(value):
        for one in fields(value):
            yield one.name.encode()
            yield from _parts_of(getattr(value, one.name))
    elif isinstance(value, tuple):
        for part in value:
            yield from _parts_of(part)
    else:
        yield repr(value).encode()
