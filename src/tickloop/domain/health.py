"""Verdicts of `tickloop doctor`: what was found out, as plain values, in; one check with its remedy out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tickloop.domain.window import HOUR_MS, to_datetime

NEEDED_BYTES = 200_000_000
"""Below this nothing starts on a home."""

WANTED_BYTES = 2_000_000_000

SKEW_WARN_MS, SKEW_FAIL_MS = 2_000, 10_000
"""The order path checks clocks too; a token or a request window is off from a few seconds on."""

DATE_STEP_MS = 1_000
"""A `Date` header tells whole seconds."""

SILENT_WARN_S, SILENT_FAIL_S = 60, 300
"""Market seconds without any message of a type. A quiet market alone is no fault, a quiet stream is."""

MARKET_SILENT_WARN_S = 3_600

SYNC_REAL_S = 2.0
"""Real seconds that a message may take to the disk; a market at N times ages N times as much meanwhile."""

LAG_WARN_HOURS, LAG_FAIL_HOURS = 2, 4

FULL_WARN_DAYS = 3.0

_BOUND = re.compile(r"(>=|<)\s*(\d+(?:\.\d+)*)")


class Level(StrEnum):
    """What a check says. `skip`: there is nothing to look at yet, or it cannot be told; `figure` says why."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True)
class Check:
    """One line of the report.

    Attributes:
        figure: what was found, with its unit.
        remedy: what to do; empty when nothing needs a hand.
        detail: figures for programs.
    """

    name: str
    state: Level
    figure: str
    remedy: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Package:
    """A package that the program was installed with.

    Attributes:
        extra: the extra that asks for it, empty for one that is always needed.
        installed: its version, None when it is not there.
        pinned: the version that was tested, None when this installation does not tell.
    """

    name: str
    extra: str
    installed: str | None
    pinned: str | None


@dataclass(frozen=True)
class ExchangeAnswer:
    """One answer of the exchange to a list of its markets, in market time.

    Attributes:
        date_ms: its `Date` header, None when it sent none.
    """

    sent_ms: int
    received_ms: int
    date_ms: int | None
    markets: tuple[str, ...]


@dataclass(frozen=True)
class Process:
    name: str
    state: str
    is_alive: bool
    message: str


@dataclass(frozen=True)
class JournalState:
    """The collector's journal.

    Attributes:
        newest_ms: (type, market) -> market time of receipt of the newest message, as the end of the newest segments
            tells: a pair that was silent for long is absent.
        oldest_ms: market time of the oldest segment.
    """

    segments: int
    size: int
    oldest_ms: int
    newest_ms: Mapping[tuple[str, str], int]


@dataclass(frozen=True)
class Outage:
    """A time without a stream; `start_ms` is None when the process was killed and its end not recorded."""

    start_ms: int | None
    end_ms: int
    reason: str


def python_check(version: tuple[int, int, int], requires: str) -> Check:
    """Judge the interpreter by `>=3.11,<3.15`."""
    shown = ".".join(map(str, version))
    for sign, number in _BOUND.findall(requires):
        limit = tuple(map(int, number.split(".")))
        is_met = version[: len(limit)] >= limit if sign == ">=" else version < limit
        if not is_met:
            return Check("python", Level.FAIL, f"Python {shown}", f"install a Python {requires}")
    return Check("python", Level.OK, f"Python {shown}")


def packages_check(packages: Sequence[Package]) -> Check:
    """Judge what is installed: a missing need fails, another version than the tested one warns."""
    missing = [one.name for one in packages if one.installed is None and not one.extra]
    extras = sorted({one.extra for one in packages if one.installed is None and one.extra})
    other = [
        f"{one.name} {one.installed} (tested: {one.pinned})"
        for one in packages
        if one.installed is not None and one.pinned is not None and one.installed != one.pinned
    ]
    note = f"; without the extras {', '.join(extras)}" if extras else ""
    count = sum(one.installed is not None for one in packages)
    if missing:
        return Check("packages", Level.FAIL, f"missing: {', '.join(missing)}", "install tickloop again")
    if other:
        return Check(
            "packages",
            Level.WARN,
            f"other versions than tested: {', '.join(other)}{note}",
            "pip install -c constraints.txt",
        )
    return Check("packages", Level.OK, f"{count} packages{note}")


def home_check(folder: str, problem: str, free: int) -> Check:
    """Judge the folder of state by whether it can be written, and by the room on its disk."""
    figure = f"{folder}, {free / 1e9:.1f} GB free"
    detail = {"free_bytes": free}
    if problem:
        return Check("home", Level.FAIL, problem, "give a folder that can be written: --home FOLDER", detail)
    if free < NEEDED_BYTES:
        return Check("home", Level.FAIL, figure, f"free at least {NEEDED_BYTES // 1_000_000} MB", detail)
    if free < WANTED_BYTES:
        return Check(
            "home", Level.WARN, figure, "free some space: the collector stops taking in when the disk is full", detail
        )
    return Check("home", Level.OK, figure, detail=detail)


