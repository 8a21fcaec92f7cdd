"""Compiled: how one candle becomes trades. Prices are whole numbers of price steps, quantities of 1e-8."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.kernel import kernel
from tickloop.domain.market import Side
from tickloop.domain.window import MINUTE_MS
from tickloop.simulator.prices.seeded import draw, subkey

LEAST, MOST = 4, 40
HALF_WAY_KRW = 300_000_000.0
"""Turnover of a minute that gives the middle between LEAST and MOST trades: about twice KRW-BTC's median of 2024."""

_OPEN, _HIGH, _LOW, _CLOSE = range(4)
_BUY, _SELL = list(Side).index(Side.BUY), list(Side).index(Side.SELL)

# Purposes: each takes draws of its own from the minute's key, MOST apart.
_COUNT, _HIGH_AT, _LOW_AT = 0, 1, 2
_NOISE, _TIME, _SHARE, _SIZE, _SIDE = 64, 128, 192, 256, 320


@kernel
def count_trades(
    key: np.uint64,
    ts_open: NDArray[np.int64],
    steps: NDArray[np.int64],
    qty_e8: NDArray[np.int64],
    notional: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Give the number of trades per candle: enough for its prices, never more than units of its volume.

    Args:
        steps: (n, 4): open, high, low, close.
    """
    counts = np.empty(len(ts_open), dtype=np.int64)
    for row in range(len(ts_open)):
        share = notional[row] / (notional[row] + HALF_WAY_KRW)
        jitter = draw(subkey(key, ts_open[row]), _COUNT) % 3 - 1
        wanted = min(max(LEAST + int((MOST - LEAST) * share) + jitter, LEAST), MOST)
        counts[row] = max(min(wanted, qty_e8[row]), _least(steps[row]))
    return counts


@kernel
def fill_trades(
    key: np.uint64,
    ts_open: NDArray[np.int64],
    steps: NDArray[np.int64],
    qty_e8: NDArray[np.int64],
    ends: NDArray[np.int64],
    ts_event: NDArray[np.int64],
    step: NDArray[np.int64],
    qty: NDArray[np.int64],
    side: NDArray[np.uint8],
) -> None:
    """Fill the last four arrays with the trades of all candles; those of candle i end before `ends[i]`."""
    first = 0
    for row in range(len(ts_open)):
        end = ends[row]
        minute = subkey(key, ts_open[row])
        _fill_path(minute, steps[row], step[first:end])
        _fill_times(minute, ts_open[row], ts_event[first:end])
        _fill_sizes(minute, qty_e8[row], qty[first:end])
        _fill_sides(minute, step[first:end], side[first:end])
        first = end


@kernel
def _needs(steps: NDArray[np.int64], which: int) -> bool:
    return bool(steps[which] != steps[_OPEN] and steps[which] != steps[_CLOSE])


@kernel
def _least(steps: NDArray[np.int64]) -> int:
    inside = int(_needs(steps, _HIGH)) + int(_needs(steps, _LOW))
    if inside == 0 and steps[_OPEN] == steps[_CLOSE]:
        return 1
    return 2 + inside


@kernel
def _fill_path(minute: np.uint64, steps: NDArray[np.int64], step: NDArray[np.int64]) -> None:
    """Walk from open to close through high and low at seeded places, with noise between, never outside."""
    last = len(step) - 1
    inside = len(step) - 2
    high_at, low_at = np.int64(-1), np.int64(-1)
    if _needs(steps, _HIGH):
        high_at = 1 + draw(minute, _HIGH_AT) % inside
    if _needs(steps, _LOW):
        low_at = 1 + draw(minute, _LOW_AT) % (inside - int(high_at > 0))
        if high_at > 0 and low_at >= high_at:
            low_at += 1
    noise = (steps[_HIGH] - steps[_LOW]) // 6 + 1
    knot = 0
    step[0] = steps[_OPEN]
    for at in range(1, last + 1):
        if at != last and at != high_at and at != low_at:
            continue
        if at == last:
            step[at] = steps[_CLOSE]
        else:
            step[at] = steps[_HIGH] if at == high_at else steps[_LOW]
        for between in range(knot + 1, at):
            line = step[knot] + (step[at] - step[knot]) * (between - knot) // (at - knot)
            moved = line + draw(minute, _NOISE + between) % (2 * noise + 1) - noise
            step[between] = min(max(moved, steps[_LOW]), steps[_HIGH])
        knot = at


@kernel
def _fill_times(minute: np.uint64, ts_open: int, ts_event: NDArray[np.int64]) -> None:
    """Seeded milliseconds in order; about one trade in five shares that of the trade before."""
    for row in range(len(ts_event)):
        moment = ts_open + draw(minute, _TIME + row) % MINUTE_MS
        at = row
        while at > 0 and ts_event[at - 1] > moment:
            ts_event[at] = ts_event[at - 1]
            at -= 1
        ts_event[at] = moment
    for row in range(1, len(ts_event)):
        if draw(minute, _SHARE + row) % 5 == 0:
            ts_event[row] = ts_event[row - 1]


@kernel
def _fill_sizes(minute: np.uint64, total: int, qty: NDArray[np.int64]) -> None:
    """Split the volume by seeded weights, at least 1 each; what rounding leaves goes to the largest."""
    weights = 0
    for row in range(len(qty)):
        weight = 1 + draw(minute, _SIZE + row) % 1000
        qty[row] = weight * weight
        weights += qty[row]
    spare = total - len(qty)
    given, largest = 0, 0
    for row in range(len(qty)):
        qty[row] = 1 + int(spare * (qty[row] / weights))
        given += qty[row]
        if qty[row] > qty[largest]:
            largest = row
    qty[largest] += total - given


@kernel
def _fill_sides(minute: np.uint64, step: NDArray[np.int64], side: NDArray[np.uint8]) -> None:
    """Nine upticks in ten are buys, nine downticks in ten sells, the rest even odds."""
    for row in range(len(step)):
        move = step[row] - step[row - 1] if row > 0 else 0
        chance = 5 if move == 0 else (9 if move > 0 else 1)
        side[row] = _BUY if draw(minute, _SIDE + row) % 10 < chance else _SELL
