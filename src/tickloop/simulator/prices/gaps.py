"""Gaps in the simulated stream: trades that happen but are not told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tickloop.domain.window import HOUR_MS, MINUTE_MS
from tickloop.simulator.prices.seeded import draws, key_of
from tickloop.simulator.prices.tape import Tape

GAP_MS = 90_000
MARGIN_MS = 2 * MINUTE_MS
"""A planned gap keeps this far from both ends of its hour: its readers are connected, and it touches no second hour."""


@dataclass(frozen=True)
class Gap:
    """Trades of `[start_ms, end_ms)` are missing from the stream, and from REST trades too if it refuses them."""

    market: str
    start_ms: int
    end_ms: int
    is_refused_by_rest: bool


class MadeTrades(Protocol):
    """The part of an exchange that a plan of gaps looks at."""

    @property
    def markets(self) -> tuple[str, ...]: ...

    def made(self, market: str, start_ms: int, end_ms: int) -> Tape:
        """Give all trades of `[start_ms, end_ms)` within one UTC day, told or not."""


def planned_gaps(seed: int, start_ms: int, exchange: MadeTrades) -> tuple[Gap, ...]:
    """Plan what the demo shows: two gaps of 90 s, each within one hour and with a trade to miss in every minute of it.

    The first lies in the hour from `start_ms` on, in the first market, and REST still has its trades (the ledger says
    `repaired`); the second in the hour after, in the last market, and REST refuses them too (`candle`). Where an hour
    has no such place its gap is left out.
    """
    plans = ((0, exchange.markets[0], False), (1, exchange.markets[-1], True))
    gaps = (_gap(seed, start_ms + hour * HOUR_MS, exchange, market, is_refused) for hour, market, is_refused in plans)
    return tuple(gap for gap in gaps if gap is not None)


def _gap(seed: int, hour_ms: int, exchange: MadeTrades, market: str, is_refused: bool) -> Gap | None:
    for start_ms in _places(seed, hour_ms):
        end_ms = start_ms + GAP_MS
        if start_ms // HOUR_MS == (end_ms - 1) // HOUR_MS and _misses_each_minute(exchange, market, start_ms, end_ms):
            return Gap(market, start_ms, end_ms, is_refused)
    return None


def _places(seed: int, hour_ms: int) -> Iterator[int]:
    """Yield every whole second where a gap could begin, in seeded order."""
    seconds = np.arange(hour_ms + MARGIN_MS, hour_ms + HOUR_MS - MARGIN_MS - GAP_MS, 1000)
    order = np.argsort(draws(key_of(seed, "gap"), hour_ms, len(seconds)), kind="stable")
    yield from (int(second) for second in seconds[order])


def _misses_each_minute(exchange: MadeTrades, market: str, start_ms: int, end_ms: int) -> bool:
    minutes = set((exchange.made(market, start_ms, end_ms).ts_event // MINUTE_MS).tolist())
    return minutes == set(range(start_ms // MINUTE_MS, (end_ms - 1) // MINUTE_MS + 1))
