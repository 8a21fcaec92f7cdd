"""What an order at market takes out of a recorded order book."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.depth import MAX_AGE_MS
from tickloop.domain.fills import affordable_e8, e16_of, funds_of
from tickloop.domain.kernel import kernel
from tickloop.domain.market import QTY_UNITS

_E8 = float(QTY_UNITS)


class Execution(NamedTuple):
    """What an order executed.

    Attributes:
        qty_e8, funds: quantity in 1e-8, and KRW without fee.
        price: funds / quantity, the very price where there is one; NaN when nothing executed.
        levels: prices at which it executed.
        is_whole: False when the order wanted more than there was; the rest is cancelled.
        reached_e8: how far into the side, counted in size from the best level on, nothing is left after it.
    """

    qty_e8: int
    funds: float
    price: float
    levels: int
    is_whole: bool
    reached_e8: int


@kernel
def at_price(qty_e8: int, price: float) -> Execution:
    """Give the execution of a whole order at one price."""
    return Execution(qty_e8, funds_of(qty_e8, price), price, 1, True, 0)


@kernel
def newest_book(ts: NDArray[np.int64], now: int) -> int:
    """Give the row of the newest book that is not of a later time, -1 when it is older than MAX_AGE_MS or missing."""
    low, high = 0, len(ts)
    while low < high:
        middle = (low + high) // 2
        if ts[middle] <= now:
            low = middle + 1
        else:
            high = middle
    return low - 1 if low > 0 and now - ts[low - 1] <= MAX_AGE_MS else -1


@kernel
def is_behind(price: NDArray[np.float64], size_e8: NDArray[np.int64], sign: int, last: float) -> bool:
    """Tell whether a trade at the price `last` shows that all of a recorded side is gone, or the side was empty.

    Args:
        price, size_e8: one side of one book, best first.
        sign: 1 for asks, -1 for bids. A trade above an ask, or below a bid, cannot be while that stands.
    """
    for level in range(len(price)):  # noqa: SIM110 (no generator in compiled code)
        if size_e8[level] > 0 and sign * price[level] >= sign * last:
            return False
    return True


@kernel
def take_asks(
    price: NDArray[np.float64], size_e8: NDArray[np.int64], last: float, used_e8: int, order_krw: float
) -> Execution:
    """Spend an amount of KRW from the best ask on; at each level the quantity is cut off after 8 decimals.

    Args:
        last: price of the trade at which this happens; asks below it are gone.
        used_e8: what an earlier order reached in the same book, see `Execution`.
    """
    qty_e8 = levels = begin_e8 = 0
    reached_e8 = used_e8
    funds, left_e16, only = 0.0, e16_of(order_krw), np.nan
    for level in range(len(price)):
        free_e8 = begin_e8 + size_e8[level] - max(begin_e8, used_e8)
        begin_e8 += size_e8[level]
        if free_e8 <= 0 or price[level] < last:
            continue
        wanted_e8 = affordable_e8(order_krw - funds, left_e16, price[level])
        taken_e8 = min(free_e8, wanted_e8)
        if taken_e8 > 0:
            qty_e8, levels, only = qty_e8 + taken_e8, levels + 1, price[level]
            funds += funds_of(taken_e8, price[level])
            left_e16 -= taken_e8 * round(price[level] * _E8)
            reached_e8 = begin_e8 - free_e8 + taken_e8
        if wanted_e8 <= free_e8:
            return _executed(qty_e8, funds, only, levels, True, reached_e8)
    return _executed(qty_e8, funds, only, levels, False, reached_e8)


@kernel
def take_bids(
    price: NDArray[np.float64], size_e8: NDArray[np.int64], last: float, used_e8: int, sent_e8: int
) -> Execution:
    """Sell a quantity from the best bid on; arguments as for `take_asks`, and bids above `last` are gone."""
    qty_e8 = levels = begin_e8 = 0
    reached_e8 = used_e8
    funds, only = 0.0, np.nan
    for level in range(len(price)):
        free_e8 = begin_e8 + size_e8[level] - max(begin_e8, used_e8)
        begin_e8 += size_e8[level]
        taken_e8 = min(free_e8, sent_e8 - qty_e8)
        if taken_e8 <= 0 or price[level] > last:
            continue
        qty_e8, levels, only = qty_e8 + taken_e8, levels + 1, price[level]
        funds += funds_of(taken_e8, price[level])
        reached_e8 = begin_e8 - free_e8 + taken_e8
    return _executed(qty_e8, funds, only, levels, qty_e8 == sent_e8, reached_e8)


@kernel
def _executed(qty_e8: int, funds: float, only: float, levels: int, is_whole: bool, reached_e8: int) -> Execution:
    price = only if levels <= 1 else funds / (qty_e8 / _E8)
    return Execution(qty_e8, funds, price, levels, is_whole, reached_e8)
