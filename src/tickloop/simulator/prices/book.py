"""The made order book: the recording has none, so one is put around the last trade."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from functools import lru_cache
from typing import NamedTuple

from tickloop.domain.market import QTY_UNITS
from tickloop.domain.rules import QTY_STEP, tick_size
from tickloop.domain.window import DAY_MS
from tickloop.simulator.prices.seeded import draws, key_of

DEPTH = 30
"""Levels a side, as on the exchange since 2025-05-07."""

_LEAST_KRW, _MOST_KRW = 500_000, 50_000_000  # money on one level: our choice, no source


class Level(NamedTuple):
    """One price of a book and the base units that stand there."""

    price: Decimal
    qty: Decimal


@dataclass(frozen=True)
class Book:
    """Both sides, best first; one tick between the levels. Not from the recording, but for the price it stands at."""

    market: str
    ts_ms: int
    asks: tuple[Level, ...]
    bids: tuple[Level, ...]


def make_book(market: str, price: float, trade_id: int, ts_ms: int, seed: int, depth: int = DEPTH) -> Book:
    """Put a book around the last trade: best ask one tick above it, best bid one tick below, seeded sizes.

    Args:
        trade_id: of that trade; a new trade gives new sizes.
        depth: levels a side; near the price 0 there may be fewer bids.
    """
    asks, bids = _prices(market, price, ts_ms - ts_ms % DAY_MS, depth)
    sizes = draws(key_of(seed, "book"), trade_id, 2 * depth)
    return Book(
        market,
        ts_ms,
        tuple(_level(ask, int(size)) for ask, size in zip(asks, sizes[0::2], strict=False)),
        tuple(_level(bid, int(size)) for bid, size in zip(bids, sizes[1::2], strict=False)),
    )


def level_sizes(book: Book) -> list[Decimal]:
    """Give the price step at the best ask, and the greater steps that a book can be put together to.

    Ten to ten million steps' worth, as the exchange lists for KRW-BTC; how it does for other prices is not told.
    """
    step = tick_size(book.market, book.asks[0].price, book.ts_ms)
    return [step * 10**power for power in range(6) if power == 0 or step * 10**power < book.asks[0].price * 10]


def levelled(book: Book, level: Decimal) -> Book | None:
    """Put a book together to steps of `level` KRW, asks rounded up and bids down; None where it is not supported."""
    if not level:
        return book
    if level not in level_sizes(book)[1:]:
        return None
    asks = _together(book.asks, level, ROUND_CEILING)
    return Book(book.market, book.ts_ms, asks, _together(book.bids, level, ROUND_FLOOR))


def _together(levels: tuple[Level, ...], step: Decimal, rounding: str) -> tuple[Level, ...]:
    sums: dict[Decimal, Decimal] = {}
    for price, qty in levels:
        at = (price / step).to_integral_value(rounding=rounding) * step
        sums[at] = sums.get(at, Decimal(0)) + qty
    return tuple(Level(price, qty) for price, qty in sums.items() if price > 0)


def _level(price: Decimal, size: int) -> Level:
    krw = _LEAST_KRW + size % (_MOST_KRW - _LEAST_KRW)
    return Level(price, max(int(krw * QTY_UNITS / price), 1) * QTY_STEP)


@lru_cache(4096)
def _prices(market: str, price: float, day_ms: int, depth: int) -> tuple[list[Decimal], list[Decimal]]:
    asks, bids = [Decimal(repr(price))], [Decimal(repr(price))]
    for _ in range(depth):
        asks.append(asks[-1] + tick_size(market, asks[-1], day_ms))
        below = bids[-1] - tick_size(market, bids[-1], day_ms)
        if len(bids) == len(asks) - 1 and below > 0:
            bids.append(below)
    return asks[1:], bids[1:]
