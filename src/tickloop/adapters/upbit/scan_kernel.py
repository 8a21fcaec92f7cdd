"""Messages in the form that nearly all of them have, checked by compiled code: trades and tickers, many at a time.

That form is DEFAULT format, one flat object of ASCII without blanks, escapes or very long numbers, `type` first.
Nothing passes here that `parse.parse_frame` would refuse; whatever is otherwise is left to it.

The messages of one type name the same fields in the same order, so what stands between their values is compared with
the message before, eight bytes at a time; only the values are looked at one by one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tickloop.adapters.upbit.events import INT64_MAX, YEAR_9999_MS
from tickloop.domain.kernel import inlined, scanner
from tickloop.domain.kernel_bytes import load_8, low_zeros

TRADE, TICKER = 1, 2
KINDS = 3
"""Kinds of messages, 0 for what is left to the parser included."""

TRADE_TIMESTAMP, TIMESTAMP, SEQUENTIAL_ID, CODE_START, CODE_END, IS_SNAPSHOT, FOUND = range(7)
"""What `scan` finds in a message, and how many such values there are."""

BEYOND = 32
"""Bytes that the buffer must have after the last message: they are looked at, eight at a time, and mean nothing."""

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
_ONES, _QUOTES, _SLASHES, _BLANKS, _ZEROS, _HIGHS, _NO_DIGIT = (
    np.uint64(0x0101010101010101 * byte) for byte in (1, ord('"'), ord("\\"), ord(" "), ord("0"), 0x80, 0x76)
)
_TENS = np.array([10**n for n in range(19)])
_MOST_DIGITS = 18  # fit an int64 whatever they are; with an exponent of two digits no float overflows or vanishes


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
    if _begins(data, start, end, _TRADE_HEAD):
        kind, at = TRADE, start + len(_TRADE_HEAD)
    elif _begins(data, start, end, _TICKER_HEAD):
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
        if at + size >= end or at + size + 8 > len(data) or not _are_same(data, at, layout[n, 0], size):
            return False
        at = _value(data, at + size, end, layout[n, 2], found, layout[n, 3])
        if at >= end:
            return False
    return data[at] == 125 and at + 1 == end


@inlined
def _are_same(data: NDArray[np.uint8], one: int, other: int, size: int) -> bool:
    """Compare two stretches of the buffer, after each of which there are at least 8 bytes more."""
    while size >= 8:
        if load_8(data, one) != load_8(data, other):
            return False
        one, other, size = one + 8, other + 8, size - 8
    return size == 0 or (load_8(data, one) ^ load_8(data, other)) << np.uint64(64 - 8 * size) == 0


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
        at = _string_end(data, name, end)
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
        after = _string_end(data, at + 1, end)
        return after + 1 if after < end and _is_word(data, at + 1, after, rule & ~_NULLABLE, found) else end
    if data[at] == 45 or 48 <= data[at] <= 57:
        return _number(data, at, end, rule & ~_NULLABLE, found, slot)
    return _literal(data, at, end, rule)


@inlined
def _begins(data: NDArray[np.uint8], at: int, end: int, head: NDArray[np.uint8]) -> bool:
    if end - at < len(head):
        return False
    same = 0
    while same < len(head) and data[at + same] == head[same]:
        same += 1
    return same == len(head)


@inlined
def _string_end(data: NDArray[np.uint8], at: int, end: int) -> int:
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
def _digits(data: NDArray[np.uint8], at: int) -> tuple[int, np.int64]:
    """Give the number of digits in a row, and their value unless there are more than 18; 24 and more are 24."""
    size, value = _eight_digits(data, at)
    if size == 8:
        count, more = _eight_digits(data, at + 8)
        size, value = size + count, value * _TENS[count] + more
        if count == 8:
            count, more = _eight_digits(data, at + 16)
            size, value = size + count, value * _TENS[count] + more
    return size, value


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
def _is_word(data: NDArray[np.uint8], at: int, end: int, rule: int, found: NDArray[np.int64]) -> bool:
    """Tell whether a string is what its field asks for; a code's place and a snapshot are noted."""
    if rule == _ANY:
        return True
    if rule == _CODE:
        found[CODE_START], found[CODE_END] = at, end
        return _is_code(data, at, end)
    if rule == _TEXT:
        if end - at == 8 and _is(data, at, 83, 78, 65, 80) and _is(data, at + 4, 83, 72, 79, 84):  # SNAPSHOT
            found[IS_SNAPSHOT] = 1
        return True
    if rule == _SIDE:
        if end - at != 3:
            return False
        is_ask = data[at] == 65 and data[at + 1] == 83 and data[at + 2] == 75
        return bool(is_ask or (data[at] == 66 and data[at + 1] == 73 and data[at + 2] == 68))
    if rule == _CHANGE and end - at == 4:
        return _is(data, at, 82, 73, 83, 69) or _is(data, at, 70, 65, 76, 76) or _is(data, at, 69, 86, 69, 78)
    return False


@inlined
def _is(data: NDArray[np.uint8], at: int, one: int, two: int, three: int, four: int) -> bool:
    return bool(data[at] == one and data[at + 1] == two and data[at + 2] == three and data[at + 3] == four)


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
    if end - at > 4 and _is(data, at, 110, 117, 108, 108):
        return at + 4 if rule & _NULLABLE or rule == _ANY else end
    if rule != _ANY:
        return end
    if end - at > 4 and _is(data, at, 116, 114, 117, 101):
        return at + 4
    if end - at > 5 and data[at] == 102 and _is(data, at + 1, 97, 108, 115, 101):
        return at + 5
    return end


@inlined
def _number(data: NDArray[np.uint8], at: int, end: int, rule: int, found: NDArray[np.int64], slot: int) -> int:
    """Give the position after a number that is what its field asks for, else `end`; `found[slot]` gets its value."""
    is_negative = data[at] == 45
    if is_negative:
        at += 1
    whole, value = _digits(data, at)
    if whole == 0 or whole > _MOST_DIGITS or (whole > 1 and data[at] == 48):
        return end
    at += whole
    scale = 0
    is_whole = True
    if data[at] == 46:
        decimals, part = _digits(data, at + 1)
        if decimals == 0 or whole + decimals > _MOST_DIGITS:
            return end
        value = value * _TENS[decimals] + part
        at += 1 + decimals
        scale = -decimals
        is_whole = False
    if data[at] == 101 or data[at] == 69:
        size, exponent = _exponent(data, at + 1)
        if size == 0:
            return end
        at += 1 + size
        scale += int(exponent)
        is_whole = False
    if slot >= 0:
        found[slot] = value
    return at if _is_number(rule, is_negative, value, is_whole, scale) else end


@scanner
def _exponent(data: NDArray[np.uint8], at: int) -> tuple[int, np.int64]:
    """Give the length of an exponent, its sign included, and its value; 0 when it is none, or too large."""
    has_sign = data[at] == 43 or data[at] == 45
    size, value = _digits(data, at + has_sign)
    if size == 0 or size > 2:
        return 0, np.int64(0)
    return size + has_sign, -value if data[at] == 45 else value


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
    return rule == _VOLUME and _is_quantity(value, scale + 8)


@inlined
def _is_quantity(value: np.int64, scale: int) -> bool:
    """Tell whether `value` x 10^`scale` is a whole number above 0 and within int64."""
    if value == 0:
        return False
    while scale < 0:
        if value % 10:
            return False
        value //= 10
        scale += 1
    while scale > 0:
        if value > INT64_MAX // 10:
            return False
        value *= 10
        scale -= 1
    return True
