"""Stretches of market time in which a stream may have missed events, kept few by joining neighbours."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True, order=True, slots=True)
class Gap:
    """Trades of one market in `[start_ms, end_ms)` (epoch ms, UTC) may be missing."""

    market: str
    start_ms: int
    end_ms: int

    def __contains__(self, ts_ms: int) -> bool:
        return self.start_ms <= ts_ms < self.end_ms


def join(gaps: Iterable[Gap], most_per_market: int) -> list[Gap]:
    """Give the same stretches by market and start, those that touch as one, and at most so many of a market.

    Where there are more, the two with the least time between them become one: what is asked for twice does no harm,
    what is dropped does.
    """
    by_market: dict[str, list[Gap]] = {}
    for gap in sorted(gaps):
        known = by_market.setdefault(gap.market, [])
        if known and gap.start_ms <= known[-1].end_ms:
            known[-1] = replace(known[-1], end_ms=max(known[-1].end_ms, gap.end_ms))
        else:
            known.append(gap)
    for known in by_market.values():
        while len(known) > most_per_market:
            _join_nearest(known)
    return [gap for known in by_market.values() for gap in known]


def _join_nearest(known: list[Gap]) -> None:
    place = min(range(len(known) - 1), key=lambda at: known[at + 1].start_ms - known[at].end_ms)
    known[place : place + 2] = [replace(known[place], end_ms=known[place + 1].end_ms)]
