"""How orders in flight end in a replay: filled by the trade that reaches their instant, or given up."""

from __future__ import annotations

from tickloop.domain.backtest_book import (
    NO_FILL,
    Book,
    fill_buy,
    fill_sell,
    leaving_e8,
    settle_buy,
    settle_sell,
)
from tickloop.domain.depth import Depth
from tickloop.domain.depth_fills import is_behind, newest_book, take_asks, take_bids
from tickloop.domain.fills import FILL_WINDOW_MS, price_against
from tickloop.domain.kernel import kernel
from tickloop.domain.rules import LadderTable
from tickloop.domain.strategy import BUY_IN_FLIGHT, FOREVER, SELL_IN_FLIGHT, OrderParams


@kernel
def resolve(
    book: Book, params: OrderParams, ladders: LadderTable, depth: Depth | None, ticks: int, now: int, price: float
) -> None:
    """Fill, or give up, the orders whose instant this trade is the first to reach; a buy was decided first.

    Args:
        depth: recorded order books to fill from; None where the trade's price and `ticks` against us are the rule.
    """
    purse = book.purse[0]
    if purse["buy_at"] <= now:
        if now - purse["buy_at"] > FILL_WINDOW_MS:
            book.orders[purse["buy_row"]]["outcome"] = NO_FILL
        elif depth is None:
            fill_buy(book, params, purse["buy_row"], now, price_against(ladders, price, now, ticks))
        else:
            _buy_from(depth, book, params, ladders, ticks, now, price)
        purse["buy_at"] = FOREVER
    if purse["sell_at"] <= now:
        if now - purse["sell_at"] > FILL_WINDOW_MS:
            book.orders[purse["sell_row"]]["outcome"] = NO_FILL
        elif depth is None:
            fill_sell(book, params, purse["sell_row"], now, price_against(ladders, price, now, -ticks))
        else:
            _sell_into(depth, book, params, ladders, ticks, now, price)
        purse["sell_at"] = FOREVER


@kernel
def _buy_from(
    depth: Depth, book: Book, params: OrderParams, ladders: LadderTable, ticks: int, now: int, price: float
) -> None:
    purse, row = book.purse[0], book.purse[0]["buy_row"]
    at = newest_book(depth.ts_ms, now)
    if at < 0 or is_behind(depth.ask_price[at], depth.ask_e8[at], 1, price):
        fill_buy(book, params, row, now, price_against(ladders, price, now, ticks))
        return
    used_e8 = purse["ask_used_e8"] if purse["ask_ms"] == depth.ts_ms[at] else 0
    done = take_asks(depth.ask_price[at], depth.ask_e8[at], price, used_e8, params.order_krw)
    purse["ask_ms"], purse["ask_used_e8"] = depth.ts_ms[at], done.reached_e8
    book.orders[row]["book_ms"] = depth.ts_ms[at]
    settle_buy(book, params, row, now, done)


@kernel
def _sell_into(
    depth: Depth, book: Book, params: OrderParams, ladders: LadderTable, ticks: int, now: int, price: float
) -> None:
    purse, row = book.purse[0], book.purse[0]["sell_row"]
    at = newest_book(depth.ts_ms, now)
    if at < 0 or is_behind(depth.bid_price[at], depth.bid_e8[at], -1, price):
        fill_sell(book, params, row, now, price_against(ladders, price, now, -ticks))
        return
    used_e8 = purse["bid_used_e8"] if purse["bid_ms"] == depth.ts_ms[at] else 0
    done = take_bids(depth.bid_price[at], depth.bid_e8[at], price, used_e8, leaving_e8(book))
    purse["bid_ms"], purse["bid_used_e8"] = depth.ts_ms[at], done.reached_e8
    book.orders[row]["book_ms"] = depth.ts_ms[at]
    settle_sell(book, params, row, now, done)


@kernel
def in_flight_of(sell_at: int, buy_at: int) -> int:
    sell = SELL_IN_FLIGHT if sell_at != FOREVER else 0
    return sell | (BUY_IN_FLIGHT if buy_at != FOREVER else 0)
