"""The book of a back-test: cash, lots, orders and round trips, as arrays that compiled rules change in place."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.fills import bought_e8, funds_of
from tickloop.domain.kernel import kernel
from tickloop.domain.strategy import FOREVER, NEVER, OrderParams, Params, is_due, is_late, is_sendable

PENDING, FILLED, NO_FILL = 0, 1, 2
OUTCOMES = ("pending", "filled", "no_fill")
"""Names of `outcome`; pending: the tape ended before it was known."""

ORDER_DTYPE = np.dtype(
    [
        ("side", "i8"),  # strategy.BUY or strategy.SELL
        ("lots", "i8"),  # lots that a sell gives away; 1 for a buy
        ("decided_ms", "i8"),
        ("decision_price", "f8"),
        ("forecast", "f8"),  # NaN when none was usable
        ("outcome", "i8"),
        ("filled_ms", "i8"),  # -1 without fill
        ("fill_price", "f8"),
        ("qty_e8", "i8"),
        ("funds", "f8"),  # KRW, without fee
        ("fee", "f8"),
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
        trips: int64 (n, 2): rows of the buy and of the sell order of every lot sold.
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
    return Book(
        purse=purse,
        entry=np.empty(max_buys, np.float64),
        filled_at=np.empty(max_buys, np.int64),
        qty_e8=np.empty(max_buys, np.int64),
        bought_by=np.empty(max_buys, np.int64),
        is_leaving=np.empty(max_buys, np.bool_),
        is_waiting=np.empty(max_buys, np.bool_),
        orders=np.empty(max_orders, ORDER_DTYPE),
        trips=np.empty((max_buys, 2), np.int64),
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
    book.purse[0]["orders"] = row + 1
    return row


@kernel
def _fill(order: Any, ts_ms: int, price: float, qty_e8: int, fee_rate: float) -> None:
    order["outcome"] = FILLED
    order["filled_ms"] = ts_ms
    order["fill_price"] = price
    order["qty_e8"] = qty_e8
    order["funds"] = funds_of(qty_e8, price)
    order["fee"] = order["funds"] * fee_rate


@kernel
def fill_buy(book: Book, params: OrderParams, row: int, ts_ms: int, price: float) -> None:
    """Spend `order_krw` at a price: one more lot, whose entry is that price (one fill: funds / volume)."""
    purse = book.purse[0]
    order = book.orders[row]
    lot = purse["lots"]
    _fill(order, ts_ms, price, bought_e8(params.order_krw, price), params.fee_rate)
    purse["cash"] -= order["funds"] + order["fee"]
    book.entry[lot] = price
    book.filled_at[lot] = ts_ms
    book.qty_e8[lot] = order["qty_e8"]
    book.bought_by[lot] = row
    book.is_leaving[lot] = False
    book.is_waiting[lot] = False
    purse["lots"] = lot + 1


@kernel
def fill_sell(book: Book, params: OrderParams, row: int, ts_ms: int, price: float) -> None:
    """Sell the lots that are leaving, at one price; the others keep their order."""
    purse = book.purse[0]
    kept = 0
    sold_e8 = 0
    for lot in range(purse["lots"]):
        if book.is_leaving[lot]:
            sold_e8 += book.qty_e8[lot]
            book.trips[purse["trips"], 0] = book.bought_by[lot]
            book.trips[purse["trips"], 1] = row
            purse["trips"] += 1
        else:
            _move_lot(book, lot, kept)
            kept += 1
    purse["lots"] = kept
    order = book.orders[row]
    _fill(order, ts_ms, price, sold_e8, params.fee_rate)
    purse["cash"] += order["funds"] - order["fee"]


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
