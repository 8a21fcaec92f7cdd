"""Recorded order books of one market as arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.fills import FillModel
from tickloop.domain.market import QTY_UNITS
from tickloop.errors import DataError, UsageError

MAX_AGE_MS = 10_000
"""A book older than this says nothing about a fill. The exchange sends one at every change, so a silence this long is a
gap in the recording, or a market in which nobody moves an order."""

LEVELS = 15
"""Levels kept of a side: what every form of the stream has had since 2021 but the shortest ones."""


class Depth(NamedTuple):
    """Order books of one market in order of time, each time once.

    Attributes:
        ts_ms: int64 (n,), the exchange's time of each book.
        ask_price, bid_price: float64 (n, levels), KRW, best first; 0 where a thin book has no level.
        ask_e8, bid_e8: int64 (n, levels), size in 1e-8; 0 where there is no level.
    """

    ts_ms: NDArray[np.int64]
    ask_price: NDArray[np.float64]
    ask_e8: NDArray[np.int64]
    bid_price: NDArray[np.float64]
    bid_e8: NDArray[np.int64]


def depth_from(batches: Iterable[Sequence[Mapping[str, Any]]], market: str, levels: int = LEVELS) -> Depth:
    """Take order books from events in the exchange's DEFAULT format, with `arrival` beside them, in any order.

    Of several books of one millisecond the one that arrived last counts. A day of a busy market is some hundred
    thousand books: 32 x levels bytes each, and about twice that while they are read.

    Args:
        levels: kept of each side; a shorter book is filled up with zeros.

    Raises:
        DataError: a book is of another market, lacks a field, sums several prices up in one level, or cannot stand:
            a value that is not finite or below 0, prices not in order from the best on, a bid not below the best ask.
    """
    columns = [[column] for column in (np.empty(0, np.int64), *no_depth(levels))]
    for batch in batches:
        for parts, part in zip(columns, _part_of(batch, market, levels), strict=True):
            parts.append(part)
    arrival, ts_ms = (np.concatenate(columns.pop(0)) for _ in range(2))
    order = np.lexsort((arrival, ts_ms))
    kept = order[np.append(np.diff(ts_ms[order]) > 0, np.ones(min(1, len(order)), bool))]
    # One column after the other: at no time are there two copies of all.
    sides = [np.concatenate(columns.pop(0))[kept] for _ in range(4)]
    return Depth(ts_ms[kept], *sides)


def no_depth(levels: int = LEVELS) -> Depth:
    """Give a depth without a book."""
    price, size = np.empty((0, levels), np.float64), np.empty((0, levels), np.int64)
    return Depth(np.empty(0, np.int64), price, size, price.copy(), size.copy())


def between(depth: Depth, start_ms: int, end_ms: int) -> Depth:
    """Give the books that fills in [start, end) can look at, as views: those of MAX_AGE_MS before it too."""
    part = slice(*np.searchsorted(depth.ts_ms, (start_ms - MAX_AGE_MS, end_ms)))
    ts_ms, ask_price, ask_e8, bid_price, bid_e8 = depth
    return Depth(ts_ms[part], ask_price[part], ask_e8[part], bid_price[part], bid_e8[part])


def depth_for(model: FillModel, depth: Depth | None) -> Depth | None:
    """Give what a fill model fills from: None for one that looks at no order book.

    Raises:
        UsageError: if it needs recorded order books and there are none.
    """
    if not model.is_by_depth:
        return None
    if depth is None:
        raise UsageError(
            f"fill model {model.name!r} needs recorded order books and there are none; valid: a window in which they "
            "were collected (collect.with_orderbook), or another fill model"
        )
    return depth


def _part_of(events: Sequence[Mapping[str, Any]], market: str, levels: int) -> tuple[NDArray[Any], ...]:
    """Give arrival and the columns of Depth of some books, in their order."""
    times = np.empty((2, len(events)), np.int64)
    books = np.zeros((4, len(events), levels))
    for row, event in enumerate(events):
        try:
            times[:, row] = event["arrival"], event["timestamp"]
            for level, unit in enumerate(event["orderbook_units"][:levels]):
                books[:, row, level] = unit["ask_price"], unit["ask_size"], unit["bid_price"], unit["bid_size"]
        except (KeyError, TypeError, ValueError) as exc:
            raise DataError(f"order book {_name(event)}: {exc!r}; valid: the fields of the DEFAULT format") from exc
        if event.get("code") != market or event.get("level", 0) != 0:
            raise DataError(
                f"order book {_name(event)} has code {event.get('code')!r} and level {event.get('level', 0)!r}; "
                f"valid: {market!r} and 0, each price by itself"
            )
    if (bad := np.flatnonzero(~_can_stand(books))).size:
        raise DataError(
            f"order book {_name(events[int(bad[0])])} cannot stand; valid: finite values from 0 on, prices in order "
            "from the best on, bids below asks"
        )
    ask, ask_size, bid, bid_size = books
    return *times, ask.copy(), _e8_of(ask, ask_size), bid.copy(), _e8_of(bid, bid_size)


def _e8_of(price: NDArray[np.float64], size: NDArray[np.float64]) -> NDArray[np.int64]:
    """Give sizes in 1e-8, 0 where there is no price."""
    # Cut off where the sum of a side could leave int64: never more than was offered.
    most = float((1 << 62) // price.shape[1])
    return np.where(price > 0, np.minimum(np.rint(size * QTY_UNITS), most), 0).astype(np.int64)


def _can_stand(books: NDArray[np.float64]) -> NDArray[np.bool_]:
    ask, bid = np.where(books[0] == 0, np.inf, books[0]), books[2]
    is_ordered = (ask[:, 1:] > ask[:, :-1]) | np.isposinf(ask[:, 1:])
    is_ordered &= (bid[:, 1:] < bid[:, :-1]) | (bid[:, 1:] == 0)
    is_finite = (np.isfinite(books) & (books >= 0)).all(axis=(0, 2))
    return np.asarray(is_finite & is_ordered.all(axis=1) & (bid[:, 0] < ask[:, 0]))


def _name(event: Mapping[str, Any]) -> str:
    return str(event.get("doc_id") or f"of {event.get('code')} at {event.get('timestamp')}")
