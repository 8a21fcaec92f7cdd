"""Which windows are due: a pure function of the run ledger, the rules of the steps and the time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

import polars as pl

from tickloop.domain.universe import Span
from tickloop.domain.window import HOUR_MS, MINUTE_MS, Window

CLOSED_FOR_MS = HOUR_MS
"""An hour is run when it has been over for this long: trades that come late belong to it."""

MAX_ATTEMPTS = 3
RETRY_AFTER_MS = MINUTE_MS
"""Market time between a failure and the next attempt."""

LOOK_AGAIN_MS = (10 * MINUTE_MS, HOUR_MS)
"""Market time after which verify runs again where we held more than the exchange's candle: it may have been late."""

DONE, FAILED, DUE = "done", "failed", "due"


class Cadence(StrEnum):
    HOUR = "hour"
    SLOT = "slot"


@dataclass(frozen=True)
class StepRule:
    """When a step may run.

    Attributes:
        after: steps that must be done first, each with offsets. From an hour step: hours relative to its own hour.
            From a slot step: hours relative to the slot's end for an hour step, slots for a slot step.
    """

    name: str
    cadence: Cadence
    after: tuple[tuple[str, tuple[int, ...]], ...] = ()


class Due(NamedTuple):
    step: str
    market: str
    window: Window


class Look(NamedTuple):
    """A run of verify to be made again; `looks` counts those made again so far, this one included."""

    step: str
    market: str
    window: Window
    looks: int


class _Run(NamedTuple):
    state: str
    sequence: int
    attempts: int
    finished_ms: int


@dataclass(frozen=True)
class Calendar:
    """What time makes of the rules.

    Attributes:
        first_hour_ms: hours before it were back-filled. They are run only where the ledger asks for it.
        since_ms: a whole hour; older ones are left out. The rows must cover the hour before it too.
        spans: of a market in it, the hours of its span are run instead of those since `first_hour_ms`.
    """

    now_ms: int
    first_hour_ms: int
    slot_hours: int
    since_ms: int = 0
    spans: Mapping[str, Span] = field(default_factory=dict)

    def live_hours(self, market: str) -> range:
        """Give the starts of the hours that are run by now without being asked for."""
        span = self.spans.get(market)
        if span is None:
            return range(self.first_hour_ms, self.closed_end_ms, HOUR_MS)
        end_ms = self.closed_end_ms if span.until_ms is None else min(self.closed_end_ms, span.until_ms)
        return range(span.since_ms - span.since_ms % HOUR_MS, end_ms, HOUR_MS)

    @property
    def closed_end_ms(self) -> int:
        """End of the last hour that is run by now: at 02:00 it is 01:00."""
        now = self.now_ms - CLOSED_FOR_MS
        return now - now % HOUR_MS


def due(runs: pl.DataFrame, rules: Sequence[StepRule], markets: Sequence[str], calendar: Calendar) -> list[Due]:
    """Give what can be run now, in order: older hours first; slots of a market once none of its hours can be run.

    No item needs another one of the list: run them all, then ask again. A step is due when it was never done, when it
    was marked `due`, or when an input was finished after it, and only once all its inputs are settled. A failure is
    tried again up to three times, or as soon as an input is newer. Of the slots that are over and have their last
    hour's features only the newest is run: after a long sleep, models for slots gone by would never be served.

    Args:
        runs: RUN frame, all rows that could matter.
        rules: the steps in the order of the chain.
    """
    ledger = _Ledger(runs, rules, calendar)
    hours = list(_due_hours(ledger, markets))
    behind = {item.market for item in hours}
    return [*hours, *_due_slots(ledger, [market for market in markets if market not in behind])]


def is_settled(runs: pl.DataFrame, rules: Sequence[StepRule], item: Due, calendar: Calendar) -> bool:
    """Tell whether a step is done for a window, each hour or slot of it, and nothing that it was made of is newer.

    Args:
        runs: RUN frame with all rows of the market that share an hour with the window or the hour before it.
    """
    ledger = _Ledger(runs, rules, calendar)
    rule = ledger.rules[item.step]
    return all(ledger.settled(rule, item.market, start) for start in ledger.starts(rule, item.window))


