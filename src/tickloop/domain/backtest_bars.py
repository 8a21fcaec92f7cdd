"""Bar mode: replay one-minute bars where the path inside a minute is not known, and say what is assumed.

Per bar: what has been held too long leaves at the open, a buy happens at the open, and a lot of an earlier bar leaves
at its target only if the high went more than a tick beyond it. Nothing else of a minute is used.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.backtest_book import Book, count_waiting, fill_buy, fill_sell, mark_late, open_book, place
from tickloop.domain.fills import price_against
from tickloop.domain.kernel import kernel
from tickloop.domain.rules import LadderTable, ladder_table, tick_at
from tickloop.domain.strategies.plain import PlainParams, all_of
from tickloop.domain.strategy import BUY, SELL, OrderParams, Params, is_affordable, is_late, is_sendable, is_wanted
from tickloop.domain.tape import BarTape, ForecastSeries
from tickloop.domain.window import MINUTE_MS


def run_bars(bars: BarTape, forecasts: ForecastSeries, params: Params, cash: float) -> Book:
    """Replay bars through the default strategy's rules; `usable_from_ms` of the forecasts is not looked at.

    Args:
        cash: KRW at the start.
    """
    # At most one buy a bar; every sell takes at least one lot away.
    book = open_book(cash, len(bars.ts_ms), 2 * len(bars.ts_ms))
    _replay_bars(params, _ladders(bars), bars.ts_ms, bars.open, bars.high, forecasts.minute_ms, forecasts.price, book)
    return book


def run_buy_and_hold(bars: BarTape, params: OrderParams, cash: float) -> Book:
    """Spend all the cash in one buy at the first open, and never sell."""
    book = open_book(cash, 1, 1)
    everything = PlainParams(all_of(cash, params.fee_rate), params.fee_rate, params.min_total)
    if everything.order_krw >= params.min_total:
        _buy(book, everything, _ladders(bars), int(bars.ts_ms[0]), float(bars.open[0]), np.nan)
    return book


def run_nothing(cash: float) -> Book:
    """Keep the cash."""
    return open_book(cash, 0, 0)


def _ladders(bars: BarTape) -> LadderTable:
    return ladder_table(bars.market, int(bars.ts_ms[0]), int(bars.ts_ms[-1]) + MINUTE_MS)


@kernel
def _replay_bars(
    params: Params,
    ladders: LadderTable,
    ts: NDArray[np.int64],
    opens: NDArray[np.float64],
    highs: NDArray[np.float64],
    minute: NDArray[np.int64],
    forecast_price: NDArray[np.float64],
    book: Book,
) -> None:
    nth = 0
    for bar in range(len(ts)):
        while nth < len(minute) and minute[nth] < ts[bar]:
            nth += 1
        forecast = forecast_price[nth] if nth < len(minute) and minute[nth] == ts[bar] else np.nan
        act_at_open(book, params, ladders, ts[bar], opens[bar], forecast)
        act_at_high(book, params, ladders, ts[bar], highs[bar], forecast)


@kernel
def act_at_open(book: Book, params: Params, ladders: LadderTable, ts_ms: int, price: float, forecast: float) -> None:
    """Sell what has been held too long, then buy if the forecast says so: both at the open of a bar."""
    purse = book.purse[0]
    if purse["lots"] > 0 and is_late(params, book.filled_at[0], ts_ms):  # the first lot is the oldest
        _sell_late(book, params, ladders, ts_ms, price, forecast)
    # The decision at an open stands for one a little later, so the next minute's is past the cooldown.
    is_cool = ts_ms - purse["last_buy_ms"] >= params.cooldown_ms
    if is_cool and is_wanted(params, price, forecast) and is_affordable(params, purse["cash"]):
        _buy(book, params, ladders, ts_ms, price, forecast)


@kernel
def act_at_high(book: Book, params: Params, ladders: LadderTable, ts_ms: int, high: float, forecast: float) -> None:
    """Sell the lots of earlier bars whose target the high of this one lies beyond."""
    if _lowest(book.entry, book.purse[0]["lots"]) * params.take_profit_num < high * params.take_profit_den:
        _sell_at_target(book, params, ladders, ts_ms, high, forecast)


@kernel
def _lowest(entry: NDArray[np.float64], lots: int) -> float:
    lowest = np.inf
    for lot in range(lots):
        lowest = min(lowest, entry[lot])
    return lowest


@kernel
def _sell_late(book: Book, params: Params, ladders: LadderTable, ts_ms: int, price: float, forecast: float) -> None:
    """Sell the lots held to the limit as one order at open - tick, if it reaches the minimum total at the open."""
    late_e8 = mark_late(book, params, ts_ms)
    if is_sendable(params, late_e8, price):
        row = place(book, SELL, int(np.count_nonzero(book.is_leaving[: book.purse[0]["lots"]])), ts_ms, price, forecast)
        fill_sell(book, params, row, ts_ms, price_against(ladders, price, ts_ms, -1))
    elif late_e8 > 0:
        count_waiting(book, params, ts_ms)


@kernel
def _buy(book: Book, params: OrderParams, ladders: LadderTable, ts_ms: int, price: float, forecast: float) -> None:
    row = place(book, BUY, 1, ts_ms, price, forecast)
    fill_buy(book, params, row, ts_ms, price_against(ladders, price, ts_ms, 1))
    book.purse[0]["last_buy_ms"] = ts_ms


@kernel
def _sell_at_target(book: Book, params: Params, ladders: LadderTable, ts_ms: int, high: float, forecast: float) -> None:
    """Sell each lot of an earlier bar by itself at its target, if the high went more than a tick beyond it."""
    below_high = high - tick_at(ladders, high, ts_ms)
    book.is_leaving[: book.purse[0]["lots"]] = False
    lot = 0
    while lot < book.purse[0]["lots"]:
        is_reached = book.entry[lot] * params.take_profit_num < below_high * params.take_profit_den
        target = book.entry[lot] * params.take_profit_num / params.take_profit_den
        if book.filled_at[lot] < ts_ms and is_reached and is_sendable(params, book.qty_e8[lot], target):
            book.is_leaving[lot] = True
            row = place(book, SELL, 1, ts_ms, target, forecast)
            fill_sell(book, params, row, ts_ms, target)
        else:
            lot += 1
