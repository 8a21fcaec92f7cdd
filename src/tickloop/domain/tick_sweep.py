"""Many settings of the default strategy over the same trades, without keeping the orders of any.

Each setting is decided, filled and valued by the functions of a single run; only what lies between two trades at which
something can happen is found faster, in the lows and highs of the tape that all settings share.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tickloop.domain.fills import FillModel
from tickloop.domain.kernel import kernel, threaded
from tickloop.domain.order_terms import check_one_term
from tickloop.domain.rules import LadderTable, ladder_table
from tickloop.domain.strategy import (
    BUY_IN_FLIGHT,
    EARLY,
    FOREVER,
    NOTHING,
    SELL_IN_FLIGHT,
    Params,
    decide,
    default,
    is_affordable,
    is_late,
    is_sendable,
    is_wanted,
    wake,
)
from tickloop.domain.strategy_params import check_params
from tickloop.domain.tape import ForecastSeries, Tape
from tickloop.domain.target_sweep import RESULT_DTYPE
from tickloop.domain.tick_index import TickIndex, first_outside, first_trade_at, index_of
from tickloop.domain.tick_seat import Seat, clear, held_e8, mark, resolve, seat_for, send, value_of
from tickloop.errors import UsageError

_CHUNK = 128  # settings that a thread takes at a time

_SETTING_DTYPE = np.dtype(
    [(name, np.array(value).dtype) for name, value in default.presets["default"]._asdict().items()]
)


def sweep_ticks(
    tape: Tape,
    forecasts: ForecastSeries,
    settings: Sequence[Params],
    model: FillModel,
    cash: float,
    threads: int = 1,
) -> pl.DataFrame:
    """Run each setting of the default strategy over all trades, from the same cash.

    Args:
        model: one that fills by the trades alone.
        threads: that many at once; what comes out does not depend on it.

    Returns:
        One row per setting, in their order: the fields of Params, then profit_krw (open lots at the last price after
        the fee of selling), orders (sent), trades (lots bought and sold), fees_krw, turnover_krw, max_drawdown_krw (at
        the ends of minutes with a trade), held_bars (such minutes with a lot at their end), open_lots. The orders
        behind them are those of `run_ticks` for that setting.

    Raises:
        UsageError: if there is no setting, one is out of range, the fill model needs order books, or fee or size of
            orders change within the tape.
    """
    index = index_of(tape, forecasts)
    part = np.zeros(len(index.minute_close), np.int64)
    return sweep_parts(tape, index, settings, model, cash, part, threads)[0]


def sweep_parts(
    tape: Tape,
    index: TickIndex,
    settings: Sequence[Params],
    model: FillModel,
    cash: float,
    part: NDArray[np.int64],
    threads: int = 1,
) -> tuple[pl.DataFrame, NDArray[np.float64]]:
    """Do as `sweep_ticks`, and give the equity at the end of each part of the time.

    Args:
        index: `index_of` the tape and the forecasts.
        part: part of the time in which each minute with a trade lies, int64 (m,), ascending.

    Returns:
        The rows, and float64 (settings, parts): KRW at the last minute of each part, NaN where one has no minute.
    """
    _check(settings, model)
    start_ms, end_ms = int(tape.ts_ms[0]), int(tape.ts_ms[-1]) + 1
    check_one_term(settings[0], tape.market, start_ms, end_ms)
    ladders = ladder_table(tape.market, start_ms, end_ms)
    rows = np.array([tuple(setting) for setting in settings], _SETTING_DTYPE)
    results = np.zeros(len(settings), RESULT_DTYPE)
    ends = np.full((len(settings), int(part[-1]) + 1), np.nan)

    def run(start: int) -> None:
        some = slice(start, start + _CHUNK)
        seat = seat_for(len(tape.ts_ms))
        latency, against = model.latency_ms, model.ticks_against
        _sweep(index, ladders, rows[some], latency, against, cash, part, seat, results[some], ends[some])

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(run, range(0, len(settings), _CHUNK)))
    columns = {name: rows[name] for name in Params._fields}
    return pl.DataFrame(columns | {name: results[name] for name in RESULT_DTYPE.names or ()}), ends


def _check(settings: Sequence[Params], model: FillModel) -> None:
    if not settings:
        raise UsageError("a sweep of no setting; valid: at least one")
    if model.is_by_depth:
        raise UsageError(f"fill model {model.name!r} needs order books, a sweep has none; valid: spread, last")
    for setting in settings:
        check_params(default, setting)


@threaded
def _sweep(
    index: TickIndex,
    ladders: LadderTable,
    rows: NDArray[np.void],
    latency_ms: int,
    ticks_against: int,
    cash: float,
    part: NDArray[np.int64],
    seat: Seat,
    results: NDArray[np.void],
    ends: NDArray[np.float64],
) -> None:
    for at in range(len(results)):
        row, result = rows[at], results[at]
        params = Params(
            row["order_krw"],
            row["min_edge"],
            row["fee_rate"],
            row["take_profit_num"],
            row["take_profit_den"],
            row["hold_ms"],
            row["cooldown_ms"],
            row["min_total"],
        )
        clear(seat, cash)
        _run(index, ladders, params, latency_ms, ticks_against, part, seat, ends[at])
        purse = seat.purse[0]
        value = value_of(held_e8(seat), index.price[-1], params.fee_rate)
        result["profit_krw"] = purse["cash"] + value - cash
        result["orders"] = purse["orders"]
        result["trades"] = purse["trades"]
        result["fees_krw"] = purse["fees"]
        result["turnover_krw"] = purse["turnover"]
        result["max_drawdown_krw"] = purse["drawdown"]
        result["held_bars"] = purse["held"]
        result["open_lots"] = purse["lots"]


@kernel
def _run(
    index: TickIndex,
    ladders: LadderTable,
    params: Params,
    latency_ms: int,
    ticks_against: int,
    part: NDArray[np.int64],
    seat: Seat,
    ends: NDArray[np.float64],
) -> None:
    purse = seat.purse[0]
    entry, filled_at, qty_e8 = seat.entry, seat.filled_at, seat.qty_e8
    ts, prices = index.ts, index.price
    at = span = 0
    while at < len(ts):
        now, price, forecast = ts[at], prices[at], index.span_forecast[span]
        if min(purse["buy_at"], purse["sell_at"]) <= now:
            mark(index.minute_at, index.minute_close, part, at, params.fee_rate, seat, ends)
            resolve(seat, params, ladders, ticks_against, now, price)
        lots, cash, last_buy, in_flight = purse["lots"], purse["cash"], purse["last_buy_ms"], _in_flight(seat)
        action = decide(params, entry, filled_at, qty_e8, lots, cash, last_buy, in_flight, now, price, forecast)
        if action != NOTHING:
            send(seat, params, action, latency_ms, now, price)
            if latency_ms == 0:
                mark(index.minute_at, index.minute_close, part, at, params.fee_rate, seat, ends)
                resolve(seat, params, ladders, ticks_against, now, price)
        at, span = _next(index, params, seat, at + 1, span, now)
    mark(index.minute_at, index.minute_close, part, len(ts), params.fee_rate, seat, ends)


@kernel
def _in_flight(seat: Seat) -> int:
    purse = seat.purse[0]
    sell = SELL_IN_FLIGHT if purse["sell_at"] != FOREVER else 0
    return sell | (BUY_IN_FLIGHT if purse["buy_at"] != FOREVER else 0)


@kernel
def _next(index: TickIndex, params: Params, seat: Seat, at: int, span: int, now: int) -> tuple[int, int]:
    """Give the first trade from `at` on at which an order can fill or `decide` can act, and its span.

    Args:
        now: time of the trade before it.
    """
    purse = seat.purse[0]
    sell_at, buy_at = purse["sell_at"], purse["buy_at"]
    in_flight = _in_flight(seat)
    high, until = _first_sell(params, seat.entry, seat.filled_at, seat.qty_e8, purse["lots"], in_flight, now)
    until = min(until, sell_at, buy_at)
    buy_ms = FOREVER
    if in_flight == 0 and is_affordable(params, purse["cash"]):
        buy_ms = purse["last_buy_ms"] + params.cooldown_ms + 1
    spans = len(index.span_low)
    while True:
        if at == index.span_at[span + 1]:
            span += 1
        if span == spans:
            return at, span
        last_ms, forecast = index.span_last_ms[span], index.span_forecast[span]
        can_buy = buy_ms <= last_ms and is_wanted(params, index.span_low[span], forecast)
        if until > last_ms and not can_buy and index.span_high[span] < high:
            at = index.span_at[span + 1]
            continue
        end = index.span_at[span + 1]
        stop = end if until > last_ms else first_trade_at(index.ts, at, end, until)
        low = -np.inf
        if can_buy:
            cool = first_trade_at(index.ts, at, stop, buy_ms)
            at = first_outside(index.price, index.block_low, index.block_high, at, cool, low, high)
            if at < cool:
                return at, span
            low = forecast / (1.0 + params.min_edge) * (1.0 + EARLY)
        at = first_outside(index.price, index.block_low, index.block_high, at, stop, low, high)
        if at < end:
            return at, span


@kernel
def _first_sell(
    params: Params,
    entry: NDArray[np.float64],
    filled_at: NDArray[np.int64],
    qty_e8: NDArray[np.int64],
    lots: int,
    in_flight: int,
    now: int,
) -> tuple[float, int]:
    """Give the price and the time before which no lot can be sold; `wake` says so in general, this in most cases."""
    if lots == 0 or in_flight & SELL_IN_FLIGHT:
        return np.inf, FOREVER
    if not is_late(params, filled_at[0], now):  # the first lot is the oldest
        lowest = 0
        for lot in range(1, lots):
            if entry[lot] < entry[lowest]:
                lowest = lot
        price = entry[lowest] * params.take_profit_num / params.take_profit_den
        if is_sendable(params, qty_e8[lowest], price):  # by itself, so that no other lot matters
            return price * (1.0 - EARLY), filled_at[0] + params.hold_ms
    # Without cash and forecast it tells about sells only.
    hint = wake(params, entry, filled_at, qty_e8, lots, 0.0, 0, in_flight, now, np.nan)
    return hint[1], hint[2]
