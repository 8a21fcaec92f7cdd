"""The laptop's scheduler: history first, then a loop over the windows that are due."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any, Protocol

import polars as pl

from tickloop.domain.schedule import DONE, DUE, Calendar, Due, due, looks_due, next_check_ms
from tickloop.domain.tables import RUN
from tickloop.domain.window import DAY_MS, HOUR_MS, Window, to_ms
from tickloop.errors import TickloopError
from tickloop.services.backfill import BackfillStoppedError, Progress, backfill
from tickloop.services.chain import COLLECTED_STEPS, STEPS, step_named
from tickloop.services.findings import findings
from tickloop.services.promote import ensure_champion
from tickloop.services.run_ledger import HISTORY, RecentRuns
from tickloop.services.steps import RunRow, StepPorts, record_runs, run_step
from tickloop.settings import HistorySettings

PROMOTE = "promote"
MAX_WAIT_S = 0.25
"""Real seconds of one wait: the market clock may start, stop or change speed meanwhile."""

RECHECK_S = 15.0
"""Real seconds after which the run ledger is read again though nothing was due: another process may have marked it."""


OTHERS_AT_ONCE = 20
"""Steps of markets that are only collected, between two looks at what is due for our own: about a second."""


class Status(Protocol):
    def __call__(self, state: str, message: str = "", **detail: Any) -> None:
        """Say what the process is doing: starting | working | ready | failed | stopped."""


def run_pipeline(ports: StepPorts, history: HistorySettings, status: Status, stop: threading.Event) -> None:
    """Ensure champions and history, then run due windows until told to stop.

    A step that fails is recorded with its message and does not stop the others.

    Raises:
        TickloopError: if the history cannot be fetched; what was fetched stands and the next start goes on from it.
    """
    status("starting", "ensuring champions")
    for market in ports.markets:
        ensure_champion(ports.registry, market, ports.clock)
    try:
        first_hour_ms = ensure_history(ports, history, status, stop)
    except BackfillStoppedError as exc:
        status("stopped", str(exc))
        return
    status("ready", "history is there; waiting for hours to close")
    loop = _Loop(ports, first_hour_ms, status)
    while not stop.is_set():
        if not loop.run_due(stop):
            status("ready", "nothing is due; waiting for the next hour to close", **loop.figures)
            loop.wait(stop)
    status("stopped", "stopped when asked to", **loop.figures)


def ensure_history(ports: StepPorts, history: HistorySettings, status: Status, stop: threading.Event) -> int:
    """Back-fill what is planned or was left unfinished; give its end, where the live hours begin.

    Raises:
        BackfillStoppedError: when it was told to stop; the next call goes on from there.
    """

    def show(progress: Progress) -> None:
        done, total = progress.done, progress.total
        message = f"back-filling {progress.market}: {done:,} of {total:,} minutes"
        status("working", message, done_minutes=done, total_minutes=total)

    plan, is_done = history_plan(ports, history)
    if not is_done:
        counts = backfill(ports, plan, show, parallel=history.parallel, stop=stop)
        _record_history(ports, plan, DONE, counts)
    return plan.end_ms


def history_plan(ports: StepPorts, history: HistorySettings) -> tuple[Window, bool]:
    """Give the range of history as it was decided at the first start, and whether it is there for every market."""
    runs = ports.warehouse.read(RUN).filter(pl.col("step") == HISTORY)
    if not runs.is_empty():
        plan = Window(to_ms(runs["window_start"][0]), to_ms(runs["window_end"][0]))
        done = set(runs.filter(pl.col("state") == DONE)["market"])
        return plan, done >= set(ports.markets)
    now = ports.clock.now_ms()
    end = now - now % HOUR_MS
    # Without history the hour before the start stands for it, so that a restart finds where the live hours begin.
    plan = Window(end - (history.backfill_days * DAY_MS or HOUR_MS), end)
    _record_history(ports, plan, DUE if history.backfill_days else DONE, {})
    return plan, not history.backfill_days


def _record_history(ports: StepPorts, plan: Window, state: str, counts: dict[str, Any]) -> None:
    record_runs(ports, [RunRow(HISTORY, market, plan, state, counts.get(market, {})) for market in ports.markets])


class _Loop:
    """Walks the due windows of one home."""

    def __init__(self, ports: StepPorts, first_hour_ms: int, status: Status) -> None:
        self._ports = ports
        self._first_hour_ms = first_hour_ms
        self._status = status
        self._reader = RecentRuns(ports.warehouse, ports.training.slot_hours)
        self._next_check_ms = 0
        self.figures: dict[str, Any] = {"runs": 0, "failures": 0, "last_failure": "", "findings": {}}
        for market in ports.markets:
            self._note_findings(market)

    def run_due(self, stop: threading.Event) -> bool:
        """Run all that is due now, in order; tell whether something was done."""
        were_done = [self._run(item) for item in self._due() if not stop.is_set()]
        return any(were_done)

    def wait(self, stop: threading.Event) -> None:
        """Wait until something can be due again, by the market clock, or until stopped."""
        waited = 0.0
        while waited < RECHECK_S:
            left = self._ports.clock.real_seconds_until(self._next_check_ms)
            if left <= 0 or stop.wait(min(left, MAX_WAIT_S)):
                return
            waited += min(left, MAX_WAIT_S)

    def _due(self) -> list[Due]:
        now_ms = self._ports.clock.now_ms()
        runs, since_ms = self._reader.read(now_ms)
        if looks := looks_due(runs, now_ms):
            rows = [RunRow(one.step, one.market, one.window, DUE, {"looks": one.looks}) for one in looks]
            record_runs(self._ports, rows)
            runs, since_ms = self._reader.read(now_ms)
        calendar = Calendar(now_ms, self._first_hour_ms, self._ports.training.slot_hours, since_ms)
        items = due(runs, STEPS, self._ports.markets, calendar) or self._due_of_others(runs, calendar)
        if not items:
            self._reader.settle(runs, now_ms)
        self._next_check_ms = next_check_ms(runs, now_ms)
        return items

    def _due_of_others(self, runs: pl.DataFrame, calendar: Calendar) -> list[Due]:
        """Give some of what is due for markets that are only collected; our own come first again after it."""
        spans = self._ports.collected
        if not spans:
            return []
        own = runs.filter(pl.col("market").is_in(list(spans)))
        return due(own, COLLECTED_STEPS, tuple(spans), replace(calendar, spans=spans))[:OTHERS_AT_ONCE]

    def _run(self, item: Due) -> bool:
        self._status("ready", f"{item.step} {item.market} {item.window}", **self.figures)
        try:
            result = run_step(self._ports, step_named(item.step), item.market, item.window)
        except TickloopError as exc:
            self.figures["failures"] += 1
            self.figures["last_failure"] = f"{item.step} {item.market} {item.window} failed: {exc}"
            self._status("ready", self.figures["last_failure"], **self.figures)
            return False
        self.figures["runs"] += 1
        if item.step == PROMOTE:
            self._note_findings(item.market)
        return result.state == DONE

    def _note_findings(self, market: str) -> None:
        self.figures["findings"][market] = findings(self._ports.warehouse, self._ports.registry, market)
