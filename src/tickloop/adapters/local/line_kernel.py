"""The lines of `journal_line`, compiled: for feeds of hundreds of markets, whose messages come many at a time.

It takes the usual messages that `upbit.scan_kernel` knows and makes of them the very lines that `line_of` makes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tickloop.adapters.upbit.scan_kernel import (
    BEYOND,
    CODE_END,
    CODE_START,
    FOUND,
    IS_SNAPSHOT,
    SEQUENTIAL_ID,
    TIMESTAMP,
    TRADE,
    TRADE_TIMESTAMP,
    new_layouts,
    scan,
)
from tickloop.domain.kernel import inlined, scanner
from tickloop.domain.kernel_bytes import copy_bytes, load_8
from tickloop.domain.packed import Packed

_OURS_BYTES = 250  # the fields of ours, each at its longest
_TRADE_ID, _TICKER_ID = (np.frombuffer(b'Z","doc_id":"' + word, np.uint8) for word in (b"trade:", b"ticker:"))
_AT_TIMESTAMP = np.frombuffer(b',"@timestamp":"', np.uint8)
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)
_DAY_S = 86_400


def _crc_tables() -> NDArray[np.uint64]:
    """Make the tables by which CRC-32 (that of zlib) is taken sixteen bytes at a time."""
    tables = np.zeros((16, 256), np.uint64)
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (0xEDB88320 if value & 1 else 0)
        tables[0, byte] = value
    for n in range(1, 16):
        tables[n] = tables[n - 1] >> np.uint64(8) ^ tables[0][tables[n - 1] & np.uint64(255)]
    return tables


_CRC = _crc_tables()


_MOST_CODES = 2_048
_CODE_BYTES = 32
_SLOTS = 4 * _MOST_CODES


class CodeTable:
    """Codes of markets, numbered as they are first seen, 2,048 at most; then messages of others are unusual.

    Attributes:
        names: the codes by number; `sizes` their lengths, and behind them how many there are.
    """

    def __init__(self) -> None:
        self.slots = np.full(_SLOTS, -1, np.int64)
        self.texts = np.zeros((_MOST_CODES, _CODE_BYTES), np.uint8)
        self.sizes = np.zeros(_MOST_CODES + 1, np.int64)
        self._names: list[str] = []

    @property
    def names(self) -> list[str]:
        for number in range(len(self._names), self.sizes[_MOST_CODES]):
            self._names.append(self.texts[number, : self.sizes[number]].tobytes().decode())
        return self._names


class CompiledLines:
    """Implements `journal_intake.MadeLines`."""

    def __init__(self, text: memoryview, count: int, places: NDArray[np.int64]) -> None:
        self.text = text
        self.ends, kinds, self.times_ms, self.ids, self.codes, self.is_snapshot = places[:, :count]
        self.is_trade = kinds == TRADE

    def __len__(self) -> int:
        return len(self.ends)


class CompiledLineMaker:
    """Implements `journal_intake.LineMaker`. The first one ever is compiled, which takes ten seconds."""

    def __init__(self) -> None:
        self._codes = CodeTable()
        self.make(Packed.of((b"{}",)), 0, 0)

    @property
    def names(self) -> list[str]:
        return self._codes.names

    def make(self, messages: Packed, ts_received_ns: int, arrival: int) -> CompiledLines:
        """Make the lines of messages received together, the first with this `arrival`, up to the first unusual one."""
        count = len(messages)
        data, offset = _padded_buffer(messages)
        out = np.empty(len(data) + count * _OURS_BYTES, np.uint8)
        places = np.empty((6, count), np.int64)
        ours = np.frombuffer(b',"ts_received":%d,"arrival":' % ts_received_ns, np.uint8)
        starts, ends = messages.starts - offset, messages.ends - offset
        codes = self._codes
        state = (*new_layouts(), np.zeros(FOUND, np.int64), np.array((-1, 0, 0, 0)))
        made = _make(
            np.frombuffer(data, np.uint8),
            starts,
            ends,
            ours,
            arrival,
            out,
            places,
            *state,
            codes.slots,
            codes.texts,
            codes.sizes,
        )
        return CompiledLines(out[: places[0, made - 1] if made else 0].data, made, places)


def _padded_buffer(messages: Packed) -> tuple[bytes, int]:
    """Give a buffer of the messages that has what `scan` reads beyond their end, and what was left out before it."""
    end = int(messages.ends[-1])
    if len(messages.data) >= end + BEYOND:
        return messages.data, 0
    start = int(messages.starts[0])
    return messages.data[start:end] + bytes(BEYOND), start


@scanner
def _make(
    data: NDArray[np.uint8],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    ours: NDArray[np.uint8],
    arrival: int,
    out: NDArray[np.uint8],
    places: NDArray[np.int64],
    layouts: NDArray[np.int64],
    counts: NDArray[np.int64],
    found: NDArray[np.int64],
    day: NDArray[np.int64],
    slots: NDArray[np.int64],
    texts: NDArray[np.uint8],
    sizes: NDArray[np.int64],
) -> int:
    to = 0
    for n in range(len(starts)):
        start, end = starts[n], ends[n]
        kind = scan(data, start, end, found, layouts, counts)
        code = _number_of(data, found[CODE_START], found[CODE_END], slots, texts, sizes) if kind else -1
        if code < 0:
            return n
        ts_ms = found[TRADE_TIMESTAMP] if kind == TRADE else found[TIMESTAMP]
        to = _copy(out, to, data, start, end - 1)
        to = _copy(out, to, ours, 0, len(ours))
        to = _digits(out, to, arrival + n)
        to = _copy(out, to, _AT_TIMESTAMP, 0, len(_AT_TIMESTAMP))
        to = _iso(out, to, ts_ms, day)
        head = _TRADE_ID if kind == TRADE else _TICKER_ID
        to = _copy(out, to, head, 0, len(head))
        to = _copy(out, to, data, found[CODE_START], found[CODE_END])
        out[to] = 58  # :
        to += 1
        if kind == TRADE:
            to = _digits(out, to, found[SEQUENTIAL_ID])
        else:
            to = _digits(out, to, ts_ms)
            out[to] = 58
            to = _hex8(out, to + 1, _crc32(data, start, end))
        out[to], out[to + 1], out[to + 2] = 34, 125, 10  # "} and the line's end
        to += 3
        places[0, n], places[1, n] = to, kind
        places[2, n], places[3, n] = ts_ms, found[SEQUENTIAL_ID]
        places[4, n], places[5, n] = code, found[IS_SNAPSHOT]
    return len(starts)


@inlined
def _number_of(
    data: NDArray[np.uint8],
    start: int,
    end: int,
    slots: NDArray[np.int64],
    texts: NDArray[np.uint8],
    sizes: NDArray[np.int64],
) -> int:
    """Give the number of a code, a new one if need be; -1 when there are too many."""
    mixed = np.int64(0)
    for place in range(start, end):
        mixed = mixed * 31 + data[place]
    slot = mixed & (_SLOTS - 1)
    while slots[slot] >= 0:
        number = slots[slot]
        same = 0
        while same < end - start and data[start + same] == texts[number, same]:
            same += 1
        if same == end - start == sizes[number]:
            return int(number)
        slot = (slot + 1) & (_SLOTS - 1)
    known = sizes[_MOST_CODES]
    if known == _MOST_CODES:
        return -1
    copy_bytes(texts[known], 0, data, start, end - start)
    sizes[known] = end - start
    sizes[_MOST_CODES] = known + 1
    slots[slot] = known
    return int(known)


@inlined
def _copy(out: NDArray[np.uint8], to: int, data: NDArray[np.uint8], start: int, end: int) -> int:
    copy_bytes(out, to, data, start, end - start)
    return to + end - start


@inlined
def _digits(out: NDArray[np.uint8], to: int, value: int) -> int:
    """Write a number that is not negative; give the position after it."""
    size = 1
    left = value // 10
    while left:
        size += 1
        left //= 10
    for place in range(to + size - 1, to - 1, -1):
        out[place] = 48 + value % 10
        value //= 10
    return to + size


@inlined
def _padded(out: NDArray[np.uint8], to: int, value: int, size: int) -> int:
    for place in range(to + size - 1, to - 1, -1):
        out[place] = 48 + value % 10
        value //= 10
    return to + size


@inlined
def _hex8(out: NDArray[np.uint8], to: int, value: np.int64) -> int:
    for n in range(8):
        out[to + n] = _HEX[value >> 28 - 4 * n & 15]
    return to + 8


@inlined
def _iso(out: NDArray[np.uint8], to: int, ts_ms: int, day: NDArray[np.int64]) -> int:
    """Write epoch milliseconds as `2024-01-22T00:00:00.000`; `day` keeps the last day: its number, year, month, day."""
    second, ms = ts_ms // 1000, ts_ms % 1000
    number, second = second // _DAY_S, second % _DAY_S
    if number != day[0]:
        day[0] = number
        _civil(number, day)
    to = _padded(out, to, day[1], 4)
    out[to] = 45
    to = _padded(out, to + 1, day[2], 2)
    out[to] = 45
    to = _padded(out, to + 1, day[3], 2)
    out[to] = 84
    to = _padded(out, to + 1, second // 3600, 2)
    out[to] = 58
    to = _padded(out, to + 1, second // 60 % 60, 2)
    out[to] = 58
    to = _padded(out, to + 1, second % 60, 2)
    out[to] = 46
    return _padded(out, to + 1, ms, 3)


@scanner
def _civil(number: int, day: NDArray[np.int64]) -> None:
    """Give the date of a day since 1970-01-01, in the proleptic Gregorian calendar.

    Source: H. Hinnant, "chrono-compatible low-level date algorithms", civil_from_days, for days from 1970 on.
    """
    shifted = number + 719_468
    era, of_era = shifted // 146_097, shifted % 146_097
    year_of_era = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month = (5 * of_year + 2) // 153
    day[3] = of_year - (153 * month + 2) // 5 + 1
    day[2] = month + 3 if month < 10 else month - 9
    day[1] = year_of_era + era * 400 + (1 if day[2] <= 2 else 0)


@inlined
def _crc32(data: NDArray[np.uint8], start: int, end: int) -> np.int64:
    value = np.uint64(0xFFFFFFFF)
    low = np.uint64(255)
    at = start
    while end - at >= 16:
        one = load_8(data, at) ^ value
        two = load_8(data, at + 8)
        value = (
            _CRC[15, one & low]
            ^ _CRC[14, one >> np.uint64(8) & low]
            ^ _CRC[13, one >> np.uint64(16) & low]
            ^ _CRC[12, one >> np.uint64(24) & low]
            ^ _CRC[11, one >> np.uint64(32) & low]
            ^ _CRC[10, one >> np.uint64(40) & low]
            ^ _CRC[9, one >> np.uint64(48) & low]
            ^ _CRC[8, one >> np.uint64(56)]
            ^ _CRC[7, two & low]
            ^ _CRC[6, two >> np.uint64(8) & low]
            ^ _CRC[5, two >> np.uint64(16) & low]
            ^ _CRC[4, two >> np.uint64(24) & low]
            ^ _CRC[3, two >> np.uint64(32) & low]
            ^ _CRC[2, two >> np.uint64(40) & low]
            ^ _CRC[1, two >> np.uint64(48) & low]
            ^ _CRC[0, two >> np.uint64(56)]
        )
        at += 16
    while at < end:
        value = _CRC[0, (data[at] ^ value) & low] ^ value >> np.uint64(8)
        at += 1
    return np.int64(value ^ np.uint64(0xFFFFFFFF))
