"""One market's turn in a replay of trades: from where it stands up to the first change of its orders.

A replay of one market is one turn after the other; several markets with one purse take turns. Over trades at which,
by `wake`, the strategy cannot act and no order can fill, a turn jumps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.backtest_book import Book, count_waiting, mark_due, place
from tickloop.domain.backtest_fills import in_flight_of, resolve
from tickloop.domain.depth import Depth
from tickloop.domain.kernel import kernel
from tickloop.domain.market import QTY_UNITS
from tickloop.domain.rules import LadderTable
from tickloop.domain.strategy import (
    BUY,
    FOREVER,
    NEVER,
    NOTHING,
    SELL,
    SELL_IN_FLIGHT,
    OrderParams,
    Params,
    decide,
    wake,
)
from tickloop.domain.window import MINUTE_MS

_E8 = float(QTY_UNITS)
_BLOCK = 256  # trades tested at once: long enough for vector instructions, short enough to stop soon

WATCH_DTYPE = np.dtype(
    [
        ("at", "i8"),  # place in the chunk of the next trade to ask at
        ("after", "i8"),  # place after the last trade asked at
        ("seen_ms", "i8"),  # time of that trade; NEVER before the first
        ("nth", "i8"),  # the first forecast that is not over
        ("forecast", "f8"),  # what may be used now; NaN: none
        ("until", "i8"),  # when that changes
        ("low", "f8"),  # asleep while low < price < high, until `change`
        ("high", "f8"),
        ("change", "i8"),
    ]
)
"""Where a market's replay stands, and what it looks out for."""


def open_watch(markets: int) -> NDArray[np.void]:
    """Give markets that have seen nothing and are asked at their first trade: WATCH_DTYPE (markets,)."""
    watch = np.zeros(markets, WATCH_DTYPE)
    watch["seen_ms"] = NEVER
    watch["forecast"] = np.nan
    watch["low"], watch["high"] = np.inf, -np.inf
    return watch


@kernel
def resume(
    watch: Any,
    ts: NDArray[np.int64],
    price: NDArray[np.float64],
    minute: NDArray[np.int64],
    forecast_price: NDArray[np.float64],
    usable_from: NDArray[np.int64],
) -> None:
    """Put a market at the start of its next chunk: it sleeps on, unless the chunk brings the next forecast."""
    if watch["until"] == FOREVER:
        _, _, watch["until"] = forecast_at(minute, forecast_price, usable_from, 0, watch["seen_ms"])
        watch["change"] = min(watch["change"], watch["until"])
    watch["nth"] = 0
    watch["after"] = 0
    watch["at"] = skip(ts, price, 0, watch["low"], watch["high"], watch["change"])


@kernel
def has_room(book: Book) -> bool:
    """Tell whether the arrays hold what one trade can add at most: two lots, two orders, and a trip for every lot."""
    purse = book.purse[0]
    lots = purse["lots"] + 2
    return bool(
        lots <= len(book.entry) and purse["orders"] + 2 <= len(book.orders) and purse["trips"] + lots <= len(book.trips)
    )


@kernel
def set_aside_e8(params: OrderParams, buy_at: int) -> int:
    """Give the KRW, in 1e-8, that a buy in flight keeps: what it spends, with the fee."""
    return 0 if buy_at == FOREVER else round((params.order_krw + params.order_krw * params.fee_rate) * _E8)


@kernel
def free_cash(cash: float, held_e8: int) -> float:
    """Give the cash that no buy in flight has set aside, as the bot's purse does."""
    return cash - held_e8 / _E8 if held_e8 else cash


def turn_body(
    params: Params,
    latency_ms: int,
    ticks_against: int,
    ladders: LadderTable,
    depth: Depth | None,
    ts: NDArray[np.int64],
    price: NDArray[np.float64],
    minute: NDArray[np.int64],
    forecast_price: NDArray[np.float64],
    usable_from: NDArray[np.int64],
    watch: Any,
    book: Book,
    others_e8: int,
    stop_ms: int,
    is_skipping: bool,
) -> None:
    """Replay trades before `stop_ms`, up to and with the first that changes an order; `watch` keeps where it stands.

    Args:
        depth: recorded order books to fill from; None where `ticks_against` is the rule.
        others_e8: KRW, in 1e-8, that buys of other markets have set aside.
    """
    purse = book.purse[0]
    entry, filled_at, qty_e8 = book.entry, book.filled_at, book.qty_e8
    at, now, nth = watch["at"], watch["seen_ms"], watch["nth"]
    forecast, until = watch["forecast"], watch["until"]
    is_quiet = True
    while is_quiet and at < len(ts) and ts[at] < stop_ms:
        now = ts[at]
        if min(purse["buy_at"], purse["sell_at"]) <= now:
            resolve(book, params, ladders, depth, ticks_against, now, price[at])
            is_quiet = False
        if until <= now:
            nth, forecast, until = forecast_at(minute, forecast_price, usable_from, nth, now)
        cash = free_cash(purse["cash"], others_e8 + set_aside_e8(params, purse["buy_at"]))
        lots, last_buy = purse["lots"], purse["last_buy_ms"]
        in_flight = in_flight_of(purse["sell_at"], purse["buy_at"])
        action = decide(params, entry, filled_at, qty_e8, lots, cash, last_buy, in_flight, now, price[at], forecast)
        if action != NOTHING:
            is_quiet = False
            send(book, params, action, latency_ms, now, price[at], forecast)
            if latency_ms == 0:
                resolve(book, params, ladders, depth, ticks_against, now, price[at])
            cash = free_cash(purse["cash"], others_e8 + set_aside_e8(params, purse["buy_at"]))
            lots, last_buy = purse["lots"], purse["last_buy_ms"]
            in_flight = in_flight_of(purse["sell_at"], purse["buy_at"])
        # At a buy too: with skipping, this may be the only trade seen while a late lot is too small.
        if action != SELL and lots > 0 and in_flight & SELL_IN_FLIGHT == 0:
            count_late(book, params, now, forecast)
        at += 1
        watch["after"] = at
        if is_skipping:
            hint = wake(params, entry, filled_at, qty_e8, lots, cash, last_buy, in_flight, now, forecast)
            watch["low"], watch["high"] = hint[0], hint[1]
            watch["change"] = min(until, hint[2], purse["sell_at"], purse["buy_at"])
            at = skip(ts, price, at, hint[0], hint[1], watch["change"])
    watch["at"], watch["seen_ms"], watch["nth"] = at, now, nth
    watch["forecast"], watch["until"] = forecast, until


