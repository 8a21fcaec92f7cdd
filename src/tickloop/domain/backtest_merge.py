"""Several markets with one purse: their trades in one order, each market's turns by the rules of one market alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.backtest_book import Book
from tickloop.domain.backtest_shelf import Shelf, book_of, share
from tickloop.domain.backtest_turn import free_cash, has_room, resume, rewake, set_aside_e8, turn
from tickloop.domain.depth import Depth
from tickloop.domain.kernel import kernel
from tickloop.domain.rules import LadderTable
from tickloop.domain.strategy import Params

PLACE_BITS = 12
"""Of a market's place in the list, below the time in a key: trades go by time, then by place."""

_PLACES = (1 << PLACE_BITS) - 1
NO_TRADE = (1 << 63) - 1


class Chunk(NamedTuple):
    """Trades and forecasts of k markets, one market after the other.

    Attributes:
        ts, price: of the trades; market m has places [trade_from[m], trade_from[m + 1]).
        minute, forecast_price, usable_from: of the forecasts, likewise.
        depth: recorded order books, likewise; None where the fill model needs none.
        ladders: price units, with the market as first axis.
    """

    ts: NDArray[np.int64]
    price: NDArray[np.float64]
    trade_from: NDArray[np.int64]
    minute: NDArray[np.int64]
    forecast_price: NDArray[np.float64]
    usable_from: NDArray[np.int64]
    forecast_from: NDArray[np.int64]
    ladders: LadderTable
    depth: Depth | None
    depth_from: NDArray[np.int64]


@kernel
def resume_all(chunk: Chunk, watch: NDArray[Any]) -> None:
    """Put every market at the start of its next chunk."""
    for market in range(len(watch)):
        low, high = chunk.trade_from[market], chunk.trade_from[market + 1]
        first, last = chunk.forecast_from[market], chunk.forecast_from[market + 1]
        resume(
            watch[market],
            chunk.ts[low:high],
            chunk.price[low:high],
            chunk.minute[first:last],
            chunk.forecast_price[first:last],
            chunk.usable_from[first:last],
        )


def merge_body(
    params: Sequence[Params],
    latency_ms: int,
    ticks_against: int,
    chunk: Chunk,
    watch: NDArray[Any],
    shelf: Shelf,
    keys: NDArray[np.int64],
    is_skipping: bool,
) -> bool:
    """Replay to the end of the chunk; False when the shelf has to grow first, and then to be called again.

    Args:
        params: those of each market; compiled code takes an array of records in their place.
        keys: int64 (k,), room for the heap of what each market waits for.
    """
    _build(keys, chunk, watch)
    while keys[0] != NO_TRADE:
        market = keys[0] & _PLACES
        book = book_of(shelf, market)
        if not has_room(book):
            return False
        free = free_cash(shelf.pool[0]["cash"], shelf.pool[0]["held_e8"])
        stop_ms = _stop(keys, market)
        take_turn(params, latency_ms, ticks_against, chunk, watch, shelf, book, market, stop_ms, is_skipping)
        keys[0] = _key(chunk, watch, market)
        _sink(keys, 0)
        if is_skipping and free_cash(shelf.pool[0]["cash"], shelf.pool[0]["held_e8"]) != free:
            wake_others(params, chunk, watch, shelf, market)
            _build(keys, chunk, watch)
    return True


def take_turn_body(
    params: Sequence[Params],
    latency_ms: int,
    ticks_against: int,
    chunk: Chunk,
    watch: NDArray[Any],
    shelf: Shelf,
    book: Book,
    market: int,
    stop_ms: int,
    is_skipping: bool,
) -> None:
    """Let one market go on, and put what it did into the shared list."""
    own, purse, pool = params[market], book.purse[0], shelf.pool[0]
    others_e8 = pool["held_e8"] - set_aside_e8(own, purse["buy_at"])
    trades = slice(chunk.trade_from[market], chunk.trade_from[market + 1])
    minutes = slice(chunk.forecast_from[market], chunk.forecast_from[market + 1])
    turn(
        own,
        latency_ms,
        ticks_against,
        ladders_of(chunk.ladders, market),
        _depth(chunk.depth, chunk.depth_from, market),
        chunk.ts[trades],
        chunk.price[trades],
        chunk.minute[minutes],
        chunk.forecast_price[minutes],
        chunk.usable_from[minutes],
        watch[market],
        book,
        others_e8,
        stop_ms,
        is_skipping,
    )
    share(shelf, book, market)
    pool["held_e8"] = others_e8 + set_aside_e8(own, purse["buy_at"])


def wake_others_body(params: Sequence[Params], chunk: Chunk, watch: NDArray[Any], shelf: Shelf, market: int) -> None:
    """Let the others know of the cash after a turn of one market."""
    cash = free_cash(shelf.pool[0]["cash"], shelf.pool[0]["held_e8"])
    now = watch[market]["seen_ms"]
    for other in range(len(watch)):
        if other != market:
            trades = slice(chunk.trade_from[other], chunk.trade_from[other + 1])
            # Of this very millisecond the trades of markets earlier in the list are over, those of later ones not.
            since_ms = now + 1 if other < market else now
            book = book_of(shelf, other)
            rewake(params[other], chunk.ts[trades], chunk.price[trades], watch[other], book, cash, since_ms)


@kernel
def ladders_of(ladders: LadderTable, market: int) -> LadderTable:
    """Give one market's price units out of those of all."""
    return LadderTable(ladders.valid_from[market], ladders.thresholds[market], ladders.ticks[market])


@kernel
def _depth(depth: Depth | None, depth_from: NDArray[np.int64], market: int) -> Depth | None:
    if depth is None:
        return None
    low, high = depth_from[market], depth_from[market + 1]
    return Depth(
        depth.ts_ms[low:high],
        depth.ask_price[low:high],
        depth.ask_e8[low:high],
        depth.bid_price[low:high],
        depth.bid_e8[low:high],
    )


@kernel
def _key(chunk: Chunk, watch: NDArray[Any], market: int) -> int:
    """Give what a market waits for: the time of its next trade and its place in the list, as one number."""
    at = chunk.trade_from[market] + watch[market]["at"]
    if at >= chunk.trade_from[market + 1]:
        return NO_TRADE
    return int(chunk.ts[at] << PLACE_BITS | market)


@kernel
def _stop(keys: NDArray[np.int64], market: int) -> int:
    """Give the time before which the market on top is the next in order, whatever it does."""
    second = NO_TRADE
    for place in range(1, min(3, len(keys))):
        second = min(second, keys[place])
    # In the same millisecond the market that is earlier in the list comes first, with all its trades.
    is_before = market < second & _PLACES
    return int((second >> PLACE_BITS) + (1 if is_before else 0))


@kernel
def _build(keys: NDArray[np.int64], chunk: Chunk, watch: NDArray[Any]) -> None:
    """Fill the heap: the least key on top, each above those at twice its place + 1 and + 2."""
    for market in range(len(keys)):
        keys[market] = _key(chunk, watch, market)
    for place in range(len(keys) // 2 - 1, -1, -1):
        _sink(keys, place)


@kernel
def _sink(keys: NDArray[np.int64], place: int) -> None:
    key = keys[place]
    while 2 * place + 1 < len(keys):
        child = 2 * place + 1
        if child + 1 < len(keys) and keys[child + 1] < keys[child]:
            child += 1
        if keys[child] >= key:
            break
        keys[place] = keys[child]
        place = child
    keys[place] = key


take_turn = kernel(take_turn_body)
wake_others = kernel(wake_others_body)
merge = kernel(merge_body)
