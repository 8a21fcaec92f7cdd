"""A page of trades as OpenSearch answers it, read by compiled code into rows: for hours of many trades.

It reads documents that are lines of the journal as nearly all of them are: flat objects of plain ASCII, `type` first.
Nothing passes here that `stored_line.read_trade` would refuse or read otherwise; a page with anything else in it is
left to that. The fields of most documents have the same names in the same order, so what stands between their values
is compared with the document before, eight bytes at a time; only the values are looked at one by one.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tickloop.adapters.common.json_kernel import (
    BEYOND,
    MOST_DIGITS,
    are_same,
    begins,
    digits,
    is_word,
    literal_end,
    number,
    string_end,
    units_of,
)
from tickloop.adapters.common.trade_rows import CHANGE_OF, ROW, SIDE_OF, SOURCE_OF, Rows
from tickloop.adapters.upbit.events import YEAR_9999_MS
from tickloop.domain.kernel import inlined, scanner

_FIRST_HIT = '"max_score":null,"hits":['
_AFTER_HITS = b"]}}"
_HIT_BYTES = 200  # no hit is shorter

_INDEX, _ID, _SOURCE, _SORT = (
    np.frombuffer(text, np.uint8)
    for text in (b'{"_index":"', b'","_id":"', b'","_score":null,"_source":{"type":"trade",', b',"sort":[')
)

_MOST_FIELDS = 64
_LAYOUT = 4  # begin and length of the text before a field's value, its rule, its place in what was found
_TS_EVENT, _TRADE_ID, _TS_RECEIVED, _ARRIVAL, _QTY, _SIDE, _CHANGE, _SOURCE_WORD, _PRICE, _SCALE, _FOUND = range(11)

# What a field must hold. `_NULLABLE` is added where it may also be null.
_ANY, _CODE, _MILLIS, _MONEY, _VOLUME, _TAKER, _DIRECTION, _ORIGIN, _WHOLE, _TEXT, _NEVER = range(11)
_NULLABLE = 16

_FIELDS: dict[str, tuple[int, int, bool]] = {
    "type": (_NEVER, -1, False),  # a second one
    "code": (_CODE, -1, True),
    "timestamp": (_MILLIS | _NULLABLE, -1, False),
    "trade_price": (_MONEY, _PRICE, True),
    "trade_volume": (_VOLUME, _QTY, True),
    "ask_bid": (_TAKER, _SIDE, True),
    "change": (_DIRECTION, _CHANGE, True),
    "trade_timestamp": (_MILLIS, _TS_EVENT, True),
    "sequential_id": (_WHOLE, _TRADE_ID, True),
    "stream_type": (_TEXT | _NULLABLE, -1, False),
    "ts_received": (_WHOLE, _TS_RECEIVED, True),
    "arrival": (_WHOLE, _ARRIVAL, True),
    "source": (_ORIGIN, _SOURCE_WORD, False),
}
"""Field of `stored_line.TradeLine` -> what it asks of it, where that is kept, and whether it must be there."""

_MOST_NAME = 32


def _table(words: list[str]) -> NDArray[np.uint8]:
    table = np.zeros((len(words), _MOST_NAME), np.uint8)
    for row, word in zip(table, words, strict=True):
        row[: len(word)] = np.frombuffer(word.encode(), np.uint8)
    return table


_NAMES = _table(list(_FIELDS))
_NAME_SIZES = np.array([len(name) for name in _FIELDS])
_RULES, _PLACES = (np.array([field[n] for field in _FIELDS.values()], np.int64) for n in (0, 1))
_REQUIRED = sum(1 << n for n, (_, _, is_required) in enumerate(_FIELDS.values()) if is_required)
_BID, _ASK = SIDE_OF["BID"], SIDE_OF["ASK"]
_RISE, _EVEN, _FALL = CHANGE_OF["RISE"], CHANGE_OF["EVEN"], CHANGE_OF["FALL"]
_STREAM, _REST = SOURCE_OF["stream"], SOURCE_OF["rest"]
_POWERS = np.array([10.0**n for n in range(23)])  # those that a float holds exactly
_EXACT = 2**53


def read_page(text: str, market: str) -> tuple[Rows, list[Any]] | None:
    """Read an answer: its trades, and the sort values of the last one; None when anything in it is unusual.

    Args:
        market: has the form of a market.
    """
    first = text.find(_FIRST_HIT)
    if first < 0 or not text.isascii():
        return None
    data = text.encode("ascii") + bytes(BEYOND)
    rows = np.empty(len(text) // _HIT_BYTES + 1, ROW)
    state = np.zeros((_MOST_FIELDS, _LAYOUT), np.int64), np.zeros(_FOUND, np.int64), np.zeros(2, np.int64)
    code = np.frombuffer(market.encode(), np.uint8)
    count = _scan(np.frombuffer(data, np.uint8), first + len(_FIRST_HIT), len(text), code, rows, *state)
    start, end = state[-1].tolist()
    if count <= 0 or data[end + 1 : len(text)] != _AFTER_HITS:
        return None
    return rows[:count].copy(), msgspec.json.decode(data[start:end])


@scanner
def _scan(
    data: NDArray[np.uint8],
    at: int,
    end: int,
    code: NDArray[np.uint8],
    rows: Rows,
    layout: NDArray[np.int64],
    found: NDArray[np.int64],
    sort: NDArray[np.int64],
) -> int:
    """Read hits; give their number, -1 when one is unusual. `sort` gets the place of the last one's sort values."""
    fields = 0
    for count in range(len(rows)):
        at = _head_end(data, at, end)
        if at >= end:
            return -1
        found[:] = 0
        found[_SOURCE_WORD] = _STREAM
        after = _alike_end(data, at, end, code, found, layout, fields) if fields else end
        if after >= end:
            found[:] = 0
            found[_SOURCE_WORD] = _STREAM
            after, fields = _learn(data, at, end, code, found, layout)
            if after >= end:
                return -1
        if not begins(data, after, end, _SORT):
            return -1
        sort[0] = after + len(_SORT) - 1
        at = _list_end(data, sort[0] + 1, end)
        sort[1] = at
        if at + 1 >= end or data[at] != 125 or not _keep(rows[count], found):
            return -1
        if data[at + 1] == 93:  # the end of the hits
            return count + 1
        if data[at + 1] != 44:
            return -1
        at += 2
    return -1


