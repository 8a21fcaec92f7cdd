"""Verdicts of `tickloop doctor`: what was found out, as plain values, in; one check with its remedy out.

Here those on installation, exchange and processes; those on the data are in `data_health`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

NEEDED_BYTES = 200_000_000
"""Below this nothing starts on a home."""

WANTED_BYTES = 2_000_000_000

SKEW_WARN_MS, SKEW_FAIL_MS = 2_000, 10_000
"""The order path checks clocks too; a token or a request window is off from a few seconds on."""

DATE_STEP_MS = 1_000
"""A `Date` header tells whole seconds."""

SERVERS = {"opensearch": "opensearch.url", "postgres": "postgres.host", "s3": "s3.endpoint", "mlflow": "mlflow.url"}
"""Check of a server, named as its section of the settings -> the setting that says where it is."""

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
class Wiring:
    """Which exchange and which clock the settings name.

    Attributes:
        rest_url: `exchange.rest_url`.
        is_simulated: it is an address of this machine.
        clock: `system`, `shared` or `stepped`.
    """

    rest_url: str
    is_simulated: bool
    clock: str


@dataclass(frozen=True)
class Process:
    name: str
    state: str
    is_alive: bool
    message: str


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


def exchange_remedy(wiring: Wiring, *, is_away: bool) -> str:
    """Say what to do about an exchange that does not answer, or not as one."""
    named = f"exchange.rest_url = {wiring.rest_url!r}"
    if is_away and wiring.is_simulated:
        return f"{named}: start the simulator that answers there (tickloop sim, or tickloop demo), or name another"
    if is_away:
        return (
            f"{named}: see that this machine reaches it (network, DNS, firewall) and that Upbit is not in maintenance"
        )
    return f"{named}: name an exchange; valid: https://api.upbit.com, or the address that tickloop sim prints"


def hung_remedy(name: str) -> str:
    """Say what to do about a check that gave no answer in time."""
    if name in SERVERS:
        return f"{SERVERS[name]}: see that this machine reaches it and what that server's log says, and ask again"
    return "see what holds it up, and ask again"


def clock_remedy(wiring: Wiring) -> str:
    """Say what to do about a market clock that cannot be read."""
    return f"clock = {wiring.clock!r}: start the simulator that keeps it; valid at the real exchange: clock = 'system'"


def skew_check(answer: ExchangeAnswer, wiring: Wiring) -> Check:
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
    remedy = _skew_remedy(wiring)
    if surely_ms > SKEW_FAIL_MS:
        return Check(name, Level.FAIL, figure, remedy, detail)
    return Check(
        name, Level.WARN if surely_ms > SKEW_WARN_MS else Level.OK, figure, remedy * (surely_ms > SKEW_WARN_MS), detail
    )


def _skew_remedy(wiring: Wiring) -> str:
    if wiring.clock == "system":
        return "let the system's clock be set by NTP"
    return (
        f"clock = {wiring.clock!r} and exchange.rest_url = {wiring.rest_url!r} are not of one simulator, or it was told"
        " to lie (fault clock_skew): name one for both"
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
        is_full = any(one.state == "blocked" for one in ended)
        remedy = "make room on the disk: the collector goes on by itself" if is_full else ""
        if gone or any(one.state == "failed" for one in ended):
            remedy = "; ".join(filter(None, [remedy, "start it again once its reason is mended: tickloop up"]))
        return Check("processes", Level.FAIL, "; ".join(words), remedy, detail)
    return Check("processes", Level.OK, ", ".join(f"{one.name} {one.state}" for one in processes), detail=detail)