def exchange_check(answer: ExchangeAnswer, wanted: Sequence[str]) -> Check:
    """Judge whether the exchange offers the markets of the settings."""
    absent = [market for market in wanted if market not in answer.markets]
    figure = f"{len(answer.markets)} markets on offer"
    if absent:
        return Check(
            "exchange", Level.WARN, f"{figure}, but not {', '.join(absent)}", "take what is delisted out of `markets`"
        )
    return Check("exchange", Level.OK, figure)


def skew_check(answer: ExchangeAnswer) -> Check:
    """Judge our market clock by the exchange's `Date`, as far as a whole second and the time of the answer allow."""
    name = "clock skew"
    if answer.date_ms is None:
        return Check(name, Level.SKIP, "the exchange sends no Date header")
    took_ms = answer.received_ms - answer.sent_ms
    half_ms = (took_ms + DATE_STEP_MS) / 2
    if half_ms > SKEW_FAIL_MS:
        return Check(
            name, Level.SKIP, f"{took_ms / 1000:.0f} s of market time pass during one request: too fast to tell"
        )
    skew_ms = (answer.sent_ms + answer.received_ms) / 2 - (answer.date_ms + DATE_STEP_MS / 2)
    surely_ms = max(0.0, abs(skew_ms) - half_ms)
    figure = f"{skew_ms / 1000:+.1f} s, give or take {half_ms / 1000:.1f} s"
    detail = {"skew_ms": round(skew_ms), "uncertainty_ms": round(half_ms)}
    remedy = "let the system's clock be set by NTP"
    if surely_ms > SKEW_FAIL_MS:
        return Check(name, Level.FAIL, figure, remedy, detail)
    return Check(
        name, Level.WARN if surely_ms > SKEW_WARN_MS else Level.OK, figure, remedy * (surely_ms > SKEW_WARN_MS), detail
    )


def processes_check(processes: Sequence[Process]) -> Check:
    """Judge what the processes last said of themselves, and whether they are still there."""
    if not processes:
        return Check("processes", Level.SKIP, "nothing has run on this home yet")
    ended = [one for one in processes if one.state in ("failed", "blocked")]
    gone = [one for one in processes if one not in ended and one.state != "stopped" and not one.is_alive]
    detail = {one.name: {"state": one.state, "alive": one.is_alive, "message": one.message} for one in processes}
    if ended or gone:
        words = [f"{one.name} {one.state}: {one.message}" for one in ended]
        words += [f"{one.name} says {one.state}, but its process is gone" for one in gone]
        return Check("processes", Level.FAIL, "; ".join(words), "start it again: tickloop up", detail)
    return Check("processes", Level.OK, ", ".join(f"{one.name} {one.state}" for one in processes), detail=detail)


def stream_checks(
    journal: JournalState, markets: Sequence[str], now_ms: int, speed: float, *, is_collecting: bool
) -> list[Check]:
    """Judge the age of the newest message, one check for each type of message.

    Args:
        speed: market seconds per real second, 0 while the market clock stands.
    """
    kinds = sorted({kind for kind, _ in journal.newest_ms})
    if not kinds:
        state = Level.FAIL if is_collecting and speed > 0 else Level.SKIP
        remedy = "look at the collector's log and at sessions.log" if state is Level.FAIL else ""
        return [Check("stream", state, "no message has been received yet", remedy)]
    return [_stream_check(journal, kind, markets, now_ms, speed, is_collecting=is_collecting) for kind in kinds]


def _stream_check(
    journal: JournalState, kind: str, markets: Sequence[str], now_ms: int, speed: float, *, is_collecting: bool
) -> Check:
    ages = {
        market: max(0.0, (now_ms - at_ms) / 1000)
        for (of_kind, market), at_ms in journal.newest_ms.items()
        if of_kind == kind
    }
    newest, name = min(ages.values()), f"stream {kind}"
    silent = sorted(market for market in markets if ages.get(market, MARKET_SILENT_WARN_S + 1) > MARKET_SILENT_WARN_S)
    figure = f"newest {newest:.1f} s old, oldest of {len(ages)} markets {max(ages.values()):.0f} s"
    detail = {"age_s": {market: round(age, 3) for market, age in sorted(ages.items())}}
    if not is_collecting:
        return Check(name, Level.SKIP, f"{figure}; the collector is not running", detail=detail)
    late = newest - SYNC_REAL_S * speed
    if late > SILENT_FAIL_S:
        return Check(name, Level.FAIL, figure, "look at the collector's log: the stream gives nothing", detail)
    if late > SILENT_WARN_S:
        return Check(name, Level.WARN, figure, "wait a minute and ask again", detail)
    if silent:
        return Check(
            name, Level.WARN, f"{figure}; silent for an hour: {', '.join(silent)}", "see whether they trade", detail
        )
    return Check(name, Level.OK, figure, detail=detail)


