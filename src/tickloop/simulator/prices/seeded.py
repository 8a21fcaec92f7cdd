"""Numbers that depend on a key and a counter alone, so that nothing depends on where a run began."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.kernel import kernel

IDS_PER_MS = 10_000
"""A trade_id is its millisecond x 10,000 + n, as recent ids of the exchange look."""

# The constants of splitmix64 (Steele, Lea, Flood 2014; as in java.util.SplittableRandom).
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_30, _27, _31, _11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)


def key_of(seed: int, name: str) -> np.uint64:
    """Give the key of a name (a market, a purpose) under a seed."""
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, "little"))


@kernel
def draw(key: np.uint64, counter: int) -> np.int64:
    """Give the counter's 53 random bits under the key, as a whole number of 0 or more (splitmix64)."""
    x = key + np.uint64(counter + 1) * _GOLDEN
    x = (x ^ (x >> _30)) * _MIX_1
    x = (x ^ (x >> _27)) * _MIX_2
    return np.int64((x ^ (x >> _31)) >> _11)


@kernel
def subkey(key: np.uint64, counter: int) -> np.uint64:
    """Give a key of its own for a counter, such as a minute."""
    return key ^ (np.uint64(draw(key, counter)) * _GOLDEN)


@kernel
def draws(key: np.uint64, counter: int, count: int) -> NDArray[np.int64]:
    """Give `count` draws of a counter's own key, int64 (count,)."""
    own = subkey(key, counter)
    result = np.empty(count, dtype=np.int64)
    for place in range(count):
        result[place] = draw(own, place)
    return result


@kernel
def number_trades(key: np.uint64, ts_event: NDArray[np.int64], trade_id: NDArray[np.int64]) -> None:
    """Fill in ids: unique, and rotated by a seeded amount among the trades that share a millisecond."""
    first = 0
    while first < len(ts_event):
        end = first + 1
        while end < len(ts_event) and ts_event[end] == ts_event[first]:
            end += 1
        shift = draw(key, ts_event[first]) % (end - first)
        for row in range(first, end):
            trade_id[row] = ts_event[row] * IDS_PER_MS + (row - first + shift) % (end - first)
        first = end
