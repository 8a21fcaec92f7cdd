"""The cutting of `wire`, compiled: for feeds of hundreds of markets, which are read many messages at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tickloop.adapters.upbit.connection import TakePacked
from tickloop.adapters.upbit.wire import EIGHT_BYTES, SHORT, TWO_BYTES
from tickloop.domain.kernel import inlined, scanner
from tickloop.domain.kernel_bytes import load_8
from tickloop.domain.packed import HEAD_BYTES, Packed

_LEAST_BYTES = HEAD_BYTES + 2  # of a message worth packing; smaller ones are left to be taken frame by frame
_MOST_HEADS = 8  # the exchange sends three or four types


def take_packed(data: bytes, at: int, most_bytes: int) -> tuple[Packed, int]:
    """Do as `wire.take_messages`, up to the first short one; give the messages, and the position after the last."""
    most = (len(data) - at) // _LEAST_BYTES + 1
    bounds = np.empty((2, most), np.int64)
    first_of_head = np.empty(_MOST_HEADS + 1, np.int64)
    count, heads, at = _cut(np.frombuffer(data, np.uint8), at, bounds[0], bounds[1], first_of_head, most_bytes)
    known = None
    if heads <= _MOST_HEADS:
        known = frozenset(data[start : start + HEAD_BYTES] for start in first_of_head[:heads].tolist())
    return Packed(data, bounds[0, :count].copy(), bounds[1, :count].copy(), known), at


def load() -> TakePacked:
    """Give `take_packed`, ready to be called: the first time ever it is compiled, which takes seconds."""
    take_packed(b"", 0, 0)
    return take_packed


@scanner
def _cut(
    data: NDArray[np.uint8],
    at: int,
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    first_of_head: NDArray[np.int64],
    most_bytes: int,
) -> tuple[int, int, int]:
    end = len(data)
    count = 0
    heads = 0
    while end - at >= 2 and (data[at] == 0x81 or data[at] == 0x82):
        size = data[at + 1] + 0
        body = at + 2
        if size == TWO_BYTES and body + 2 <= end:
            size = (data[body] + 0) << 8 | (data[body + 1] + 0)
            body += 2
        elif size == EIGHT_BYTES and body + 8 <= end:
            size = data[body] * 0
            for place in range(body, body + 8):
                if size > most_bytes:
                    break
                size = size << 8 | (data[place] + 0)
            body += 8
        elif size > SHORT:
            break
        if size < HEAD_BYTES or size > most_bytes or body + size > end:
            break
        starts[count] = body
        ends[count] = body + size
        count += 1
        heads = _note_head(data, body, first_of_head, heads)
        at = int(body + size)
    return count, heads, at


@inlined
def _note_head(data: NDArray[np.uint8], at: int, first_of_head: NDArray[np.int64], heads: int) -> int:
    """Note where a beginning stands that is new; give the number of different ones, at most one above the limit."""
    for n in range(min(heads, _MOST_HEADS)):
        place = first_of_head[n]
        if (
            load_8(data, at) == load_8(data, place)
            and load_8(data, at + 8) == load_8(data, place + 8)
            and load_8(data, at + 16) == load_8(data, place + 16)
        ):
            return heads
    if heads > _MOST_HEADS:
        return heads
    first_of_head[heads] = at
    return heads + 1
