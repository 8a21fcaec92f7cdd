"""Run what a search has not tried yet: on several processes, and in batches where it learns from what it has tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tickloop.domain.search import Search
from tickloop.domain.search_space import SearchSpace, Setting, goes_together
from tickloop.domain.tables import TRIAL
from tickloop.domain.trials import Trial, merits
from tickloop.errors import UsageError
from tickloop.ports.search import Sampler
from tickloop.services.pool import Pool
from tickloop.services.shared import opened, shared
from tickloop.services.steps import StepPorts
from tickloop.services.sweep import Plan, Sweep, judged_sweep, plan_of
from tickloop.services.sweep_units import Runner, SweepUnit, units_of

Report = Callable[[int, int], None]
"""(trials done, trials wanted); called from the process that asked."""

SamplerOf = Callable[[SearchSpace, int, int], Sampler]
"""(space, number of objectives, seed) -> sampler."""

BATCH = 16
"""Settings that a search which learns asks for at once: the same with any number of workers, or they would differ."""

UNIT = 32
"""Settings of a unit at most: what is lost when a run is killed, and how often rows are written."""

_IN_VAIN = 200
"""Proposals in a row that are known or cannot be run, after which a search that learns has seen what there is."""


def run_sweep(
    ports: StepPorts,
    search: Search,
    *,
    workers: int = 1,
    sampler_of: SamplerOf | None = None,
    report: Report = lambda _done, _total: None,
) -> Sweep:
    """Run what a search has not tried yet, and judge its best; run again it goes on where it was.

    Args:
        workers: processes; what comes out does not depend on it.
        sampler_of: needed by the method `tpe`.

    Raises:
        UsageError, DataError, NotEnoughDataError: before anything is run, as `plan_of`.
        StrategyError: if the strategy raises or answers what cannot be done.
        WorkerDiedError: if a worker was ended; the trials that were through are kept.
    """
    if workers < 1:
        raise UsageError(f"{workers} workers; valid: 1 or more")
    plan = plan_of(ports, search)
    if plan.settings is not None:
        _run_listed(ports, plan, workers, report)
    elif sampler_of is None:
        raise UsageError(f"method {search.method!r} proposes one batch after the other here; valid: grid, random")
    else:
        _run_learning(ports, plan, workers, sampler_of(plan.space, len(search.objectives), search.seed), report)
    return judged_sweep(ports, plan)


def _run_listed(ports: StepPorts, plan: Plan, workers: int, report: Report) -> None:
    missing, total = plan.missing(ports), len(plan.settings or ())
    done = total - len(missing)
    report(done, total)
    units = list(units_of(plan.unit, missing, max(1, min(UNIT, len(missing) // (4 * workers)))))
    with _pool(plan.runner, min(workers, max(len(units), 1))) as pool:
        for unit, trials in pool.each(units):
            ports.warehouse.upsert(TRIAL, plan.runner.rows(unit, trials))
            done += len(trials)
            report(done, total)


def _run_learning(ports: StepPorts, plan: Plan, workers: int, sampler: Sampler, report: Report) -> None:
    wanted, objectives = plan.search.trials, plan.search.objectives
    known = {one.number: one for one in plan.trials(ports)}
    asked = _Dialogue(plan, sampler)
    with _pool(plan.runner, workers) as pool:
        while asked.count < wanted and not asked.is_through:
            report(asked.count, wanted)
            batch = asked.batch(min(BATCH, wanted - asked.count))
            _check_same(plan, batch, known)
            missing = [(number, one) for number, one in batch if number not in known]
            for unit, trials in pool.each(units_of(plan.unit, missing, max(1, len(missing) // workers))):
                ports.warehouse.upsert(TRIAL, plan.runner.rows(unit, trials))
                known |= {one.number: one for one in trials}
            asked.answer(known, objectives)
    report(wanted, wanted)


def _check_same(plan: Plan, batch: Sequence[tuple[int, Setting]], known: dict[int, Trial]) -> None:
    for number, setting in batch:
        if number in known and known[number].setting != setting:
            raise UsageError(
                f"trial {number} of sweep {plan.unit.sweep!r} is {known[number].setting}, and this sampler proposes"
                f" {setting}: another version of it began the search; valid: that version, or another name"
            )


class _Dialogue:
    """What a sampler is asked and told: a batch is answered whole, in the order in which it was asked for.

    A setting that was tried before is answered again and takes no number.
    """

    def __init__(self, plan: Plan, sampler: Sampler) -> None:
        self._sampler = sampler
        self._is_taken = goes_together(plan.runner.strategy, plan.runner.params({}))
        self._numbers: dict[tuple[float, ...], int] = {}
        self._open: list[tuple[int, int]] = []
        self._in_vain = 0

    @property
    def count(self) -> int:
        """Give how many settings there are numbers for."""
        return len(self._numbers)

    @property
    def is_through(self) -> bool:
        """Tell whether so much was proposed in vain that there is no more to try."""
        return self._in_vain >= _IN_VAIN

    def batch(self, size: int) -> list[tuple[int, Setting]]:
        """Ask so many times; give the new settings with their numbers."""
        found = []
        for _ in range(size):
            place, setting = self._sampler.ask()
            key = tuple(setting.values())
            is_new = key not in self._numbers
            if not self._is_taken(setting):
                self._sampler.tell(place, None)
                self._in_vain += 1
                continue
            number = self._numbers.setdefault(key, self.count)
            self._open.append((place, number))
            self._in_vain = 0 if is_new else self._in_vain + 1
            if is_new:
                found.append((number, setting))
        return found

    def answer(self, known: dict[int, Trial], objectives: Sequence[str]) -> None:
        """Tell what the settings of the batch are worth."""
        table = merits([known[number] for _, number in self._open], objectives)
        for (place, _), row in zip(self._open, table, strict=True):
            self._sampler.tell(place, row.tolist())
        self._open = []


_held: list[Runner] = []
"""The runner of this worker process."""


@contextmanager
def _pool(runner: Runner, workers: int) -> Iterator[Pool[SweepUnit, list[Trial]]]:
    """Give a pool whose processes share the inputs."""
    if workers == 1:
        here: Pool[SweepUnit, list[Trial]] = Pool(lambda unit: _run(runner, unit), 1)
        with here as pool:
            yield pool
        return
    runner.run_all([0], [{}])  # compiles, and meets a strategy that is wrong, once and not in every process
    with shared(runner) as folder, Pool(_run_here, workers, _hold, folder) as pool:
        yield pool


def _hold(folder: Path) -> None:
    _held[:] = [opened(folder)]


def _run_here(unit: SweepUnit) -> list[Trial]:
    return _run(_held[0], unit)


def _run(runner: Runner, unit: SweepUnit) -> list[Trial]:
    return runner.run_all(unit.numbers, unit.settings)
