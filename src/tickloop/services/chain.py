"""The registry of steps: from raw events to a champion, in order. Every scheduler walks this and nothing else."""

from __future__ import annotations

from tickloop.domain.schedule import Cadence
from tickloop.domain.window import HOUR_MS, Window
from tickloop.errors import UsageError, WindowError
from tickloop.services.backtest import backtest
from tickloop.services.build_bars import bars
from tickloop.services.build_features import features
from tickloop.services.extract import extract
from tickloop.services.load import load
from tickloop.services.promote import promote
from tickloop.services.steps import RunResult, Step, StepPorts, run_step
from tickloop.services.train import train
from tickloop.services.verify import verify

_SAME = (0,)
_HOUR_BEFORE_TOO = (-1, 0)  # a feature looks back up to an hour
_LAST_HOUR = (-1,)  # of the slot: its features exist when all before them do

STEPS: tuple[Step, ...] = (
    Step(name="extract", cadence=Cadence.HOUR, run=extract),
    Step(name="load", cadence=Cadence.HOUR, after=(("extract", _SAME),), run=load),
    Step(name="verify", cadence=Cadence.HOUR, after=(("load", _SAME),), run=verify),
    Step(name="bars", cadence=Cadence.HOUR, after=(("verify", _SAME),), run=bars),
    Step(name="features", cadence=Cadence.HOUR, after=(("bars", _HOUR_BEFORE_TOO),), run=features),
    Step(name="train", cadence=Cadence.SLOT, after=(("features", _LAST_HOUR),), run=train),
    Step(name="backtest", cadence=Cadence.SLOT, after=(("train", _SAME),), run=backtest),
    Step(name="promote", cadence=Cadence.SLOT, after=(("backtest", _SAME),), run=promote),
)


def step_named(name: str) -> Step:
    """Give a step; `UsageError` lists the names when there is none of this one."""
    for step in STEPS:
        if step.name == name:
            return step
    raise UsageError(f"step {name!r} does not exist; valid: {', '.join(step.name for step in STEPS)}")


def run_window(ports: StepPorts, name: str, market: str, window: Window) -> list[RunResult]:
    """Run one step, or `all`, for a window: hour steps for the window as a whole, slot steps for each slot inside it.

    Where verify fetched missing trades, `all` takes them down the chain before it goes on to the bars.

    Raises:
        WindowError: if a slot step is asked for and no whole slot lies in the window.
        TickloopError: of the first step that fails; it is recorded, and what came before it stands.
    """
    if name != "all":
        step = step_named(name)
        return [run_step(ports, step, market, part) for part in _parts(ports, step, window)]
    results: list[RunResult] = []
    for step in STEPS:
        is_slot = step.cadence is Cadence.SLOT
        parts = _slots(ports, window) if is_slot else [window]
        results += [run_step(ports, step, market, part) for part in parts]
        if step.run is verify and results[-1].detail.get("fetched"):
            again = STEPS[: STEPS.index(step) + 1]
            results += [run_step(ports, before, market, window) for before in again]
    return results


def _parts(ports: StepPorts, step: Step, window: Window) -> list[Window]:
    if step.cadence is Cadence.HOUR:
        return [window]
    slots = _slots(ports, window)
    if not slots:
        hours = ports.training.slot_hours
        raise WindowError(
            f"no whole slot of {hours} h lies in {window}; valid: a window that starts at a multiple of it"
        )
    return slots


def _slots(ports: StepPorts, window: Window) -> list[Window]:
    slot_ms = ports.training.slot_hours * HOUR_MS
    first = -(-window.start_ms // slot_ms) * slot_ms
    return [Window(start, start + slot_ms) for start in range(first, window.end_ms - slot_ms + 1, slot_ms)]
