"""Trades of the lake as a back-test takes them: two columns of ten, 16 bytes a trade."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.tape import Tape, tape_from
from tickloop.domain.window import Window
from tickloop.errors import NotEnoughDataError, UnsortedTradesError
from tickloop.ports import Lake

_COLUMNS = ("ts_event", "price")


def read_tape(lake: Lake, market: str, window: Window, after_ms: int = 0) -> Tape:
    """Read time and price of the trades of some hours, which may have none.

    Args:
        after_ms: time of the last trade read before; trades must not be earlier.

    Raises:
        NotEnoughDataError: if an hour was never written.
        UnsortedTradesError, DataError: as `tape_from`.
    """
    times: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    prices: list[NDArray[np.float64]] = [np.empty(0, np.float64)]
    for hour in window.hours():
        rows = lake.get(market, hour, _COLUMNS)
        if rows is None:
            raise NotEnoughDataError(
                f"the lake has no trades of {market} in {hour}; valid: hours that the step extract has written"
            )
        times.append(rows["ts_event"].dt.epoch("ms").to_numpy().astype(np.int64))
        prices.append(rows["price"].to_numpy().astype(np.float64))
    ts_ms, price = np.concatenate(times), np.concatenate(prices)
    if not len(ts_ms):
        return Tape(market, ts_ms, price)
    if ts_ms[0] < after_ms:
        raise UnsortedTradesError(
            f"the first trade of {market} in {window}, at {ts_ms[0]} ms, is earlier than the last one before it, at"
            f" {after_ms} ms; valid: trade order"
        )
    return tape_from(market, ts_ms, price)