def missing_inputs(runs: pl.DataFrame, rules: Sequence[StepRule], item: Due, calendar: Calendar) -> list[Due]:
    """Give the inputs of a step's window that are not settled, so that it should not run yet.

    Args:
        runs: as for `is_settled`.
    """
    ledger = _Ledger(runs, rules, calendar)
    rule = ledger.rules[item.step]
    starts = ledger.starts(rule, item.window)
    found: list[Due] = []
    for name, at in dict.fromkeys(one for start in starts for one in ledger.inputs(rule, start)):
        before = ledger.rules[name]
        if not ledger.settled(before, item.market, at):
            found.append(Due(name, item.market, Window(at, at + ledger.length_ms(before))))
    return found


def next_check_ms(runs: pl.DataFrame, now_ms: int) -> int:
    """Give the market time at which `due` can next say something new: a whole hour, or the retry of a failure."""
    next_hour = now_ms - now_ms % HOUR_MS + HOUR_MS
    failed = runs.filter((pl.col("state") == FAILED) & (pl.col("attempts") < MAX_ATTEMPTS))
    retries = failed["finished_at"].to_physical() + RETRY_AFTER_MS
    return min([next_hour, *(int(at) for at in retries if at > now_ms)])


def looks_due(runs: pl.DataFrame, now_ms: int) -> list[Look]:
    """Give the runs that found an excess and whose next look is due, at most two of each.

    Args:
        runs: RUN frame; `detail` of a run tells `excess` (minutes) and `looks` (made before it).
    """
    found: list[Look] = []
    done = runs.filter((pl.col("state") == DONE) & pl.col("detail").str.contains('"excess"', literal=True))
    times = pl.col("window_start", "window_end", "finished_at").to_physical()
    for row in done.with_columns(times).iter_rows(named=True):
        looks = int(json.loads(row["detail"]).get("looks", 0))
        if looks < len(LOOK_AGAIN_MS) and now_ms >= row["finished_at"] + LOOK_AGAIN_MS[looks]:
            found.append(Look(row["step"], row["market"], Window(row["window_start"], row["window_end"]), looks + 1))
    return found


class _Ledger:
    """The run ledger by step, market and start: the newest run that covers it."""

    def __init__(self, runs: pl.DataFrame, rules: Sequence[StepRule], calendar: Calendar) -> None:
        self.rules = {rule.name: rule for rule in rules}
        self.calendar = calendar
        self.runs: dict[tuple[str, str, int], _Run] = {}
        self._settled: dict[tuple[str, str, int], bool] = {}
        for row in _rows(runs):
            if row["step"] in self.rules:
                self._add(row)

    def hours(self, market: str) -> list[int]:
        """Give the hours to look at: all live ones that are closed, and every other closed one that has runs."""
        end, since = self.calendar.closed_end_ms, self.calendar.since_ms
        asked_for = {start for start in self._hours_run(market) if start < end}
        return sorted(start for start in asked_for.union(self.calendar.live_hours(market)) if start >= since)

    def length_ms(self, rule: StepRule) -> int:
        return HOUR_MS if rule.cadence is Cadence.HOUR else self.calendar.slot_hours * HOUR_MS

    def starts(self, rule: StepRule, window: Window) -> range:
        return range(window.start_ms, window.end_ms, self.length_ms(rule))

    def first_run_ms(self, market: str) -> int | None:
        """Give the oldest hour that has runs, or None."""
        return min(self._hours_run(market), default=None)

    def was_run(self, step: str, market: str, start: int) -> bool:
        return (step, market, start) in self.runs

    def settled(self, rule: StepRule, market: str, start: int) -> bool:
        """Tell whether a run is done and up to date, its inputs included."""
        key = (rule.name, market, start)
        if key not in self._settled:
            self._settled[key] = self._is_settled(rule, market, start)
        return self._settled[key]

    def is_ready(self, rule: StepRule, market: str, start: int) -> bool:
        """Tell whether a step can run now."""
        if self.settled(rule, market, start):
            return False
        if not self.are_inputs_settled(rule, market, start):
            return False
        run = self.runs.get((rule.name, market, start))
        if run is None or run.state != FAILED or self._has_newer_input(rule, market, start):
            return True
        return run.attempts < MAX_ATTEMPTS and self.calendar.now_ms >= run.finished_ms + RETRY_AFTER_MS

    def are_inputs_settled(self, rule: StepRule, market: str, start: int) -> bool:
        return all(self.settled(self.rules[step], market, at) for step, at in self.inputs(rule, start))

    def inputs(self, rule: StepRule, start: int) -> Iterator[tuple[str, int]]:
        """Yield (step, start) of all that must be done first."""
        slot_ms = self.calendar.slot_hours * HOUR_MS
        for step, offsets in rule.after:
            is_slot_input = self.rules[step].cadence is Cadence.SLOT
            base = start if is_slot_input or rule.cadence is Cadence.HOUR else start + slot_ms
            for offset in offsets:
                yield step, base + offset * (slot_ms if is_slot_input else HOUR_MS)

    def _is_settled(self, rule: StepRule, market: str, start: int) -> bool:
        run = self.runs.get((rule.name, market, start))
        if run is None:
            return self._is_before_time(rule, market, start)
        if run.state != DONE or self._has_newer_input(rule, market, start):
            return False
        return self.are_inputs_settled(rule, market, start)

    def _is_before_time(self, rule: StepRule, market: str, start: int) -> bool:
        """Tell whether a step was left out on purpose: a back-filled hour for which nothing was extracted."""
        if rule.cadence is Cadence.SLOT or start >= self.calendar.live_hours(market).start:
            return False
        return not any(self.was_run(step, market, at) for step, at in self.inputs(rule, start))

    def _has_newer_input(self, rule: StepRule, market: str, start: int) -> bool:
        own = self.runs[rule.name, market, start]
        # A slot is trained once on the hours it found; a repair of its last hour does not move its models.
        same_cadence = [key for key in self.inputs(rule, start) if self.rules[key[0]].cadence is rule.cadence]
        newest = [self.runs[step, market, at].sequence for step, at in same_cadence if self.was_run(step, market, at)]
        return max(newest, default=-1) > own.sequence

    def _hours_run(self, market: str) -> set[int]:
        return {start for step, name, start in self.runs if name == market and self.rules[step].cadence is Cadence.HOUR}

    def _add(self, row: dict[str, Any]) -> None:
        start, end = row["window_start"], row["window_end"]
        if self.rules[row["step"]].cadence is Cadence.HOUR:
            starts = range(max(start, self.calendar.since_ms - HOUR_MS), end, HOUR_MS)
        elif end - start == self.calendar.slot_hours * HOUR_MS:
            starts = range(start, end, end - start)
        else:
            return  # a slot of another length, from before the setting was changed
        run = _Run(row["state"], row["sequence"], row["attempts"], row["finished_at"])
        for at in starts:
            key = (row["step"], row["market"], at)
            if key not in self.runs or self.runs[key].sequence < run.sequence:
                self.runs[key] = run


