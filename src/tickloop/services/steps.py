"""What a step is and may use, and how one is run: its lock, its row in the run ledger. `chain.py` lists the steps."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import polars as pl

from tickloop.domain.schedule import DONE, DUE, FAILED, MAX_ATTEMPTS, Cadence, StepRule
from tickloop.domain.tables import RUN
from tickloop.domain.universe import Span
from tickloop.domain.window import DAY_MS, HOUR_MS, Window, to_datetime
from tickloop.errors import (
    RetryableError,
    StoreAwayError,
    TickloopError,
    UnknownMarketError,
    WindowBusyError,
    WindowError,
)
from tickloop.ports import Clock, Lake, MarketData, ModelRegistry, RawStore, Warehouse, WindowLock
from tickloop.settings import PromotionSettings, StrategySettings, TrainingSettings

BUSY = "busy"

PASSING = (StoreAwayError, RetryableError, WindowBusyError)
"""What ends by itself, such as a server that is away: a scheduler tries again for as long as it lasts."""

_RELATED_MS = 8 * DAY_MS
"""Runs that start up to this long before a window may be inputs of its steps: the longest slot, and a day."""


class StepPorts(Protocol):
    """What `bootstrap` hands to every step; each is opened on first use."""

    @property
    def markets(self) -> tuple[str, ...]: ...
    @property
    def collected(self) -> Mapping[str, Span]:
        """Give the markets besides `markets` that are or were collected: their hours are settled, no model is made."""

    @property
    def clock(self) -> Clock: ...
    @property
    def raw(self) -> RawStore: ...
    @property
    def lake(self) -> Lake: ...
    @property
    def warehouse(self) -> Warehouse: ...
    @property
    def market_data(self) -> MarketData: ...
    @property
    def registry(self) -> ModelRegistry: ...
    @property
    def lock(self) -> WindowLock: ...
    @property
    def training(self) -> TrainingSettings: ...
    @property
    def promotion(self) -> PromotionSettings: ...
    @property
    def strategy(self) -> StrategySettings: ...
    @property
    def is_path_invented(self) -> bool:
        """Tell whether the trades of this home were made from candles: no profit from tick to tick is one then."""


class StepFunction(Protocol):
    def __call__(self, ports: StepPorts, market: str, window: Window, /) -> dict[str, Any]:
        """Replace exactly what the step makes of the window; run twice it gives the same rows. Give counts."""


@dataclass(frozen=True, kw_only=True)
class Step(StepRule):
    """A step of the chain; `services/chain.py` lists them."""

    run: StepFunction


@dataclass(frozen=True)
class RunResult:
    """What became of one call.

    Attributes:
        state: done, or busy when another runner holds the window (nothing was run then).
        detail: the step's counts.
    """

    step: str
    market: str
    window: Window
    state: str
    detail: Mapping[str, Any]


def run_step(ports: StepPorts, step: Step, market: str, window: Window) -> RunResult:
    """Run one step for one window under its lock and write the run ledger.

    Raises:
        UnknownMarketError: if the market is not one of this home.
        WindowError: if the window is not over, not made of whole hours or, for a slot step, not a slot.
        TickloopError: what the step raised, after it was recorded as failed.
    """
    _check(ports, step, market, window)
    with ports.lock.hold(step.name, market, window) as is_ours:
        if not is_ours:
            return RunResult(step.name, market, window, BUSY, {})
        try:
            counts = step.run(ports, market, window)
        except TickloopError as exc:
            detail = {"error": str(exc), "kind": type(exc).__name__, "passes": isinstance(exc, PASSING)}
            _record(ports, step.name, market, window, FAILED, detail)
            raise
        _record(ports, step.name, market, window, DONE, counts)
    return RunResult(step.name, market, window, DONE, counts)


class RunRow(NamedTuple):
    step: str
    market: str
    window: Window
    state: str
    detail: Mapping[str, Any]


def mark_due(ports: StepPorts, step: str, market: str, window: Window) -> None:
    """Ask for a run of a step again; all that follows from it is due after it."""
    _record(ports, step, market, window, DUE, {})


def record_runs(ports: StepPorts, runs: Sequence[RunRow]) -> None:
    """Write several rows of the run ledger in one transaction, newer than what these windows had."""
    ports.warehouse.upsert(RUN, pl.DataFrame([_row(ports, run) for run in runs], schema=RUN.columns, orient="row"))


def require_over(window: Window, now_ms: int) -> None:
    """Pass windows that are over; `WindowError` for one that reaches past now."""
    if window.end_ms > now_ms:
        raise WindowError(
            f"window {window} is not over at {to_datetime(now_ms):%Y-%m-%dT%H:%M:%SZ}; valid: an end before that"
        )


def _record(ports: StepPorts, step: str, market: str, window: Window, state: str, detail: Mapping[str, Any]) -> None:
    record_runs(ports, [RunRow(step, market, window, state, detail)])


def _row(ports: StepPorts, run: RunRow) -> tuple[Any, ...]:
    start = max(0, run.window.start_ms - _RELATED_MS)
    related = ports.warehouse.read(RUN, run.market, Window(start, run.window.end_ms))
    is_own = (pl.col("step") == run.step) & (pl.col("window_start") == run.window.start)
    own = related.filter(is_own & (pl.col("window_end") == run.window.end))
    before = int(own["attempts"][0]) if own.height and own["state"][0] == FAILED else 0
    # Above all runs that could be its inputs, also where the market clock stands or was set back.
    newest = int(related["sequence"].max() or 0)  # type: ignore[arg-type]
    return (
        run.market,
        run.step,
        run.window.start,
        run.window.end,
        run.state,
        max(ports.clock.now_ns(), newest + 1),
        to_datetime(ports.clock.now_ms()),
        _attempts(run, before),
        json.dumps(run.detail, sort_keys=True, default=str),
    )


def _attempts(run: RunRow, before: int) -> int:
    """Count the failures in a row; one that passes never makes the last attempt that there is."""
    if run.state == DUE:
        return 0
    return min(before + 1, MAX_ATTEMPTS - 1) if run.detail.get("passes") else before + 1


def _check(ports: StepPorts, step: Step, market: str, window: Window) -> None:
    if market not in ports.markets and market not in (others := ports.collected):
        raise UnknownMarketError(market, (*ports.markets, *others))
    require_over(window, ports.clock.now_ms())
    list(window.hours())
    slot_ms = ports.training.slot_hours * HOUR_MS
    start = window.start_ms - window.start_ms % slot_ms
    if step.cadence is Cadence.SLOT and window != Window(start, start + slot_ms):
        raise WindowError(
            f"{step.name} runs for slots of {ports.training.slot_hours} h, but the window is {window}; "
            f"valid: {Window(start, start + slot_ms)}"
        )
