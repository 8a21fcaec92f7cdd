"""Compiled: uniform and bell-shaped numbers of a key and a counter, the same to the bit on every machine."""

from __future__ import annotations

import numpy as np

from tickloop.domain.kernel import kernel
from tickloop.simulator.prices.seeded import draw

UNIT = 1.0 / 2**53
_ROOT_2 = 2.0**0.5


@kernel
def uniform(key: np.uint64, counter: int) -> float:
    """Give a number in [0, 1)."""
    return float(draw(key, counter) * UNIT)


@kernel
def bell(key: np.uint64, counter: int) -> float:
    """Give a number of mean 0 and variance 1, nearly normal: the sum of 12 uniform ones less 6, from four draws."""
    total = np.int64(0)
    for place in range(4):
        bits = draw(key, counter + place)
        total += (bits & 0x1FFFF) + ((bits >> 17) & 0x1FFFF) + ((bits >> 34) & 0x1FFFF)
    return total / 2.0**17 - 6.0


@kernel
def soft_bell(key: np.uint64, counter: int) -> float:
    """Give a number of mean 0 and variance 1 from two draws: the sum of 6 uniform ones, in half the time."""
    total = np.int64(0)
    for place in range(2):
        bits = draw(key, counter + place)
        total += (bits & 0x1FFFF) + ((bits >> 17) & 0x1FFFF) + ((bits >> 34) & 0x1FFFF)
    return float((total / 2.0**17 - 3.0) * _ROOT_2)
