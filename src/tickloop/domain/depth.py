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
    thousand books of 32 x levels bytes.

    Args:
        levels: kept of each side; a shorter book is filled up with zeros.

    Raises:
        DataError: a book is of another market, lacks a field, sums several prices up in one level, or cannot stand:
            a value that is not finite or below 0, prices not in order from the best on, a bid not below the best ask.
    """
    parts = [_part_of(batch, market, levels) for batch in batches if batch]
    if not parts:
        return no_depth(levels)
    ts_ms, arrival, books = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((arrival, ts_ms))
    ts_ms = ts_ms[order]
    is_last = np.append(ts_ms[1:] != ts_ms[:-1], True)
    books = books[order[is_last]]
    # Cut off where the sum of a side could leave int64: never more than was offered.
    size_e8 = np.minimum(np.rint(books[:, 2:] * QTY_UNITS), float((1 << 62) // levels))
    size_e8 = np.where(books[:, :2] > 0, size_e8, 0).astype(np.int64)
    ask, bid = (np.ascontiguousarray(books[:, side]) for side in (0, 1))
    ask_e8, bid_e8 = (np.ascontiguousarray(size_e8[:, side]) for side in (0, 1))
    return Depth(ts_ms[is_last], ask, ask_e8, bid, bid_e8)


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


def _part_of(
    events: Sequence[Mapping[str, Any]], market: str, levels: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Give time (ms), arrival and values (n, 4, levels) of some books: prices of asks and bids, then sizes."""
    ts_ms, arrival = np.empty(len(events), np.int64), np.empty(len(events), np.int64)
    books = np.zeros((len(events), 4, levels))
    for row, event in enumerate(events):
        try:
            ts_ms[row], arrival[row] = event["timestamp"], event["arrival"]
            for level, unit in enumerate(event["orderbook_units"][:levels]):
                books[row, :, level] = unit["ask_price"], unit["bid_price"], unit["ask_size"], unit["bid_size"]
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
    return ts_ms, arrival, books


def _can_stand(books: NDArray[np.float64]) -> NDArray[np.bool_]:
    ask, bid = np.where(books[:, 0] == 0, np.inf, books[:, 0]), books[:, 1]
    is_ordered = (ask[:, 1:] > ask[:, :-1]) | np.isposinf(ask[:, 1:])
    is_ordered &= (bid[:, 1:] < bid[:, :-1]) | (bid[:, 1:] == 0)
    is_finite = (np.isfinite(books) & (books >= 0)).all(axis=(1, 2))
    return np.asarray(is_finite & is_ordered.all(axis=1) & (bid[:, 0] < ask[:, 0]))


def _name(event: Mapping[str, Any]) -> str:
    return str(event.get("doc_id") or f"of {event.get('code')} at {event.get('timestamp')}")
