"""What goes wrong in one chaos run, and when: a function of its seed."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
MARKETS = ("KRW-BTC", "KRW-ETH")

KILL = "kill"
EVERY_MS = 4 * MINUTE_MS
"""Mean market time between two troubles; a run of an hour has about fifteen."""

KILL_SHARE = 0.2

Fields = Callable[[random.Random], dict[str, Any]]


@dataclass(frozen=True)
class Trouble:
    """One thing to do at a market time: kill the collector with signal 9, or order a fault of the simulator."""

    at_ms: int
    kind: str
    fields: dict[str, Any] = field(default_factory=dict)


def plan(seed: int, start_ms: int, hours: int) -> list[Trouble]:
    """Give the troubles of a run in order of time; the first and last two minutes are left in peace."""
    draw = random.Random(seed)
    found: list[Trouble] = []
    at_ms = start_ms + 2 * MINUTE_MS
    end_ms = start_ms + hours * HOUR_MS - 2 * MINUTE_MS
    while (at_ms := at_ms + int(draw.expovariate(1 / EVERY_MS)) + 1) < end_ms:
        kind = KILL if draw.random() < KILL_SHARE else draw.choice(tuple(_FIELDS))
        found.append(Trouble(at_ms, kind, {} if kind == KILL else _FIELDS[kind](draw)))
    return found


def _none(_draw: random.Random) -> dict[str, Any]:
    return {}


def _some(most: int) -> Fields:
    return lambda draw: {"count": draw.randint(1, most)}


def _spell(least_s: int, most_s: int) -> Fields:
    return lambda draw: {"for_ms": draw.randint(least_s, most_s) * 1_000}


def _gap(draw: random.Random) -> dict[str, Any]:
    return {
        "market": draw.choice(MARKETS),
        "for_ms": draw.randint(1, 180) * 1_000,
        "is_refused_by_rest": draw.random() < 0.3,
        "closes": draw.random() < 0.5,
    }


def _refusals(draw: random.Random) -> dict[str, Any]:
    return {"path": draw.choice(_PATHS), "count": draw.randint(1, 3), "form": draw.choice(("text", "json"))}


_PATHS = ("/v1/trades", "/v1/market", "")
"""Begins of what the collector reads: trades for repair, the list of markets, any of them."""

_FIELDS: dict[str, Fields] = {
    "drop": _none,
    "half_open": _none,
    "stall": _spell(5, 90),
    "duplicate": _some(20),
    "reorder": _some(20),
    "late": lambda draw: {"count": draw.randint(1, 20), "for_ms": draw.randint(1, 120) * 1_000},
    "corrupt": lambda draw: {"count": draw.randint(1, 10), "type": draw.choice(("trade", "ticker", ""))},
    "gap": _gap,
    "rate_limited": _refusals,
    "server_error": _refusals,
    "answer_lost": lambda draw: {"path": draw.choice(_PATHS), "count": draw.randint(1, 3)},
    "slow_answer": lambda draw: {"path": draw.choice(_PATHS), "count": 2, "delay_ms": draw.randint(10, 200)},
    "locked_out": _spell(1, 20),
    "maintenance": _spell(10, 120),
    "clock_skew": lambda draw: {"for_ms": 60_000, "offset_ms": draw.randint(-5_000, 5_000)},
}
