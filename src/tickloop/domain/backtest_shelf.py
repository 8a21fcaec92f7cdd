"""The books of several markets with one purse: what each holds, and what they share."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.backtest_book import Book, open_book
from tickloop.domain.backtest_room import ORDERS, doubled
from tickloop.domain.kernel import kernel

_LOTS = 16  # places of a market at first
_LOT_ARRAYS = ("entry", "filled_at", "qty_e8", "bought_by", "is_leaving", "is_waiting")

POOL_DTYPE = np.dtype(
    [
        ("cash", "f8"),
        ("orders", "i8"),
        ("trips", "i8"),
        ("held_e8", "i8"),  # KRW that buys in flight have set aside
    ]
)
"""What the markets share, beside the rows of orders and trips."""


class Shelf(NamedTuple):
    """The books of k markets: orders and trips in one list, lots one market after the other.

    Attributes:
        books: `purse` has a row for each market; its lots have places [lot_from[m], lot_from[m + 1]).
        lot_from: int64 (k + 1,).
        owner: the market of each order, int64.
        pool: POOL_DTYPE (1,).
    """

    books: Book
    lot_from: NDArray[np.int64]
    owner: NDArray[np.int64]
    pool: NDArray[Any]

    @property
    def cash(self) -> float:
        """KRW after the fills so far."""
        return float(self.pool[0]["cash"])

    @property
    def orders(self) -> NDArray[np.void]:
        """ORDER_DTYPE: the orders of all markets, in order of decision."""
        return self.books.orders[: self.pool[0]["orders"]]

    @property
    def owners(self) -> NDArray[np.int64]:
        """The market of each of `orders`, by its place in the list."""
        return self.owner[: self.pool[0]["orders"]]

    def book(self, market: int) -> Book:
        """Give one market's orders, trips and lots as a book of its own; its cash is that of all."""
        rows = np.flatnonzero(self.owners == market)
        trips = self.books.trips[: self.pool[0]["trips"]]
        trips = trips[self.owners[trips[:, 1]] == market]
        trips[:, :2] = np.searchsorted(rows, trips[:, :2])
        purse = self.books.purse[market : market + 1].copy()
        for name in ("sell_row", "buy_row"):
            purse[0][name] = np.searchsorted(rows, purse[0][name])
        purse[0]["cash"], purse[0]["orders"], purse[0]["trips"] = self.cash, len(rows), len(trips)
        low = int(self.lot_from[market])
        lots = {name: getattr(self.books, name)[low : low + int(purse[0]["lots"])].copy() for name in _LOT_ARRAYS}
        lots["bought_by"] = np.searchsorted(rows, lots["bought_by"])
        return Book(purse=purse, orders=self.books.orders[rows], trips=trips, **lots)


@kernel
def book_of(shelf: Shelf, market: int) -> Book:
    """Give the book of one market, with the shared cash and counts as they are now."""
    books, low, high = shelf.books, shelf.lot_from[market], shelf.lot_from[market + 1]
    purse, pool = books.purse[market : market + 1], shelf.pool[0]
    purse[0]["cash"], purse[0]["orders"], purse[0]["trips"] = pool["cash"], pool["orders"], pool["trips"]
    return Book(
        purse,
        books.entry[low:high],
        books.filled_at[low:high],
        books.qty_e8[low:high],
        books.bought_by[low:high],
        books.is_leaving[low:high],
        books.is_waiting[low:high],
        books.orders,
        books.trips,
    )


@kernel
def share(shelf: Shelf, book: Book, market: int) -> None:
    """Put what one market did into the shared list."""
    pool, purse = shelf.pool[0], book.purse[0]
    shelf.owner[pool["orders"] : purse["orders"]] = market
    pool["cash"], pool["orders"], pool["trips"] = purse["cash"], purse["orders"], purse["trips"]


def open_shelf(cash: float, markets: int) -> Shelf:
    """Give empty books of markets that share this much KRW."""
    books = open_book(cash, markets * _LOTS, ORDERS)
    pool = np.zeros(1, POOL_DTYPE)
    pool[0]["cash"] = cash
    lot_from = np.arange(markets + 1) * _LOTS
    return Shelf(books._replace(purse=np.repeat(books.purse, markets)), lot_from, np.empty(ORDERS, np.int64), pool)


def with_room(shelf: Shelf) -> Shelf:
    """Double what does not hold one more trade or bar of every market: orders, trips, or the lots of a market."""
    books, owner, pool = shelf.books, shelf.owner, shelf.pool[0]
    held = books.purse["lots"]
    spare = spare_rows(shelf)
    if pool["orders"] + spare > len(books.orders):
        books, owner = books._replace(orders=doubled(books.orders)), doubled(owner)
    if pool["trips"] + spare > len(books.trips):
        books = books._replace(trips=doubled(books.trips))
    room = np.diff(shelf.lot_from)
    room = np.where(held + 2 > room, 2 * room, room)
    lot_from = np.concatenate([[0], np.cumsum(room)])
    lots = {name: np.empty(lot_from[-1], getattr(books, name).dtype) for name in _LOT_ARRAYS}
    for market, count in enumerate(held):
        old, new = shelf.lot_from[market], lot_from[market]
        for name, array in lots.items():
            array[new : new + count] = getattr(books, name)[old : old + count]
    return Shelf(books._replace(**lots), lot_from, owner, shelf.pool)


@kernel
def spare_rows(shelf: Shelf) -> int:
    """Give the orders, or trips, that one more trade or bar of every market can bring: each lot's own, and two."""
    rows = 0
    for purse in shelf.books.purse:
        rows += purse["lots"] + 3
    return rows
