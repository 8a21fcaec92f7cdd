"""Messages in the form that nearly all of them have, checked by compiled code: trades and tickers, many at a time.

That form is DEFAULT format, one flat object of ASCII without blanks, escapes or very long numbers, `type` first.
Nothing passes here that `parse.parse_frame` would refuse; whatever is otherwise is left to it.

The messages of one type name the same fields in the same order, so what stands between their values is compared with
the message before, eight bytes at a time; only the values are looked at one by one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tickloop.adapters.common.json_kernel import BEYOND as BEYOND
from tickloop.adapters.common.json_kernel import are_same, begins, is_word, literal_end, number, string_end, units_of
from tickloop.adapters.upbit.events import YEAR_9999_MS
from tickloop.domain.kernel import inlined, scanner

TRADE, TICKER = 1, 2
KINDS = 3
"""Kinds of messages, 0 for what is left to the parser included."""

TRADE_TIMESTAMP, TIMESTAMP, SEQUENTIAL_ID, CODE_START, CODE_END, IS_SNAPSHOT, FOUND = range(7)
"""What `scan` finds in a message, and how many such values there are."""

MOST_FIELDS = 64
LAYOUT = 4
"""Values that a layout keeps of a field: begin and length of the text before its value, its rule, its place in what
`scan` finds."""

_HEADS = (b'{"type":"trade",', b'{"type":"ticker",')

# What a field must hold. NULLABLE is added where it may also be null or absent.
_ANY, _CODE, _MILLIS, _PRICE, _VOLUME, _SIDE, _CHANGE, _ID, _TEXT, _NUMBER, _AMOUNT, _NEVER = range(12)
_NULLABLE = 16

_FIELDS: dict[str, tuple[int, int]] = {
    "type": (_NEVER, _NEVER),  # a second one
    "code": (_CODE, _CODE),
    "timestamp": (_MILLIS | _NULLABLE, _MILLIS),
    "trade_price": (_PRICE, _PRICE),
    "trade_volume": (_VOLUME, _ANY),
    "ask_bid": (_SIDE, _ANY),
    "change": (_CHANGE, _CHANGE),
    "trade_timestamp": (_MILLIS, _MILLIS),
    "sequential_id": (_ID, _ANY),
    "stream_type": (_TEXT | _NULLABLE, _TEXT | _NULLABLE),
    "prev_closing_price": (_ANY, _PRICE | _NULLABLE),
    "signed_change_rate": (_ANY, _NUMBER | _NULLABLE),
    "acc_trade_price_24h": (_ANY, _AMOUNT | _NULLABLE),
    "acc_trade_volume_24h": (_ANY, _AMOUNT | _NULLABLE),
    "market_state": (_ANY, _TEXT | _NULLABLE),
}
"""Fields that `events.TradeEvent` and `events.TickerEvent` know -> what each of the two asks of them."""

_MOST_KEY = 32
_NAMES = sorted(_FIELDS, key=len)


def _table(words: list[str]) -> NDArray[np.uint8]:
    table = np.zeros((len(words), _MOST_KEY), np.uint8)
    for row, word in zip(table, words, strict=True):
        row[: len(word)] = np.frombuffer(word.encode(), np.uint8)
    return table


def _required(kind: int) -> int:
    asked = [_FIELDS[name][kind - 1] for name in _NAMES]
    return sum(1 << n for n, rule in enumerate(asked) if rule not in (_ANY, _NEVER) and not rule & _NULLABLE)


# Constants of the compiled code. Names are sorted by length; those of one length are tried one after the other.
_KEYS = _table(_NAMES)
_FIRST_OF_LENGTH = np.searchsorted([len(name) for name in _NAMES], np.arange(_MOST_KEY + 1))
_RULES = np.array([[_ANY] * len(_NAMES), *([_FIELDS[name][kind] for name in _NAMES] for kind in (0, 1))])
_REQUIRED = np.array([0, _required(TRADE), _required(TICKER)])
_KEPT = {"trade_timestamp": TRADE_TIMESTAMP, "timestamp": TIMESTAMP, "sequential_id": SEQUENTIAL_ID}
_SLOTS = np.array([_KEPT.get(name, -1) for name in _NAMES])
_TRADE_HEAD, _TICKER_HEAD = (np.frombuffer(head, np.uint8) for head in _HEADS)


def new_layouts() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give what `scan` remembers between the messages of one buffer: layouts, and the number of fields of each kind."""
    return np.zeros((KINDS, MOST_FIELDS, LAYOUT), np.int64), np.zeros(KINDS, np.int64)


