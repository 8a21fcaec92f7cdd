"""Lows and highs of stretches of a tape, worked out once for all that is looked for on it.

Blocks are a few trades each. Spans are longer and end where the usable forecast changes, so that one comparison tells
that nothing of a whole minute can be bought or sold. What they tell is exact: lowest and highest price, no estimate.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.kernel import kernel
from tickloop.domain.tape import ForecastSeries, Tape
from tickloop.domain.window import MINUTE_MS

BLOCK = 32
"""Trades of a block: four cache lines, a few vector instructions."""

_SPAN = 4_096  # trades of a span at most: without forecasts a tape would be one


class TickIndex(NamedTuple):
    """A tape of n trades as compiled searches take it: b blocks, s spans, m minutes with a trade.

    Attributes:
        ts, price: the tape, (n,).
        block_low, block_high: lowest and highest price of trades [32 i, 32 i + 32), float64 (b,).
        span_at: first trade of each span and n at the end, int64 (s + 1,).
        span_last_ms: time of its last trade, int64 (s,).
        span_low, span_high: its lowest and highest price, float64 (s,).
        span_forecast: the forecast that its trades may use, NaN for none, float64 (s,).
        minute_at: first trade of each minute and n at the end, int64 (m + 1,).
        minute_close: its last price, float64 (m,).
    """

    ts: NDArray[np.int64]
    price: NDArray[np.float64]
    block_low: NDArray[np.float64]
    block_high: NDArray[np.float64]
    span_at: NDArray[np.int64]
    span_last_ms: NDArray[np.int64]
    span_low: NDArray[np.float64]
    span_high: NDArray[np.float64]
    span_forecast: NDArray[np.float64]
    minute_at: NDArray[np.int64]
    minute_close: NDArray[np.float64]


def index_of(tape: Tape, forecasts: ForecastSeries) -> TickIndex:
    """Work out the index of a tape and the forecasts for it."""
    ts, price = tape.ts_ms, tape.price
    blocks = np.arange(0, len(ts), BLOCK)
    changes, forecast = _changes(ts, forecasts)
    starts = np.union1d(changes, np.arange(0, len(ts), _SPAN))
    minutes = np.flatnonzero(np.diff(ts // MINUTE_MS, prepend=-1))
    return TickIndex(
        ts,
        price,
        np.minimum.reduceat(price, blocks),
        np.maximum.reduceat(price, blocks),
        np.append(starts, len(ts)),
        ts[np.append(starts[1:], len(ts)) - 1],
        np.minimum.reduceat(price, starts),
        np.maximum.reduceat(price, starts),
        forecast[np.searchsorted(changes, starts, side="right") - 1],
        np.append(minutes, len(ts)),
        price[np.append(minutes[1:], len(ts)) - 1],
    )


def _changes(ts: NDArray[np.int64], forecasts: ForecastSeries) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Give the trades from which another forecast may be used, the first trade among them, and that forecast."""
    end_ms = forecasts.minute_ms + MINUTE_MS
    usable_ms = np.maximum(forecasts.minute_ms, forecasts.usable_from_ms)
    usable_ms[1:] = np.maximum(usable_ms[1:], end_ms[:-1])
    begin, end = np.searchsorted(ts, usable_ms), np.searchsorted(ts, end_ms)
    is_used = begin < end
    begin, end = begin[is_used], end[is_used]
    places = np.concatenate([begin, end, [0]])
    values = np.concatenate([forecasts.price[is_used], np.full(len(end) + 1, np.nan)])
    # Where one forecast ends and the next begins, the one that begins counts: it stands first.
    changes, first = np.unique(places, return_index=True)
    is_inside = changes < len(ts)
    return changes[is_inside], values[first][is_inside]


@kernel
def first_trade_at(ts: NDArray[np.int64], at: int, end: int, until: int) -> int:
    """Give the first place in [at, end) whose time is not before `until`, or `end`: doubling steps, then halves."""
    step = 1
    low = at
    while low + step < end and ts[low + step] < until:
        low += step
        step *= 2
    high = min(low + step, end)
    while low < high:
        middle = (low + high) // 2
        if ts[middle] < until:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def first_outside(
    price: NDArray[np.float64],
    block_low: NDArray[np.float64],
    block_high: NDArray[np.float64],
    at: int,
    end: int,
    low: float,
    high: float,
) -> int:
    """Give the first trade in [at, end) whose price is not inside (low, high), or `end`."""
    while at < end:
        block = at // BLOCK
        stop = min((block + 1) * BLOCK, end)
        if block_low[block] <= low or block_high[block] >= high:
            while at < stop and low < price[at] < high:
                at += 1
            if at < stop:
                return at
        at = stop
    return at
