"""Since when, and until when, each market has been collected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Span:
    """Market time in which a market was collected; `until_ms` is None while it is."""

    since_ms: int
    until_ms: int | None = None


def noted(spans: Mapping[str, Span], markets: Iterable[str], now_ms: int) -> dict[str, Span]:
    """Give the spans after a look at which exactly these markets are collected.

    A market that comes back goes on from its first day: the time in between is not left without a label.
    """
    collected = set(markets)
    ended = {
        market: replace(span, until_ms=now_ms) if span.until_ms is None and market not in collected else span
        for market, span in spans.items()
    }
    running = {market: Span(spans[market].since_ms if market in spans else now_ms) for market in sorted(collected)}
    return {**ended, **running}