def _rows(runs: pl.DataFrame) -> list[dict[str, Any]]:
    times = pl.col("window_start", "window_end", "finished_at").to_physical()
    columns = ("step", "market", "window_start", "window_end", "state", "sequence", "attempts", "finished_at")
    return runs.select(columns).with_columns(times).to_dicts()


def _due_hours(ledger: _Ledger, markets: Sequence[str]) -> Iterator[Due]:
    hours = sorted({(start, order) for order, market in enumerate(markets) for start in ledger.hours(market)})
    hour_rules = [rule for rule in ledger.rules.values() if rule.cadence is Cadence.HOUR]
    for start, order in hours:
        for rule in hour_rules:
            if ledger.is_ready(rule, markets[order], start):
                yield Due(rule.name, markets[order], Window(start, start + HOUR_MS))


def _due_slots(ledger: _Ledger, markets: Sequence[str]) -> Iterator[Due]:
    slot_rules = [rule for rule in ledger.rules.values() if rule.cadence is Cadence.SLOT]
    slot_ms = ledger.calendar.slot_hours * HOUR_MS
    for market in markets if slot_rules else ():
        start = _newest_slot(ledger, slot_rules[0], market)
        for rule in slot_rules:
            if start is not None and ledger.is_ready(rule, market, start):
                yield Due(rule.name, market, Window(start, start + slot_ms))


def _newest_slot(ledger: _Ledger, first: StepRule, market: str) -> int | None:
    """Give the start of the newest slot that is over and whose inputs were all run, or None."""
    slot_ms = ledger.calendar.slot_hours * HOUR_MS
    end = ledger.calendar.now_ms - ledger.calendar.now_ms % slot_ms
    oldest = ledger.first_run_ms(market)
    for start in range(end - slot_ms, (end if oldest is None else oldest) - slot_ms, -slot_ms):
        were_run = all(ledger.was_run(step, market, at) for step, at in ledger.inputs(first, start))
        if were_run and ledger.are_inputs_settled(first, market, start):
            return start
    return None