@inlined
def _keep(row: Any, found: NDArray[np.int64]) -> bool:
    """Fill a row; tell whether its price is one whose digits and power of ten floats hold exactly, so its float is."""
    if found[_PRICE] > _EXACT or not -22 <= found[_SCALE] <= 22:
        return False
    price = np.float64(found[_PRICE])
    row.price = price * _POWERS[found[_SCALE]] if found[_SCALE] >= 0 else price / _POWERS[-found[_SCALE]]
    row.trade_id = found[_TRADE_ID]
    row.ts_event = found[_TS_EVENT]
    row.ts_received = found[_TS_RECEIVED]
    row.arrival = found[_ARRIVAL]
    row.qty_e8 = found[_QTY]
    row.side = found[_SIDE]
    row.change = found[_CHANGE]
    row.source = found[_SOURCE_WORD]
    return True


@inlined
def _head_end(data: NDArray[np.uint8], at: int, end: int) -> int:
    """Give the position of a document's second field, else `end`."""
    if not begins(data, at, end, _INDEX):
        return end
    at = string_end(data, at + len(_INDEX), end)
    if not begins(data, at, end, _ID):
        return end
    at = string_end(data, at + len(_ID), end)
    return at + len(_SOURCE) if begins(data, at, end, _SOURCE) else end


@inlined
def _list_end(data: NDArray[np.uint8], at: int, end: int) -> int:
    """Give the position after a list of plain values, else `end`."""
    while at < end and data[at] != 93:
        if data[at] == 34:
            at = string_end(data, at + 1, end)
        at += 1
    return min(at + 1, end)


@inlined
def _alike_end(
    data: NDArray[np.uint8],
    at: int,
    end: int,
    code: NDArray[np.uint8],
    found: NDArray[np.int64],
    layout: NDArray[np.int64],
    fields: int,
) -> int:
    """Give the position after a document of this layout and right values, else `end`."""
    for n in range(fields):
        size = layout[n, 1]
        if at + size >= end or not are_same(data, at, layout[n, 0], size):
            return end
        at = _value(data, at + size, end, layout[n, 2], code, found, layout[n, 3])
        if at >= end:
            return end
    return at + 1 if data[at] == 125 else end


