"""Compiled: days and minutes of a made market, before there are any trades.

Nothing but + - x / and square roots of hashed counters: IEEE 754 rounds these alike everywhere, so a seed gives the
same market on every machine and under every version of the libraries.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.kernel import kernel
from tickloop.domain.rules import LadderTable, tick_at
from tickloop.domain.window import DAY_MS, MINUTE_MS
from tickloop.simulator.prices.chance import bell, soft_bell, uniform
from tickloop.simulator.prices.seeded import subkey

MINUTES = DAY_MS // MINUTE_MS

# Purposes: each takes draws of its own from a day's key. A day has far fewer trades than the room between two.
_DAY_MOVE, _DAY_ACTIVITY, _DAY_COUNT = 0, 16, 32
_MOVE, _SHOCK = 1_000_000, 2_000_000  # `made_trades` has those from 3,000,000 on

_FEW = 50.0
_TRIES = 64
"""A day that expects fewer than _FEW trades has a binomial number of them, of so many tries."""

_DAY_SHOCK, _DAY_MEMORY = 0.10, 0.85
_MINUTE_SHOCK, _MINUTE_MEMORY = 0.15, 0.82
"""GARCH(1,1) of daily and of one-minute returns (Bollerslev 1986), both with mean 1: chosen, not fitted."""

_PULL = 0.01  # a day's pull back to the price of the beginning, or decades would lead anywhere


@kernel
def walk_days(
    key: np.uint64,
    first_day: int,
    sigma: float,
    mean_trades: float,
    level: NDArray[np.float64],
    heat: NDArray[np.float32],
    count: NDArray[np.int32],
) -> None:
    """Fill in, for every day of a market's life, where it begins, how volatile it is and how many trades it has.

    Args:
        sigma: usual size of a day's return.
        level: price at the start of each day and at the end of the last, times that of the beginning.
        heat: variance of the day's return, times sigma squared; 1 on average.
    """
    level[0], variance = 1.0, 1.0
    for place in range(len(count)):
        day = subkey(key, first_day + place)
        shock = bell(day, _DAY_MOVE)
        move = min(max(sigma * np.sqrt(variance) * shock, -0.3), 0.4)
        level[place + 1] = level[place] * (1.0 + move + max(_PULL * (1.0 - level[place]), -0.1))
        heat[place] = variance
        mean = mean_trades * (0.4 + 0.6 * variance) * (0.7 + 0.6 * uniform(day, _DAY_ACTIVITY))
        count[place] = _how_many(day, mean)
        fixed = 1.0 - _DAY_SHOCK - _DAY_MEMORY
        variance = min(fixed + _DAY_SHOCK * variance * shock * shock + _DAY_MEMORY * variance, 6.0)


@kernel
def _how_many(day: np.uint64, mean: float) -> int:
    if mean >= _FEW:
        return max(int(mean + np.sqrt(mean) * bell(day, _DAY_COUNT)), 1)
    found = 0
    for attempt in range(_TRIES):
        found += int(uniform(day, _DAY_COUNT + attempt) < mean / _TRIES)
    return found


@kernel
def on_grid(ladders: LadderTable, price: float, at_ms: int) -> float:
    """Give the price step nearest to a price, as the double that the exchange would print."""
    return printed_price(max(np.rint(price / tick_at(ladders, price, at_ms)), 1.0), tick_at(ladders, price, at_ms))


@kernel
def printed_price(steps: float, tick: float) -> float:
    # A step below 1 is divided by its inverse: the nearest double of the decimal.
    return float(steps * tick if tick >= 1.0 else steps / np.rint(1.0 / tick))


@kernel
def minute_path(
    day: np.uint64, opening: float, closing: float, spread: float, mid: NDArray[np.float64], calm: NDArray[np.float64]
) -> None:
    """Fill in the mid price at each minute's start and at the day's end, and each minute's variance (usual: 1).

    Args:
        spread: size of the day's return, as a fraction of the price.
    """
    variance = 1.0
    mid[0] = 0.0
    for minute in range(MINUTES):
        calm[minute] = variance
        size = 3.0 if uniform(day, _SHOCK + minute) < 0.01 else 0.96  # a jump now and then
        move = size * np.sqrt(variance) * soft_bell(day, _MOVE + 2 * minute)
        mid[minute + 1] = mid[minute] + move
        fixed = 1.0 - _MINUTE_SHOCK - _MINUTE_MEMORY
        variance = min(fixed + _MINUTE_SHOCK * move * move + _MINUTE_MEMORY * variance, 15.0)
    end, scale = mid[MINUTES], spread / np.sqrt(float(MINUTES))
    for minute in range(MINUTES + 1):
        share = minute / MINUTES
        line = opening + (closing - opening) * share
        mid[minute] = line * (1.0 + max(scale * (mid[minute] - end * share), -0.5))
    mid[0], mid[MINUTES] = opening, closing


@kernel
def day_prices(
    key: np.uint64,
    first_day: int,
    base: float,
    sigma: float,
    level: NDArray[np.float64],
    heat: NDArray[np.float32],
    count: NDArray[np.int32],
    ladders: LadderTable,
) -> NDArray[np.float64]:
    """Give open, high, low and close of days, (n, 4); NaN for a day without trades.

    Args:
        first_day: number of the first one since 1970; `level` has one number more than there are days.
    """
    result = np.full((len(count), 4), np.nan)
    mid, calm = np.empty(MINUTES + 1), np.empty(MINUTES)
    for place in range(len(count)):
        at_ms = (first_day + place) * DAY_MS
        opening = on_grid(ladders, base * level[place], at_ms)
        closing = on_grid(ladders, base * level[place + 1], at_ms)
        if count[place] == 1:
            opening = closing
        high, low = max(opening, closing), min(opening, closing)
        if count[place] >= 4:
            day = subkey(key, first_day + place)
            minute_path(day, base * level[place], base * level[place + 1], sigma * np.sqrt(heat[place]), mid, calm)
            high = max(high, on_grid(ladders, mid.max(), at_ms))
            low = min(low, on_grid(ladders, mid.min(), at_ms))
        if count[place]:
            result[place] = opening, high, low, closing
    return result