def rewake_body(
    params: Params,
    ts: NDArray[np.int64],
    price: NDArray[np.float64],
    watch: Any,
    book: Book,
    cash: float,
    since_ms: int,
) -> None:
    """Let a sleeping market know that its cash has changed: it may have to wake earlier than it meant to.

    Args:
        cash: KRW that it could spend now.
        since_ms: its first trade from then on comes after the change.
    """
    if watch["seen_ms"] == NEVER:  # it is asked at its first trade whatever the cash
        return
    purse = book.purse[0]
    sell_at, buy_at = purse["sell_at"], purse["buy_at"]
    hint = wake(
        params,
        book.entry,
        book.filled_at,
        book.qty_e8,
        purse["lots"],
        cash,
        purse["last_buy_ms"],
        in_flight_of(sell_at, buy_at),
        watch["seen_ms"],
        watch["forecast"],
    )
    change = min(watch["until"], hint[2], sell_at, buy_at)
    if hint[0] > watch["low"] or hint[1] < watch["high"] or change < watch["change"]:
        watch["low"], watch["high"], watch["change"] = hint[0], hint[1], change
        at = first_at(ts, watch["after"], since_ms)
        watch["at"] = skip(ts, price, at, hint[0], hint[1], change)


@kernel
def mark_leaving(book: Book, params: Params, now: int, price: float, _forecast: float) -> int:
    """Mark the lots that a SELL of the default strategy means; `replay_of` puts another strategy's in its place."""
    return mark_due(book, params, now, price)


@kernel
def count_late(book: Book, params: Params, now: int, _forecast: float) -> None:
    """Count the default strategy's lots that wait; `replay_of` puts another strategy's in its place."""
    count_waiting(book, params, now)


@kernel
def send(book: Book, params: Params, action: int, latency_ms: int, now: int, price: float, forecast: float) -> None:
    purse = book.purse[0]
    if action == SELL:
        lots = mark_leaving(book, params, now, price, forecast)
        purse["sell_row"] = place(book, SELL, lots, now, price, forecast)
        purse["sell_at"] = now + latency_ms
    else:
        purse["buy_row"] = place(book, BUY, 1, now, price, forecast)
        purse["buy_at"] = now + latency_ms
        purse["last_buy_ms"] = now


@kernel
def forecast_at(
    minute: NDArray[np.int64],
    forecast_price: NDArray[np.float64],
    usable_from: NDArray[np.int64],
    nth: int,
    now: int,
) -> tuple[int, float, int]:
    """Give the first forecast not over yet, the price usable now (NaN: none), and when that changes."""
    nth = first_at(minute, nth, now - MINUTE_MS + 1)
    if nth == len(minute):
        return nth, np.nan, FOREVER
    end = minute[nth] + MINUTE_MS
    usable = max(minute[nth], usable_from[nth])
    if now >= usable:
        return nth, forecast_price[nth], end
    return nth, np.nan, min(usable, end)


@kernel
def skip(ts: NDArray[np.int64], price: NDArray[np.float64], at: int, low: float, high: float, until: int) -> int:
    """Give the first trade from `at` on that reaches a time, or a price not inside (low, high)."""
    end = first_at(ts, at, until)
    while at + _BLOCK <= end:
        outside = 0
        for i in range(at, at + _BLOCK):
            outside += (price[i] <= low) | (price[i] >= high)
        if outside:
            break
        at += _BLOCK
    while at < end and low < price[at] < high:
        at += 1
    return at


@kernel
def first_at(ts: NDArray[np.int64], at: int, until: int) -> int:
    """Give the first place from `at` on whose time is not before `until`: steps that double, then halves."""
    step = 1
    low = at
    while low + step < len(ts) and ts[low + step] < until:
        low += step
        step *= 2
    high = min(low + step, len(ts))
    while low < high:
        middle = (low + high) // 2
        if ts[middle] < until:
            low = middle + 1
        else:
            high = middle
    return low


turn = kernel(turn_body)
rewake = kernel(rewake_body)
