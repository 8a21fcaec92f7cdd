"""The registry of steps: from raw events to a champion, in order. Every scheduler walks this and nothing else."""

from __future__ import annotations

from tickloop.domain.schedule import Cadence
from tickloop.domain.window import Window, slots_in
from tickloop.errors import UsageError, WindowError
from tickloop.services.backtest import backtest
from tickloop.services.build_bars import bars
from tickloop.services.build_features import features
from tickloop.services.extract import extract
from tickloop.services.load import load
from tickloop.services.promote import promote
from tickloop.services.steps import BUSY, RunResult, Step, StepPorts, run_step
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


COLLECTED_STEPS = STEPS[:4]
"""What is run for markets that are only collected: up to their bars, labelled in the ledger."""


def step_named(name: str) -> Step:
    """Give a step; `UsageError` lists the names when there is none of this one."""
    for step in STEPS:
        if step.name == name:
            return step
    raise UsageError(f"step {name!r} does not exist; valid: {', '.join(step.name for step in STEPS)}")


def run_window(ports: StepPorts, name: str, market: str, window: Window) -> list[RunResult]:
    """Run one step, or `all`, for a window: hour steps for the window as a whole, slot steps for each slot inside it.

    Where verify fetched missing trades, `all` takes them down the chain before it goes on to the bars.

    A market that is only collected has the steps up to its bars.

    Raises:
        UsageError: if a later step is asked for of such a market.
        WindowError: if a slot step is asked for and no whole slot lies in the window.
        TickloopError: of the first step that fails; it is recorded, and what came before it stands.
    """
    is_own = market in ports.markets
    if name != "all":
        step = step_named(name)
        if not is_own and market in ports.collected and step not in COLLECTED_STEPS:
            names = ", ".join(one.name for one in COLLECTED_STEPS)
            raise UsageError(f"step {name!r}, but {market} is not in `markets`, only collected; valid: all, {names}")
        return [run_step(ports, step, market, part) for part in parts(step, window, ports.training.slot_hours)]
    results = run_hours(ports, market, window, last="features" if is_own else COLLECTED_STEPS[-1].name)
    if results[-1].state == BUSY or not is_own:
        return results
    for step in STEPS:
        if step.cadence is Cadence.SLOT:
            results += [run_step(ports, step, market, part) for part in slots_in(window, ports.training.slot_hours)]
    return results


def run_hours(
    ports: StepPorts, market: str, window: Window, last: str = "features", first: str = "extract"
) -> list[RunResult]:
    """Run the hour steps `first` to `last` of a window; what verify fetches comes down the chain before bars are made.

    A step that another runner is at ends it: what follows is due after that runner's.

    Raises:
        WindowError: if the window is not over or not made of whole hours.
        TickloopError: of the first step that fails; it is recorded, and what came before it stands.
    """
    left = list(STEPS[STEPS.index(step_named(first)) : STEPS.index(step_named(last)) + 1])
    up_to_verify = STEPS[: STEPS.index(step_named("verify")) + 1]
    results: list[RunResult] = []
    is_again = False
    while left and not (results and results[-1].state == BUSY):
        step = left.pop(0)
        results.append(run_step(ports, step, market, window))
        if step.run is verify and results[-1].detail.get("fetched") and not is_again:
            left, is_again = [*up_to_verify, *left], True
    return results


def parts(step: Step, window: Window, slot_hours: int) -> list[Window]:
    """Cut a window into the windows that a step runs for: itself for an hour step, its slots for a slot step.

    Raises:
        WindowError: for a slot step, if no whole slot lies in the window.
    """
    if step.cadence is Cadence.HOUR:
        return [window]
    slots = slots_in(window, slot_hours)
    if not slots:
        raise WindowError(
            f"no whole slot of {slot_hours} h lies in {window}; valid: a window that starts at a multiple of it"
        )
    return slots