@inlined
def scan(
    data: NDArray[np.uint8],
    start: int,
    end: int,
    found: NDArray[np.int64],
    layouts: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> int:
    """Check the message data[start:end]; give its kind, 0 when it is unusual or wrong. `found` gets its values."""
    if begins(data, start, end, _TRADE_HEAD):
        kind, at = TRADE, start + len(_TRADE_HEAD)
    elif begins(data, start, end, _TICKER_HEAD):
        kind, at = TICKER, start + len(_TICKER_HEAD)
    else:
        return 0
    found[:] = 0
    if counts[kind] and _is_alike(data, at, end, found, layouts[kind], counts[kind]):
        return kind
    found[:] = 0
    counts[kind] = _learn(data, at, end, kind, found, layouts[kind])
    return kind if counts[kind] else 0


@inlined
def _is_alike(
    data: NDArray[np.uint8], at: int, end: int, found: NDArray[np.int64], layout: NDArray[np.int64], count: int
) -> bool:
    """Tell whether a message has this layout and right values."""
    for n in range(count):
        size = layout[n, 1]
        if at + size >= end or at + size + 8 > len(data) or not are_same(data, at, layout[n, 0], size):
            return False
        at = _value(data, at + size, end, layout[n, 2], found, layout[n, 3])
        if at >= end:
            return False
    return data[at] == 125 and at + 1 == end


@scanner
def _learn(
    data: NDArray[np.uint8], at: int, end: int, kind: int, found: NDArray[np.int64], layout: NDArray[np.int64]
) -> int:
    """Check a message field by field and note its layout; give the number of its fields, 0 when it is unusual."""
    seen = 0
    before = at
    for count in range(MOST_FIELDS):
        if at >= end or data[at] != 34:
            return 0
        name = at + 1
        at = string_end(data, name, end)
        if at + 3 >= end or data[at + 1] != 58:
            return 0
        key = _key(data, name, at)
        rule, slot = _ANY, -1
        if key >= 0:
            if seen >> key & 1:
                return 0
            seen |= 1 << key
            rule, slot = _RULES[kind, key], _SLOTS[key]
        at += 2
        layout[count, 0], layout[count, 1], layout[count, 2], layout[count, 3] = before, at - before, rule, slot
        at = _value(data, at, end, rule, found, slot)
        if at >= end:
            return 0
        if data[at] == 125 and at + 1 == end:
            return count + 1 if seen & _REQUIRED[kind] == _REQUIRED[kind] else 0
        if data[at] != 44:
            return 0
        before = at
        at += 1
    return 0


@inlined
def _value(data: NDArray[np.uint8], at: int, end: int, rule: int, found: NDArray[np.int64], slot: int) -> int:
    """Give the position after a value that is what its field asks for, else `end`."""
    if data[at] == 34:
        after = string_end(data, at + 1, end)
        return after + 1 if after < end and _is_text(data, at + 1, after, rule & ~_NULLABLE, found) else end
    if data[at] == 45 or 48 <= data[at] <= 57:
        return _number(data, at, end, rule & ~_NULLABLE, found, slot)
    return _literal(data, at, end, rule)


@scanner
def _key(data: NDArray[np.uint8], at: int, end: int) -> int:
    """Give the number of a known field's name, -1 of any other."""
    length = end - at
    if length >= _MOST_KEY:
        return -1
    for key in range(_FIRST_OF_LENGTH[length], _FIRST_OF_LENGTH[length + 1]):
        n = 0
        while n < length and data[at + n] == _KEYS[key, n]:
            n += 1
        if n == length:
            return key
    return -1


@inlined
def _is_text(data: NDArray[np.uint8], at: int, end: int, rule: int, found: NDArray[np.int64]) -> bool:
    """Tell whether a string is what its field asks for; a code's place and a snapshot are noted."""
    if rule == _ANY:
        return True
    if rule == _CODE:
        found[CODE_START], found[CODE_END] = at, end
        return _is_code(data, at, end)
    if rule == _TEXT:
        if end - at == 8 and is_word(data, at, 83, 78, 65, 80) and is_word(data, at + 4, 83, 72, 79, 84):  # SNAPSHOT
            found[IS_SNAPSHOT] = 1
        return True
    if rule == _SIDE:
        if end - at != 3:
            return False
        is_ask = data[at] == 65 and data[at + 1] == 83 and data[at + 2] == 75
        return bool(is_ask or (data[at] == 66 and data[at + 1] == 73 and data[at + 2] == 68))
    if rule == _CHANGE and end - at == 4:
        return (
            is_word(data, at, 82, 73, 83, 69) or is_word(data, at, 70, 65, 76, 76) or is_word(data, at, 69, 86, 69, 78)
        )
    return False


@inlined
def _is_code(data: NDArray[np.uint8], at: int, end: int) -> bool:
    """Tell whether a string is a market's code: 1 to 10 capitals or digits, a dash, 1 to 20 more."""
    dash = at
    while dash < end and data[dash] != 45:
        dash += 1
    if not (1 <= dash - at <= 10 and 1 <= end - dash - 1 <= 20):
        return False
    for place in range(at, end):
        char = data[place]
        if place != dash and not (48 <= char <= 57 or 65 <= char <= 90):
            return False
    return True


@inlined
def _literal(data: NDArray[np.uint8], at: int, end: int, rule: int) -> int:
    """Give the position after null, true or false where the field allows it, else `end`."""
    if rule == _ANY or (rule & _NULLABLE and data[at] == 110):
        return literal_end(data, at, end)
    return end


@inlined
def _number(data: NDArray[np.uint8], at: int, end: int, rule: int, found: NDArray[np.int64], slot: int) -> int:
    """Give the position after a number that is what its field asks for, else `end`; `found[slot]` gets its value."""
    after, is_negative, value, scale, is_whole = number(data, at, end)
    if slot >= 0:
        found[slot] = value
    return after if _is_number(rule, is_negative, value, is_whole, scale) else end


@inlined
def _is_number(rule: int, is_negative: bool, value: np.int64, is_whole: bool, scale: int) -> bool:
    """Tell whether `value` x 10^`scale` is what a field asks for."""
    if rule in (_ANY, _NUMBER):
        return True
    if is_negative:
        return False
    if rule == _AMOUNT:
        return True
    if rule == _PRICE:
        return bool(value > 0)
    if rule == _MILLIS:
        return is_whole and bool(value <= YEAR_9999_MS)
    if rule == _ID:
        return is_whole
    return rule == _VOLUME and bool(units_of(value, scale + 8) > 0)
