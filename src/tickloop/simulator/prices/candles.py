"""Candles as arrays, and minutes put together to longer units."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.bars import build_bars
from tickloop.domain.market import QTY_UNITS
from tickloop.domain.window import MINUTE_MS
from tickloop.simulator.prices.periods import DAYS, SECONDS, Period
from tickloop.simulator.prices.tape import Tape


class Candles(NamedTuple):
    """Candles as arrays of one length. An interval without trades is absent.

    Attributes:
        ts_open: int64, epoch ms UTC, start of the interval.
        open, high, low, close: float64, KRW.
        notional: float64, KRW: price x quantity summed in trade order (longer units: over their minutes in order).
        qty_e8: int64.
        ts_last: int64, ms, of the last trade inside.
    """

    ts_open: NDArray[np.int64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    notional: NDArray[np.float64]
    qty_e8: NDArray[np.int64]
    ts_last: NDArray[np.int64]

    def take(self, rows: slice) -> Candles:
        return Candles._make(column[rows] for column in self)


def minutes_of(trades: Tape) -> Candles:
    """Give the one-minute candles of trades, oldest first."""
    bars = build_bars(trades.frame())
    ts_open = bars["ts_open"].to_physical().to_numpy()
    last = np.searchsorted(trades.ts_event, ts_open + MINUTE_MS) - 1
    return Candles(
        ts_open=ts_open,
        open=bars["open"].to_numpy(),
        high=bars["high"].to_numpy(),
        low=bars["low"].to_numpy(),
        close=bars["close"].to_numpy(),
        notional=bars["notional"].to_numpy(),
        qty_e8=np.diff(np.cumsum(trades.qty_e8)[last], prepend=0),
        ts_last=trades.ts_event[last],
    )


def seconds_of(trades: Tape) -> Candles:
    """Give the one-second candles of trades, oldest first."""
    if not len(trades):
        return minutes_of(trades)
    ts_open = SECONDS.starts_of(trades.ts_event)
    first, last = _ends_of_each(ts_open)
    return Candles(
        ts_open[first],
        trades.price[first],
        np.maximum.reduceat(trades.price, first),
        np.minimum.reduceat(trades.price, first),
        trades.price[last],
        np.add.reduceat(trades.price * (trades.qty_e8 / QTY_UNITS), first),
        np.add.reduceat(trades.qty_e8, first),
        trades.ts_event[last],
    )


def day_of_trades(trades: Tape) -> Candles:
    """Give the one candle of a UTC day's trades, or none, as its minutes put together give it."""
    if not len(trades):
        return minutes_of(trades)
    first, _ = _ends_of_each(trades.ts_event // MINUTE_MS)
    by_minute = np.add.reduceat(trades.price * (trades.qty_e8 / QTY_UNITS), first)
    return Candles(
        DAYS.starts_of(trades.ts_event[:1]),
        trades.price[:1],
        trades.price.max(keepdims=True),
        trades.price.min(keepdims=True),
        trades.price[-1:],
        np.add.reduceat(by_minute, [0]),
        trades.qty_e8.sum(keepdims=True),
        trades.ts_event[-1:],
    )


def to_period(candles: Candles, period: Period) -> Candles:
    """Put shorter candles (oldest first) together to those of a period."""
    if not len(candles.ts_open):
        return candles
    ts_open = period.starts_of(candles.ts_open)
    first, last = _ends_of_each(ts_open)
    return Candles(
        ts_open[first],
        candles.open[first],
        np.maximum.reduceat(candles.high, first),
        np.minimum.reduceat(candles.low, first),
        candles.close[last],
        np.add.reduceat(candles.notional, first),
        np.add.reduceat(candles.qty_e8, first),
        candles.ts_last[last],
    )


def joined(parts: list[Candles]) -> Candles:
    """Give candles of several stretches of time as one; the parts are in order of time."""
    return Candles._make(np.concatenate(columns) for columns in zip(*parts, strict=True))


def _ends_of_each(interval: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give the first and the last row of each interval; rows are in order of time."""
    first = np.flatnonzero(np.diff(interval, prepend=-1))
    return first, np.append(first[1:], len(interval)) - 1


def volume_of(qty_e8: int) -> float:
    """Give base units; whole numbers divide to the nearest double also past 2^53."""
    return int(qty_e8) / QTY_UNITS