@scanner
def _learn(
    data: NDArray[np.uint8],
    at: int,
    end: int,
    code: NDArray[np.uint8],
    found: NDArray[np.int64],
    layout: NDArray[np.int64],
) -> tuple[int, int]:
    """Read a document field by field and note its layout; give the position after it and the number of its fields.

    The position is `end` when it is unusual.
    """
    seen = 0
    before = at
    for count in range(_MOST_FIELDS):
        if at >= end or data[at] != 34:
            return end, 0
        name = at + 1
        at = string_end(data, name, end)
        if at + 3 >= end or data[at + 1] != 58:
            return end, 0
        field = _field(data, name, at)
        rule, place = _ANY, -1
        if field >= 0:
            if seen >> field & 1:
                return end, 0
            seen |= 1 << field
            rule, place = _RULES[field], _PLACES[field]
        at += 2
        layout[count, 0], layout[count, 1], layout[count, 2], layout[count, 3] = before, at - before, rule, place
        at = _value(data, at, end, rule, code, found, place)
        if at >= end:
            return end, 0
        if data[at] == 125:
            return (at + 1, count + 1) if seen & _REQUIRED == _REQUIRED else (end, 0)
        if data[at] != 44:
            return end, 0
        before = at
        at += 1
    return end, 0


@scanner
def _field(data: NDArray[np.uint8], at: int, end: int) -> int:
    """Give the number of a known field's name, -1 of any other."""
    for field in range(len(_NAMES)):
        if _NAME_SIZES[field] == end - at:
            n = 0
            while n < end - at and data[at + n] == _NAMES[field, n]:
                n += 1
            if n == end - at:
                return field
    return -1


@inlined
def _value(
    data: NDArray[np.uint8],
    at: int,
    end: int,
    rule: int,
    code: NDArray[np.uint8],
    found: NDArray[np.int64],
    place: int,
) -> int:
    """Give the position after a value that is what its field asks for, else `end`."""
    if data[at] == 34:
        after = string_end(data, at + 1, end)
        is_right = after < end and _is_text(data, at + 1, after, rule & ~_NULLABLE, code, found)
        return after + 1 if is_right else end
    if rule == _WHOLE:
        size, value = digits(data, at)
        if size == 0 or size > MOST_DIGITS + 1 or value < 0 or (size > 1 and data[at] == 48):  # 2^63 and more wrap
            return end
        found[place] = value
        return at + size
    if data[at] == 45 or 48 <= data[at] <= 57:
        return _number(data, at, end, rule & ~_NULLABLE, found, place)
    if rule == _ANY or (rule & _NULLABLE and data[at] == 110):
        return literal_end(data, at, end)
    return end


@inlined
def _is_text(
    data: NDArray[np.uint8], at: int, end: int, rule: int, code: NDArray[np.uint8], found: NDArray[np.int64]
) -> bool:
    """Tell whether a string is what its field asks for; `found` gets the number of a known word."""
    if rule in (_ANY, _TEXT):
        return True
    size = end - at
    if rule == _CODE:
        return size == len(code) and begins(data, at, end, code)
    if rule == _TAKER and size == 3:
        is_bid = data[at] == 66 and data[at + 1] == 73 and data[at + 2] == 68
        found[_SIDE] = _BID if is_bid else _ASK
        return bool(is_bid or (data[at] == 65 and data[at + 1] == 83 and data[at + 2] == 75))
    if rule == _DIRECTION and size == 4:
        is_rise, is_even = is_word(data, at, 82, 73, 83, 69), is_word(data, at, 69, 86, 69, 78)
        found[_CHANGE] = _RISE if is_rise else _EVEN if is_even else _FALL
        return is_rise or is_even or is_word(data, at, 70, 65, 76, 76)
    if rule == _ORIGIN and size == 4:
        found[_SOURCE_WORD] = _REST
        return is_word(data, at, 114, 101, 115, 116)
    return False


@inlined
def _number(data: NDArray[np.uint8], at: int, end: int, rule: int, found: NDArray[np.int64], place: int) -> int:
    """Give the position after a number that is what its field asks for, else `end`; `found` gets its value."""
    after, is_negative, value, scale, is_whole = number(data, at, end)
    if rule == _ANY:
        return after
    if is_negative:
        return end
    if rule == _MILLIS:
        if place >= 0:
            found[place] = value
        return after if is_whole and value <= YEAR_9999_MS else end
    if rule == _MONEY:
        found[_PRICE], found[_SCALE] = value, scale
        return after if value > 0 else end
    if rule == _VOLUME:
        found[_QTY] = units_of(value, scale + 8)
        return after if found[_QTY] > 0 else end
    return end
