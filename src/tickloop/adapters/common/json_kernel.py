"""JSON text read by compiled code: plain strings, literals and numbers of a usual size, eight bytes at a time.

Whatever is not plain is told as such and left to a whole parser. The buffer must have `BEYOND` bytes after the text.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.kernel import inlined, scanner
from tickloop.domain.kernel_bytes import load_8, low_zeros

BEYOND = 32
"""Bytes that a buffer must have after its text: they are looked at, eight at a time, and mean nothing."""


_ONES, _QUOTES, _SLASHES, _BLANKS, _ZEROS, _HIGHS, _NO_DIGIT = (
    np.uint64(0x0101010101010101 * byte) for byte in (1, ord('"'), ord("\\"), ord(" "), ord("0"), 0x80, 0x76)
)
TENS = np.array([10**n for n in range(19)])
_MOST = 2**63 - 1
MOST_DIGITS = 18  # fit an int64 whatever they are; with an exponent of two digits no float overflows or vanishes


@inlined
def begins(data: NDArray[np.uint8], at: int, end: int, head: NDArray[np.uint8]) -> bool:
    """Tell whether data[at:end] begins with these bytes."""
    if end - at < len(head):
        return False
    same = 0
    while same < len(head) and data[at + same] == head[same]:
        same += 1
    return same == len(head)


@inlined
def string_end(data: NDArray[np.uint8], at: int, end: int) -> int:
    """Give the position of the quote that ends a plain string; `end` when it is not plain, or does not end.

    Eight bytes at a time. Source of the tricks: S. E. Anderson, "Bit Twiddling Hacks", a byte that is zero, or less.
    """
    while at < end:
        word = load_8(data, at)
        quote, slash = word ^ _QUOTES, word ^ _SLASHES
        odd = (quote - _ONES) & ~quote | (slash - _ONES) & ~slash | (word - _BLANKS) & ~word | word
        odd &= _HIGHS
        if odd:
            at += low_zeros(odd) >> 3
            return at if at < end and data[at] == 34 else end
        at += 8
    return end


@inlined
def _eight_digits(data: NDArray[np.uint8], at: int) -> tuple[int, np.int64]:
    """Give how many of the next eight bytes are digits before the first that is none, and their value.

    Source: W. Mula, "SWAR: convert a string of digits"; the digits are moved to the end, zeros before them.
    """
    word = load_8(data, at) ^ _ZEROS
    odd = (word + _NO_DIGIT | word) & _HIGHS
    count = low_zeros(odd) >> 3
    if count == 0:
        return 0, np.int64(0)
    word <<= np.uint64(64 - 8 * count)
    word = word * np.uint64(2561) >> np.uint64(8) & np.uint64(0x00FF00FF00FF00FF)
    word = word * np.uint64(6553601) >> np.uint64(16) & np.uint64(0x0000FFFF0000FFFF)
    return count, np.int64(word * np.uint64(42949672960001) >> np.uint64(32))


@inlined
def digits(data: NDArray[np.uint8], at: int) -> tuple[int, np.int64]:
    """Give the number of digits in a row, and their value unless there are more than 18; 24 and more are 24."""
    size, value = _eight_digits(data, at)
    if size == 8:
        count, more = _eight_digits(data, at + 8)
        size, value = size + count, value * TENS[count] + more
        if count == 8:
            count, more = _eight_digits(data, at + 16)
            size, value = size + count, value * TENS[count] + more
    return size, value


@scanner
def exponent(data: NDArray[np.uint8], at: int) -> tuple[int, np.int64]:
    """Give the length of an exponent, its sign included, and its value; 0 when it is none, or too large."""
    has_sign = data[at] == 43 or data[at] == 45
    size, value = digits(data, at + has_sign)
    if size == 0 or size > 2:
        return 0, np.int64(0)
    return size + has_sign, -value if data[at] == 45 else value


@inlined
def are_same(data: NDArray[np.uint8], one: int, other: int, size: int) -> bool:
    """Compare two stretches of the buffer, after each of which there are at least 8 bytes more."""
    while size >= 8:
        if load_8(data, one) != load_8(data, other):
            return False
        one, other, size = one + 8, other + 8, size - 8
    return size == 0 or (load_8(data, one) ^ load_8(data, other)) << np.uint64(64 - 8 * size) == 0


@inlined
def is_word(data: NDArray[np.uint8], at: int, one: int, two: int, three: int, four: int) -> bool:
    """Tell whether four bytes stand at a place."""
    return bool(data[at] == one and data[at + 1] == two and data[at + 2] == three and data[at + 3] == four)


@inlined
def literal_end(data: NDArray[np.uint8], at: int, end: int) -> int:
    """Give the position after null, true or false, else `end`."""
    if end - at > 4 and (is_word(data, at, 110, 117, 108, 108) or is_word(data, at, 116, 114, 117, 101)):
        return at + 4
    if end - at > 5 and data[at] == 102 and is_word(data, at + 1, 97, 108, 115, 101):
        return at + 5
    return end


@inlined
def number(data: NDArray[np.uint8], at: int, end: int) -> tuple[int, bool, np.int64, int, bool]:
    """Read a number; it is `value` x 10^`scale`.

    Returns:
        The position after it (`end` when it is none, or has more than 18 digits), whether it is negative, its digits as
        one value, its scale, and whether it is written as a whole number.
    """
    is_negative = data[at] == 45
    if is_negative:
        at += 1
    whole, value = digits(data, at)
    if whole == 0 or whole > MOST_DIGITS or (whole > 1 and data[at] == 48):
        return end, is_negative, value, 0, True
    at += whole
    scale = 0
    is_whole = True
    if data[at] == 46:
        decimals, part = digits(data, at + 1)
        if decimals == 0 or whole + decimals > MOST_DIGITS:
            return end, is_negative, value, 0, False
        value = value * TENS[decimals] + part
        at += 1 + decimals
        scale = -decimals
        is_whole = False
    if data[at] == 101 or data[at] == 69:
        size, power = exponent(data, at + 1)
        if size == 0:
            return end, is_negative, value, 0, False
        at += 1 + size
        scale += int(power)
        is_whole = False
    return at, is_negative, value, scale, is_whole


@inlined
def units_of(value: np.int64, scale: int) -> np.int64:
    """Give `value` x 10^`scale` where it is a whole number above 0 and within int64, else 0."""
    if value == 0:
        return np.int64(0)
    while scale < 0:
        if value % 10:
            return np.int64(0)
        value //= 10
        scale += 1
    while scale > 0:
        if value > _MOST // 10:
            return np.int64(0)
        value *= 10
        scale -= 1
    return value
