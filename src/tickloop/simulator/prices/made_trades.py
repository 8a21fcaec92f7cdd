"""Compiled: the trades of one day of a made market, between prices that are known. See `made_prices` for the rules."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.kernel import kernel
from tickloop.domain.market import Side
from tickloop.domain.rules import LadderTable
from tickloop.domain.window import MINUTE_MS
from tickloop.simulator.prices.chance import UNIT, soft_bell, uniform
from tickloop.simulator.prices.made_prices import MINUTES, on_grid, printed_price

_BUY, _SELL = list(Side).index(Side.BUY), list(Side).index(Side.SELL)

# Purposes: each takes draws of its own from a day's key. A day has far fewer trades than the room between two.
_BURST, _LULL, _FINE, _JUMP = (1_000_000 * place for place in range(3, 7))
_GAP, _SAME, _SIDE, _SWEEP, _SIZE, _BODY = (100_000_000 * place for place in range(1, 7))

_PARTS = 4  # of a minute
_EIGHTH_ROOT = 0.125**0.5

_SAME_SHARE = 0.22  # of trades that share the millisecond of the one before: one order that took several makers
_SIDE_KEPT = 0.58
_MOST_SIZE = 3_000.0  # times the usual

# fmt: off
_SEASON = np.array([
    1.9, 1.4, 1.1, 0.9, 0.85, 0.85, 0.9, 0.95, 0.95, 0.9, 0.9, 1.0,
    1.15, 1.3, 1.4, 1.35, 1.2, 0.95, 0.7, 0.55, 0.5, 0.55, 0.7, 1.1,
])
# fmt: on
"""By hour from 00:00 UTC, 09:00 in Korea: the morning after the day's turn and the late evening are busy."""


@kernel
def fill_day(
    day: np.uint64,
    start_ms: int,
    prices: NDArray[np.float64],
    mid: NDArray[np.float64],
    calm: NDArray[np.float64],
    ladders: LadderTable,
    usual_krw: float,
    ts_event: NDArray[np.int64],
    price: NDArray[np.float64],
    qty_e8: NDArray[np.int64],
    side: NDArray[np.uint8],
) -> None:
    """Fill the last four arrays with the trades of one day, in order of time.

    Args:
        prices: the day's open, high, low and close, as `day_prices` gives them: the first trade opens, the last one
            closes, high and low are reached near where the path has them, and no trade lies outside.
        mid, calm: as `minute_path` gives them.
        usual_krw: scale of the trades' sizes.
    """
    _fill_times(day, start_ms, _activity(day, calm), ts_event)
    _fill_sides(day, ts_event, side)
    fine = _fine_path(day, mid, calm)
    thresholds, ticks = _rungs(ladders, start_ms)
    high, low = prices[1], prices[2]
    swept, rung = 0.0, 0
    for row in range(len(ts_event)):
        offset = (ts_event[row] - start_ms) / (MINUTE_MS / _PARTS)
        part = min(int(offset), MINUTES * _PARTS - 1)
        middle = fine[part] if offset - part < uniform(day, _JUMP + part) else fine[part + 1]
        is_same = row > 0 and ts_event[row] == ts_event[row - 1] and side[row] == side[row - 1]
        swept = swept + (1.0 if uniform(day, _SWEEP + row) < 0.3 else 0.0) if is_same else 0.0
        rung = _rung_at(thresholds, middle, rung)
        steps = max(np.floor(middle / ticks[rung]) + (1.0 + swept if side[row] == _BUY else -swept), 1.0)
        wanted = printed_price(steps, ticks[rung])
        if wanted >= thresholds[rung + 1] or wanted < thresholds[rung]:  # onto another rung of the ladder
            wanted = on_grid(ladders, wanted, start_ms)
        price[row] = min(max(wanted, low), high)
    _reach(prices, mid, start_ms, ts_event, price)
    for row in range(len(ts_event)):
        body = uniform(day, _BODY + row)
        krw = usual_krw * (0.01 + body * body) * _heavy(day, _SIZE + row)
        qty_e8[row] = max(int(min(krw / price[row] * 1e8, 2.0**52)), 1)


