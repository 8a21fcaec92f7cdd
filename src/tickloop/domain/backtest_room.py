"""Room of a book: it grows with what was done, never with the length of the tape."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.backtest_book import Book

LOTS, ORDERS = 64, 1_024
"""Places of a new book; each growth doubles what is short."""

SHARED = ("purse", "orders", "trips")
"""Arrays that are not sized by the lots held."""


def with_room(book: Book) -> Book:
    """Give a book with twice the room and all that was in it."""
    return Book(**{name: array if name == "purse" else doubled(array) for name, array in book._asdict().items()})


def doubled(array: NDArray[Any]) -> NDArray[Any]:
    """Copy into an array of twice the places; what is behind the old ones is not set."""
    larger = np.empty((2 * len(array), *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger


def used(book: Book) -> dict[str, bytes]:
    """Give the bytes of everything in a book that was set, by field: equal runs give equal ones."""
    purse = book.purse[0]
    count = {"purse": 1, "orders": purse["orders"], "trips": purse["trips"]}
    return {name: array[: count.get(name, purse["lots"])].tobytes() for name, array in book._asdict().items()}
