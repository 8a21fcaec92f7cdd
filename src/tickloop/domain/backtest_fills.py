"""How orders in flight end in a replay: filled by the trade that reaches their instant, or given up."""

from __future__ import annotations

from tickloop.domain.backtest_book import NO_FILL, Book, fill_buy, fill_sell
from tickloop.domain.fills import FILL_WINDOW_MS, price_against
from tickloop.domain.kernel import kernel
from tickloop.domain.rules import LadderTable
from tickloop.domain.strategy import BUY_IN_FLIGHT, FOREVER, SELL_IN_FLIGHT, Params


@kernel
def resolve(book: Book, params: Params, ladders: LadderTable, ticks: int, now: int, price: float) -> None:
    """Fill, or give up, the orders whose instant this trade is the first to reach; a buy was decided first."""
    purse = book.purse[0]
    if purse["buy_at"] <= now:
        if now - purse["buy_at"] <= FILL_WINDOW_MS:
            fill_buy(book, params, purse["buy_row"], now, price_against(ladders, price, now, ticks))
        else:
            book.orders[purse["buy_row"]]["outcome"] = NO_FILL
        purse["buy_at"] = FOREVER
    if purse["sell_at"] <= now:
        if now - purse["sell_at"] <= FILL_WINDOW_MS:
            fill_sell(book, params, purse["sell_row"], now, price_against(ladders, price, now, -ticks))
        else:
            book.orders[purse["sell_row"]]["outcome"] = NO_FILL
        purse["sell_at"] = FOREVER


@kernel
def in_flight_of(sell_at: int, buy_at: int) -> int:
    sell = SELL_IN_FLIGHT if sell_at != FOREVER else 0
    return sell | (BUY_IN_FLIGHT if buy_at != FOREVER else 0)