@kernel
def _rungs(ladders: LadderTable, at_ms: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the ladder in force as thresholds, ascending and with an end that no price reaches, and ticks."""
    row = 0
    while row + 1 < len(ladders.valid_from) and ladders.valid_from[row + 1] <= at_ms:
        row += 1
    count = ladders.thresholds.shape[1]
    thresholds = np.full(count + 1, np.inf)
    for rung in range(count):
        thresholds[rung] = ladders.thresholds[row, rung]
    return thresholds, ladders.ticks[row]


@kernel
def _rung_at(thresholds: NDArray[np.float64], price: float, rung: int) -> int:
    """Give the rung of a price, looking from the one before: prices move little."""
    while price >= thresholds[rung + 1]:
        rung += 1
    while price < thresholds[rung]:
        rung -= 1
    return rung


@kernel
def _fine_path(day: np.uint64, mid: NDArray[np.float64], calm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the mid price every quarter of a minute: halves, then quarters, move off the line between their ends.

    A straight line between the minutes would make the returns of neighbouring minutes alike; so would one between the
    quarters, which is why the mid price jumps somewhere within each instead.
    """
    fine = np.empty(MINUTES * _PARTS + 1)
    total = 0.0
    for minute in range(MINUTES):
        total += abs(mid[minute + 1] - mid[minute])
    scale = total / MINUTES * 1.25  # of a normal variable, deviation against mean size
    for minute in range(MINUTES):
        size = scale * np.sqrt(calm[minute])
        at = minute * _PARTS
        fine[at], fine[at + _PARTS] = mid[minute], mid[minute + 1]
        fine[at + 2] = (fine[at] + fine[at + 4]) / 2 + size / 2 * soft_bell(day, _FINE + 8 * minute)
        for quarter in (1, 3):
            between = (fine[at + quarter - 1] + fine[at + quarter + 1]) / 2
            fine[at + quarter] = between + size * _EIGHTH_ROOT * soft_bell(day, _FINE + 8 * minute + 2 * quarter)
    return fine


@kernel
def _activity(day: np.uint64, calm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give how busy each minute is: season of the day, volatility, bursts and lulls."""
    busy = np.empty(MINUTES)
    burst, lull = 0.0, 0
    for minute in range(MINUTES):
        hour = minute // 60
        share = (minute - hour * 60) / 60.0
        season = _SEASON[hour] * (1.0 - share) + _SEASON[(hour + 1) % 24] * share
        if uniform(day, _BURST + 2 * minute) < 1 / 240:
            burst += 2.0 + 3.0 / np.sqrt(uniform(day, _BURST + 2 * minute + 1) + 0.01)
        if lull == 0 and uniform(day, _LULL + 2 * minute) < 1 / 200:
            lull = 2 + int(10 * uniform(day, _LULL + 2 * minute + 1))
        quiet = 0.05 if lull > 0 and burst < 0.5 else 1.0
        busy[minute] = season * (0.3 + 0.7 * min(calm[minute], 12.0)) * (1.0 + burst) * quiet
        burst *= 0.75
        lull = max(lull - 1, 0)
    return busy


@kernel
def _fill_times(day: np.uint64, start_ms: int, busy: NDArray[np.float64], ts_event: NDArray[np.int64]) -> None:
    """Cut the day's activity by heavy-tailed gaps; a gap of 0 is one order that took several makers."""
    count = len(ts_event)
    gaps = np.empty(count + 1)
    total = 0.0
    for row in range(count + 1):
        odds = uniform(day, _GAP + row)
        gaps[row] = min(0.05 + odds / (1.0 - odds), 40.0)
        if 0 < row < count and uniform(day, _SAME + row) < _SAME_SHARE:
            gaps[row] = 0.0
        total += gaps[row]
    whole = 0.0
    for minute in range(MINUTES):
        whole += busy[minute]
    scale = whole / total
    minute, before, done = 0, 0.0, 0.0  # of the activity
    for row in range(count):
        done += gaps[row] * scale
        while minute < MINUTES - 1 and before + busy[minute] < done:
            before += busy[minute]
            minute += 1
        inside = int((done - before) / busy[minute] * MINUTE_MS)
        ts_event[row] = start_ms + minute * MINUTE_MS + min(max(inside, 0), MINUTE_MS - 1)


@kernel
def _fill_sides(day: np.uint64, ts_event: NDArray[np.int64], side: NDArray[np.uint8]) -> None:
    """A trade of the same order has its side; of the others more than half keep the side before."""
    for row in range(len(side)):
        is_same = row > 0 and ts_event[row] == ts_event[row - 1]
        chance = uniform(day, _SIDE + row)
        if row == 0:
            side[row] = _BUY if chance < 0.5 else _SELL
        elif is_same or chance < _SIDE_KEPT:
            side[row] = side[row - 1]
        else:
            side[row] = _SELL if side[row - 1] == _BUY else _BUY


@kernel
def _reach(
    prices: NDArray[np.float64],
    mid: NDArray[np.float64],
    start_ms: int,
    ts_event: NDArray[np.int64],
    price: NDArray[np.float64],
) -> None:
    """Put open, close, high and low where they belong."""
    last = len(price) - 1
    high_at = _nearest(ts_event, start_ms + int(np.argmax(mid)) * MINUTE_MS)
    low_at = _nearest(ts_event, start_ms + int(np.argmin(mid)) * MINUTE_MS)
    if low_at == high_at:
        low_at = high_at + 1 if high_at + 1 < last else high_at - 1
    if last >= 3:
        price[high_at], price[low_at] = prices[1], prices[2]
    price[0], price[last] = prices[0], prices[3]


@kernel
def _nearest(ts_event: NDArray[np.int64], at_ms: int) -> int:
    """Give the first trade from a moment on that is neither the first nor the last of all."""
    row = 0
    while row < len(ts_event) and ts_event[row] < at_ms:
        row += 1
    return max(min(row, len(ts_event) - 2), 1)


@kernel
def _heavy(day: np.uint64, counter: int) -> float:
    """Give a number of 1 or more with a Pareto tail of exponent 4/3, cut off."""
    root = np.sqrt(uniform(day, counter) + UNIT)
    return float(min(1.0 / (root * np.sqrt(root)), _MOST_SIZE))
