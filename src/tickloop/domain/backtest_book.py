"""The book of a back-test: cash, lots, orders and round trips, as arrays that compiled rules change in place."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.depth_fills import Execution, at_price
from tickloop.domain.fills import bought_e8
from tickloop.domain.kernel import kernel
from tickloop.domain.strategy import FOREVER, NEVER, OrderParams, Params, is_due, is_late, is_sendable

PENDING, FILLED, NO_FILL, PARTIAL = 0, 1, 2, 3
OUTCOMES = ("pending", "filled", "no_fill", "partial")
"""Names of `outcome`; pending: the tape ended before it was known; partial: the rest was cancelled."""

ORDER_DTYPE = np.dtype(
    [
        ("side", "i8"),  # strategy.BUY or strategy.SELL
        ("lots", "i8"),  # lots that a sell gives away; 1 for a buy
        ("decided_ms", "i8"),
        ("decision_price", "f8"),
        ("forecast", "f8"),  # NaN when none was usable
        ("outcome", "i8"),
        ("filled_ms", "i8"),  # -1 without fill
        ("fill_price", "f8"),  # funds / quantity
        ("qty_e8", "i8"),
        ("funds", "f8"),  # KRW, without fee
        ("fee", "f8"),
        ("sent_e8", "i8"),  # what a sell that filled had wanted to sell; 0 for a buy, which is sent in KRW
        ("levels", "i8"),  # prices at which it filled
        ("book_ms", "i8"),  # time of the recorded order book that it filled from, -1 if from none
    ]
)

PURSE_DTYPE = np.dtype(
    [
        ("cash", "f8"),
        ("last_buy_ms", "i8"),
        ("lots", "i8"),
        ("orders", "i8"),
        ("trips", "i8"),
        ("unsellable", "i8"),  # lots that were held to the limit and then had to wait, too small to be sent
        ("sell_row", "i8"),  # row of the sell in flight, and the instant from which trades can fill it
        ("sell_at", "i8"),
        ("buy_row", "i8"),
        ("buy_at", "i8"),
        ("ask_ms", "i8"),  # the recorded order book that the last buy took from, and how far into its asks
        ("ask_used_e8", "i8"),
        ("bid_ms", "i8"),  # the same of the last sell
        ("bid_used_e8", "i8"),
    ]
)


class Book(NamedTuple):
    """State and record of one run over one market.

    Attributes:
        purse: PURSE_DTYPE (1,): the scalars, counts of used places included.
        entry, filled_at, qty_e8: the lots held, oldest first, as `decide` takes them.
        bought_by: the row of each lot's buy order.
        is_leaving: lots that the sell in flight gives away.
        is_waiting: lots already counted as unsellable.
        orders: ORDER_DTYPE, in order of decision.
        trips: int64 (n, 3): rows of the buy and of the sell order, and quantity in 1e-8, of every lot sold or part of
            one.
    """

    purse: NDArray[np.void]
    entry: NDArray[np.float64]
    filled_at: NDArray[np.int64]
    qty_e8: NDArray[np.int64]
    bought_by: NDArray[np.int64]
    is_leaving: NDArray[np.bool_]
    is_waiting: NDArray[np.bool_]
    orders: NDArray[np.void]
    trips: NDArray[np.int64]


def open_book(cash: float, max_buys: int, max_orders: int) -> Book:
    """Make an empty book with room for that many orders; pages that stay unused cost no memory."""
    purse = np.zeros(1, PURSE_DTYPE)
    purse[0]["cash"] = cash
    purse[0]["last_buy_ms"] = NEVER
    purse[0]["sell_at"] = FOREVER
    purse[0]["buy_at"] = FOREVER
    purse[0]["ask_ms"] = purse[0]["bid_ms"] = NEVER
    return Book(
        purse=purse,
        entry=np.empty(max_buys, np.float64),
        filled_at=np.empty(max_buys, np.int64),
        qty_e8=np.empty(max_buys, np.int64),
        bought_by=np.empty(max_buys, np.int64),
        is_leaving=np.empty(max_buys, np.bool_),
        is_waiting=np.empty(max_buys, np.bool_),
        orders=np.empty(max_orders, ORDER_DTYPE),
        # A lot ends once, and a sell leaves at most one lot in part: no more than there are buys and sells.
        trips=np.empty((max(max_buys, max_orders), 3), np.int64),
    )


@kernel
def place(book: Book, side: int, lots: int, ts_ms: int, price: float, forecast: float) -> int:
    """Write down an order that has no fill yet; give its row."""
    row = int(book.purse[0]["orders"])
    order = book.orders[row]
    order["side"] = side
    order["lots"] = lots
    order["decided_ms"] = ts_ms
    order["decision_price"] = price
    order["forecast"] = forecast
    order["outcome"] = PENDING
    order["filled_ms"] = -1
    order["fill_price"] = np.nan
    order["qty_e8"] = 0
    order["funds"] = 0.0
    order["fee"] = 0.0
    order["sent_e8"] = 0
    order["levels"] = 0
    order["book_ms"] = -1
    book.purse[0]["orders"] = row + 1
    return row


@kernel
def fill_buy(book: Book, params: OrderParams, row: int, ts_ms: int, price: float) -> None:
    """Spend `order_krw` at one price."""
    settle_buy(book, params, row, ts_ms, at_price(bought_e8(params.order_krw, price), price))


@kernel
def fill_sell(book: Book, params: OrderParams, row: int, ts_ms: int, price: float) -> None:
    """Sell the lots that are leaving at one price."""
    settle_sell(book, params, row, ts_ms, at_price(leaving_e8(book), price))


@kernel
def settle_buy(book: Book, params: OrderParams, row: int, ts_ms: int, done: Execution) -> None:
    """Take what a buy executed as one more lot, whose entry is funds / volume; none when it executed nothing."""
    purse = book.purse[0]
    order = book.orders[row]
    lot = purse["lots"]
    if not _settle(order, ts_ms, done, params.fee_rate):
        return
    purse["cash"] -= order["funds"] + order["fee"]
    book.entry[lot] = done.price
    book.filled_at[lot] = ts_ms
    book.qty_e8[lot] = done.qty_e8
    book.bought_by[lot] = row
    book.is_leaving[lot] = False
    book.is_waiting[lot] = False
    purse["lots"] = lot + 1


@kernel
def settle_sell(book: Book, params: OrderParams, row: int, ts_ms: int, done: Execution) -> None:
    """Give away what a sell executed, of the lots that are leaving, the oldest first; the others keep their order."""
    purse = book.purse[0]
    order = book.orders[row]
    order["sent_e8"] = leaving_e8(book)
    if not _settle(order, ts_ms, done, params.fee_rate):
        return
    kept = 0
    left_e8 = done.qty_e8
    for lot in range(purse["lots"]):
        sold_e8 = min(left_e8, book.qty_e8[lot]) if book.is_leaving[lot] else 0
        left_e8 -= sold_e8
        if sold_e8 > 0:
            book.trips[purse["trips"], 0] = book.bought_by[lot]
            book.trips[purse["trips"], 1] = row
            book.trips[purse["trips"], 2] = sold_e8
            purse["trips"] += 1
        if sold_e8 < book.qty_e8[lot]:
            book.qty_e8[lot] -= sold_e8
            _move_lot(book, lot, kept)
            kept += 1
    purse["lots"] = kept
    purse["cash"] += order["funds"] - order["fee"]


@kernel
def leaving_e8(book: Book) -> int:
    """Give the quantity, in 1e-8, of the lots that the sell in flight gives away."""
    qty_e8 = 0
    for lot in range(book.purse[0]["lots"]):
        if book.is_leaving[lot]:
            qty_e8 += book.qty_e8[lot]
    return qty_e8


@kernel
def _settle(order: Any, ts_ms: int, done: Execution, fee_rate: float) -> bool:
    """Write down how an order ended; tell whether it executed anything."""
    if done.qty_e8 == 0:
        order["outcome"] = NO_FILL
        return False
    order["outcome"] = FILLED if done.is_whole else PARTIAL
    order["filled_ms"] = ts_ms
    order["fill_price"] = done.price
    order["qty_e8"] = done.qty_e8
    order["funds"] = done.funds
    order["fee"] = done.funds * fee_rate
    order["levels"] = done.levels
    return True


@kernel
def _move_lot(book: Book, source: int, target: int) -> None:
    book.entry[target] = book.entry[source]
    book.filled_at[target] = book.filled_at[source]
    book.qty_e8[target] = book.qty_e8[source]
    book.bought_by[target] = book.bought_by[source]
    book.is_leaving[target] = book.is_leaving[source]
    book.is_waiting[target] = book.is_waiting[source]


@kernel
def mark_due(book: Book, params: Params, ts_ms: int, price: float) -> int:
    """Mark as leaving the lots that `decide` means by SELL; give how many."""
    marked = 0
    for lot in range(book.purse[0]["lots"]):
        book.is_leaving[lot] = is_due(params, book.entry[lot], book.filled_at[lot], ts_ms, price)
        marked += book.is_leaving[lot]
    return marked


@kernel
def mark_late(book: Book, params: Params, ts_ms: int) -> int:
    """Mark as leaving the lots held to the limit, whatever their price; give their quantity in 1e-8."""
    qty_e8 = 0
    for lot in range(book.purse[0]["lots"]):
        book.is_leaving[lot] = is_late(params, book.filled_at[lot], ts_ms)
        if book.is_leaving[lot]:
            qty_e8 += book.qty_e8[lot]
    return qty_e8


@kernel
def count_waiting(book: Book, params: Params, ts_ms: int) -> None:
    """Count, once each, the lots that were held to the limit and are not sold because they are too small."""
    for lot in range(book.purse[0]["lots"]):
        if not book.is_waiting[lot] and is_late(params, book.filled_at[lot], ts_ms):
            book.is_waiting[lot] = True
            book.purse[0]["unsellable"] += 1


def unsellable_e8(book: Book, params: OrderParams, ts_ms: int, price: float) -> tuple[int, int]:
    """Give number and quantity (1e-8) of the lots that are due at a time and price but too small to be sent.

    With parameters of another strategy than the default all lots count as due: they cannot be sold even together.
    """
    lots = int(book.purse[0]["lots"])
    due = [
        int(book.qty_e8[lot])
        for lot in range(lots)
        if not isinstance(params, Params) or is_due(params, book.entry[lot], book.filled_at[lot], ts_ms, price)
    ]
    return (0, 0) if is_sendable(params, sum(due), price) else (len(due), sum(due))
