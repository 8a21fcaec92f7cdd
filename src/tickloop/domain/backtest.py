"""Tick mode: replay one market's trades through strategy and fill model.

The compiled replay jumps over trades at which, by `wake`, the strategy cannot act and no order can fill.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.backtest_book import (
    Book,
    count_waiting,
    mark_due,
    open_book,
    place,
)
from tickloop.domain.backtest_fills import in_flight_of, resolve
from tickloop.domain.fills import FILL_WINDOW_MS, FillModel
from tickloop.domain.kernel import kernel
from tickloop.domain.replay import replay_of, translated
from tickloop.domain.rules import LadderTable, ladder_table
from tickloop.domain.strategy import (
    BUY,
    FOREVER,
    NOTHING,
    SELL,
    SELL_IN_FLIGHT,
    OrderParams,
    Params,
    Strategy,
    decide,
    default,
    wake,
)
from tickloop.domain.tape import ForecastSeries, Tape
from tickloop.domain.window import MINUTE_MS

_BLOCK = 256  # trades tested at once: long enough for vector instructions, short enough to stop soon


def run_ticks(
    tape: Tape,
    forecasts: ForecastSeries,
    params: OrderParams,
    model: FillModel,
    cash: float,
    *,
    strategy: Strategy = default,
    is_skipping: bool = True,
) -> Book:
    """Replay a tape and give the book: every order with its outcome, the round trips, what is left.

    Args:
        cash: KRW at the start.
        strategy: one that numba cannot compile is run plain, slower and not differently.
        is_skipping: False asks `decide` at every trade; the orders are the same, the tests say so.

    Raises:
        StrategyError: if another strategy than the default raises, or answers what cannot be done.
    """
    book = _room(tape, params, model, cash, is_bounded=strategy is default)
    start, end = int(tape.ts_ms[0]), int(tape.ts_ms[-1]) + 1
    replay: Callable[..., None] = _replay
    if strategy is not default:
        replay = translated(strategy, replay_of(strategy, _replay_body, _send))
    replay(
        params,
        model.latency_ms,
        model.ticks_against,
        ladder_table(tape.market, start, end),
        tape.ts_ms,
        tape.price,
        forecasts.minute_ms,
        forecasts.price,
        forecasts.usable_from_ms,
        book,
        is_skipping and strategy.wake is not None,
    )
    return book


def _room(tape: Tape, params: OrderParams, model: FillModel, cash: float, *, is_bounded: bool) -> Book:
    """A buy ends a cooldown, a filled sell ends a lot, an unfilled order takes the fill window: that bounds them."""
    trades = len(tape.ts_ms)
    span = int(tape.ts_ms[-1] - tape.ts_ms[0])
    max_buys = trades
    if is_bounded and isinstance(params, Params):
        max_buys = min(trades, span // (params.cooldown_ms + 1) + 1)
    max_unfilled = span // (FILL_WINDOW_MS + model.latency_ms) + 1
    return open_book(cash, max_buys, 2 * max_buys + max_unfilled)


def _replay_body(
    params: Params,
    latency_ms: int,
    ticks_against: int,
    ladders: LadderTable,
    ts: NDArray[np.int64],
    price: NDArray[np.float64],
    minute: NDArray[np.int64],
    forecast_price: NDArray[np.float64],
    usable_from: NDArray[np.int64],
    book: Book,
    is_skipping: bool,
) -> None:
    purse = book.purse[0]
    entry, filled_at, qty_e8 = book.entry, book.filled_at, book.qty_e8
    at = nth = until = 0
    forecast = np.nan
    while at < len(ts):
        now = ts[at]
        if min(purse["buy_at"], purse["sell_at"]) <= now:
            resolve(book, params, ladders, ticks_against, now, price[at])
        if until <= now:
            nth, forecast, until = _forecast_at(minute, forecast_price, usable_from, nth, now)
        cash, lots, last_buy = purse["cash"], purse["lots"], purse["last_buy_ms"]
        in_flight = in_flight_of(purse["sell_at"], purse["buy_at"])
        action = decide(params, entry, filled_at, qty_e8, lots, cash, last_buy, in_flight, now, price[at], forecast)
        if action != NOTHING:
            _send(book, params, action, latency_ms, now, price[at], forecast)
            if latency_ms == 0:
                resolve(book, params, ladders, ticks_against, now, price[at])
            cash, lots, last_buy = purse["cash"], purse["lots"], purse["last_buy_ms"]
            in_flight = in_flight_of(purse["sell_at"], purse["buy_at"])
        # At a buy too: with skipping, this may be the only trade seen while a late lot is too small.
        if action != SELL and lots > 0 and in_flight & SELL_IN_FLIGHT == 0:
            count_late(book, params, now, forecast)
        at += 1
        if is_skipping:
            hint = wake(params, entry, filled_at, qty_e8, lots, cash, last_buy, in_flight, now, forecast)
            change = min(until, hint[2], purse["sell_at"], purse["buy_at"])
            at = _skip(ts, price, at, hint[0], hint[1], change)


@kernel
def mark_leaving(book: Book, params: Params, now: int, price: float, _forecast: float) -> int:
    """Mark the lots that a SELL of the default strategy means; `replay_of` puts another strategy's in its place."""
    return mark_due(book, params, now, price)


@kernel
def count_late(book: Book, params: Params, now: int, _forecast: float) -> None:
    """Count the default strategy's lots that wait; `replay_of` puts another strategy's in its place."""
    count_waiting(book, params, now)


@kernel
def _send(book: Book, params: Params, action: int, latency_ms: int, now: int, price: float, forecast: float) -> None:
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
def _forecast_at(
    minute: NDArray[np.int64],
    forecast_price: NDArray[np.float64],
    usable_from: NDArray[np.int64],
    nth: int,
    now: int,
) -> tuple[int, float, int]:
    """Give the first forecast not over yet, the price usable now (NaN: none), and when that changes."""
    while nth < len(minute) and minute[nth] + MINUTE_MS <= now:
        nth += 1
    if nth == len(minute):
        return nth, np.nan, FOREVER
    end = minute[nth] + MINUTE_MS
    usable = max(minute[nth], usable_from[nth])
    if now >= usable:
        return nth, forecast_price[nth], end
    return nth, np.nan, min(usable, end)


@kernel
def _skip(ts: NDArray[np.int64], price: NDArray[np.float64], at: int, low: float, high: float, until: int) -> int:
    """Give the first trade from `at` on that reaches a time, or a price not inside (low, high)."""
    end = _first_at(ts, at, until)
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
def _first_at(ts: NDArray[np.int64], at: int, until: int) -> int:
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


_replay = kernel(_replay_body)