def gaps_check(gaps: Sequence[Outage], now_ms: int, days: int = 1) -> Check:
    """Tell the times without a connection within the last days; whether they were repaired the ledger tells."""
    recent = [gap for gap in gaps if gap.end_ms > now_ms - days * 24 * HOUR_MS]
    lost_s = sum(gap.end_ms - gap.start_ms for gap in recent if gap.start_ms is not None) / 1000
    detail = {"gaps": len(recent), "seconds": lost_s, "since_start": len(gaps)}
    if not recent:
        return Check("gaps", Level.OK, f"none in {24 * days} h, {len(gaps)} since the first start", detail=detail)
    last = recent[-1]
    begin = "an unknown time" if last.start_ms is None else f"{to_datetime(last.start_ms):%Y-%m-%dT%H:%M:%S}"
    figure = f"{len(recent)} in {24 * days} h, {lost_s:,.0f} s in all; the last from {begin}: {last.reason}"
    return Check("gaps", Level.WARN, figure, "tickloop ledger shows whether their minutes were repaired", detail)


def dead_letters_check(count: int, newest: str) -> Check:
    """Tell what could not be read."""
    if not count:
        return Check("dead letters", Level.OK, "none", detail={"count": 0})
    return Check(
        "dead letters",
        Level.WARN,
        f"{count:,}; the newest: {newest}",
        "their bytes are kept in the folder `dead`: report them",
        {"count": count},
    )


def journal_check(journal: JournalState, free: int, now_ms: int) -> Check:
    """Judge whether the disk takes the journal's growth for some days yet."""
    if not journal.segments:
        return Check("journal", Level.SKIP, "nothing has been collected yet")
    days = max(now_ms - journal.oldest_ms, HOUR_MS) / (24 * HOUR_MS)
    figure = f"{journal.segments} segments, {journal.size / 1e6:,.1f} MB, the oldest {days:.1f} days old"
    detail = {"segments": journal.segments, "bytes": journal.size, "oldest_ms": journal.oldest_ms}
    days_left = free / (journal.size / days) if journal.size else float("inf")
    if days_left < FULL_WARN_DAYS:
        remedy = "make room, or remove segments whose hours are verified"
        return Check("journal", Level.WARN, f"{figure}; the disk is full in {days_left:.1f} days", remedy, detail)
    return Check("journal", Level.OK, figure, detail=detail)


def ledger_check(unknown: Mapping[str, int], minutes: int, settled_before: str) -> Check:
    """Judge the minutes that should be settled by now.

    Args:
        unknown: minutes by reason.
        minutes: rows of the ledger that were looked at.
    """
    if not minutes:
        return Check("ledger", Level.SKIP, "no minute of the last seven days is in the ledger")
    count = sum(unknown.values())
    detail = {"minutes": minutes, "unknown": dict(unknown)}
    if not count:
        return Check("ledger", Level.OK, f"no unknown minute of {minutes:,} in seven days", detail=detail)
    reasons = ", ".join(f"{reason} {number}" for reason, number in sorted(unknown.items()))
    figure = f"{count} of {minutes:,} minutes before {settled_before} are unknown: {reasons}"
    return Check("ledger", Level.FAIL, figure, "tickloop ledger --from .. --to .. names them; tickloop run all", detail)


def pipeline_check(
    newest_end_ms: Mapping[str, int | None], closed_end_ms: int, exhausted: Sequence[str], *, is_running: bool
) -> Check:
    """Judge how far the hourly steps are behind the last hour that is closed.

    Args:
        newest_end_ms: per market the end of the newest hour whose features are done.
        exhausted: steps that failed and are not tried again by themselves, with their windows.
    """
    ends = [end for end in newest_end_ms.values() if end is not None]
    if not ends:
        return Check("pipeline", Level.SKIP, "no hour has been run yet")
    lag_hours = max(0, (closed_end_ms - min(ends)) // HOUR_MS)
    figure = f"done up to {to_datetime(min(ends)):%Y-%m-%dT%H:%M}Z, {lag_hours} h behind"
    detail = {"lag_hours": lag_hours, "failed": list(exhausted)}
    if not is_running:
        return Check("pipeline", Level.SKIP, f"{figure}; it is not running", detail=detail)
    if lag_hours >= LAG_FAIL_HOURS:
        return Check("pipeline", Level.FAIL, figure, "look at the pipeline's log, and at tickloop steps", detail)
    if exhausted:
        failed = f"{figure}; given up: {', '.join(exhausted)}"
        return Check("pipeline", Level.WARN, failed, "tickloop run STEP --window HOUR tells why", detail)
    if lag_hours >= LAG_WARN_HOURS:
        return Check("pipeline", Level.WARN, figure, "wait: it catches up", detail)
    return Check("pipeline", Level.OK, figure, detail=detail)
