"""One step of one window for a scheduler that keeps its own order, and a way to catch up on all that it missed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import polars as pl

from tickloop.domain.schedule import DUE, Cadence, Calendar, Due, StepRule, due, is_settled, looks_due, missing_inputs
from tickloop.domain.window import HOUR_MS, Window
from tickloop.errors import TickloopError, WindowBusyError
from tickloop.services.chain import STEPS, parts, run_hours, step_named
from tickloop.services.run_ledger import live_since_ms, recent_runs_of, runs_over
from tickloop.services.steps import BUSY, RunResult, RunRow, StepPorts, record_runs, run_step

_SHOWN = 3  # of the inputs that are missing


class Wish(NamedTuple):
    """How much a scheduler leaves to the run ledger.

    Attributes:
        is_repeated: run also what is done and up to date, as a person who asks for a window wants.
        is_ordered: wait for inputs that are not there yet; False takes what is there, as `tickloop run` does.
    """

    is_repeated: bool
    is_ordered: bool


def run_due_step(ports: StepPorts, step_name: str, market: str, window: Window, wish: Wish) -> list[RunResult]:
    """Run one step for a window, a slot step for each slot of it; give nothing when none of it is due.

    What verify fetches comes down the chain at once, so that the bars after it are made of all that there is.

    Raises:
        WindowBusyError: if another runner holds the window, or an input is not there yet; call again later.
        WindowError: as `run_step`; for a slot step also if no whole slot lies in the window.
        TickloopError: what the step raised, after it was recorded as failed.
    """
    step = step_named(step_name)
    results: list[RunResult] = []
    for part in parts(step, window, ports.training.slot_hours):
        if not _is_wanted(ports, Due(step_name, market, part), wish):
            continue
        if step.cadence is Cadence.HOUR:
            results += run_hours(ports, market, part, last=step_name, first=step_name)
        else:
            results.append(run_step(ports, step, market, part))
        if results[-1].state == BUSY:
            raise WindowBusyError(f"{results[-1].step} {market} {part} is held by another runner")
    return results


def has_features(ports: StepPorts, market: str, slot: Window) -> bool:
    """Tell whether all is there that the first step of a slot needs of a market."""
    first = next(step for step in STEPS if step.cadence is Cadence.SLOT)
    item = Due(first.name, market, slot)
    return not missing_inputs(*_ledger_of(ports, item))


def _ledger_of(ports: StepPorts, item: Due) -> tuple[pl.DataFrame, Sequence[StepRule], Due, Calendar]:
    # An hour of features looks back into the hour before it.
    window = Window(max(0, item.window.start_ms - HOUR_MS), item.window.end_ms)
    runs = runs_over(ports.warehouse, item.market, window)
    return runs, STEPS, item, Calendar(ports.clock.now_ms(), live_since_ms(runs), ports.training.slot_hours)


def _is_wanted(ports: StepPorts, item: Due, wish: Wish) -> bool:
    if wish.is_repeated and not wish.is_ordered:
        return True
    ledger = _ledger_of(ports, item)
    if not wish.is_repeated and is_settled(*ledger):
        return False
    missing = missing_inputs(*ledger) if wish.is_ordered else []
    if missing:
        names = ", ".join(f"{one.step} {one.window}" for one in missing[:_SHOWN])
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise WindowBusyError(f"{item.step} {item.market} {item.window} waits for {names}{more}")
    return True


class Caught(NamedTuple):
    """What `catch_up` did: the runs that were done, and the message of each that failed."""

    done: list[RunResult]
    failures: list[str]


def catch_up(ports: StepPorts, market: str, cadence: Cadence) -> Caught:
    """Run all steps of one cadence that are due for one market, in order, until none is.

    Due is what was missed, was marked, failed before or has a newer input. Windows that another runner holds are left
    to it; a step that fails does not stop those that do not need it.
    """
    caught = Caught([], [])
    while items := [item for item in _due(ports, market) if step_named(item.step).cadence is cadence]:
        done = [result for item in items if (result := _try(ports, item, caught.failures)) is not None]
        caught.done.extend(done)
        if not done:
            break
    return caught


def _due(ports: StepPorts, market: str) -> list[Due]:
    now_ms, slot_hours = ports.clock.now_ms(), ports.training.slot_hours
    runs, since_ms = recent_runs_of(ports.warehouse, market, now_ms, slot_hours)
    if looks := looks_due(runs, now_ms):
        record_runs(ports, [RunRow(one.step, one.market, one.window, DUE, {"looks": one.looks}) for one in looks])
        runs, since_ms = recent_runs_of(ports.warehouse, market, now_ms, slot_hours)
    # A history that ended before these rows begin leaves nothing but live hours in sight.
    calendar = Calendar(now_ms, max(live_since_ms(runs), since_ms), slot_hours, since_ms)
    return due(runs, STEPS, (market,), calendar)


def _try(ports: StepPorts, item: Due, failures: list[str]) -> RunResult | None:
    try:
        result = run_step(ports, step_named(item.step), item.market, item.window)
    except TickloopError as exc:
        failures.append(f"{item.step} {item.market} {item.window}: {exc}")
        return None
    return None if result.state == BUSY else result


def shown(result: RunResult) -> dict[str, Any]:
    """Give a result as plain values."""
    return {
        "step": result.step,
        "market": result.market,
        "window": str(result.window),
        "state": result.state,
        "detail": dict(result.detail),
    }
