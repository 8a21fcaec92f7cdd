"""One line of the journal: the exchange's message, its bytes unchanged, and four fields of ours at the end.

`ts_received` (ns), `arrival` (strictly increasing per writer), `@timestamp` (event time, for the indexer) and
`doc_id` (the same for every delivery of the same event). Pure: bytes and values only.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import msgspec
import numpy as np

from tickloop.adapters.common.stored_line import DOC_ID, check_integers, iso_second
from tickloop.adapters.upbit.events import (
    CANDLES,
    MarketEvent,
    OrderbookEvent,
    TickerEvent,
    TradeEvent,
)
from tickloop.adapters.upbit.parse import BAD_JSON
from tickloop.adapters.upbit.simple import default_form
from tickloop.errors import CorruptLineError

_DIGITS = bytes(ord("0") if chr(code).isdigit() else ord(" ") for code in range(128)) + b" " * 128
_STATE_KIND: dict[type, bytes] = {
    TickerEvent: b"ticker",
    OrderbookEvent: b"orderbook",
    **{candle: name.encode() for candle, name in CANDLES.items()},
}
_BRACE, _LINE_BREAK = b"}\n"
_LONG = b"0" * 19  # no integer with fewer digits leaves int64
_HEAD = b'{"type":'
_MANY_BYTES = 8_192  # from here on numpy finds digits faster
_TWO_TRUE = 0x0101


# One formatting a line: this is the hottest place of the collector.
_OURS = b'%b,"ts_received":%d,"arrival":%d,"@timestamp":"%b.%03dZ",'
_TRADE_LINE = _OURS + DOC_ID + b'trade:%b:%d"}\n'
_STATE_LINE = _OURS + DOC_ID + b'%b:%b:%d:%08x"}\n'


def line_of(raw: bytes, event: MarketEvent, ts_received_ns: int, arrival: int) -> bytes:
    """Make the line of one message by appending fields to its bytes.

    A message in another format than DEFAULT is spelled out first, its values byte for byte: readers know one form.

    Raises:
        CorruptLineError: the message is not UTF-8, or holds an integer that later stores cannot take.
    """
    raw = default_form(raw)
    _check_text(raw)
    if isinstance(event, TradeEvent):
        ts_ms = event.trade_timestamp
        return _TRADE_LINE % (
            _open_body(raw),
            ts_received_ns,
            arrival,
            iso_second(ts_ms // 1000),
            ts_ms % 1000,
            event.code.encode(),
            event.sequential_id,
        )
    ts_ms = event.timestamp
    return _STATE_LINE % (
        _open_body(raw),
        ts_received_ns,
        arrival,
        iso_second(ts_ms // 1000),
        ts_ms % 1000,
        _STATE_KIND[type(event)],
        event.code.encode(),
        ts_ms,
        zlib.crc32(raw),
    )


def usual_lines_of(
    messages: Sequence[bytes], events: Sequence[MarketEvent], ts_received_ns: int, arrival: int
) -> list[bytes] | None:
    """Make the lines of messages received together as `line_of` does, the first one with this `arrival`.

    None when one of them is not as messages usually are (one line of ASCII, DEFAULT format, no very long number):
    `line_of` takes each for itself. The checks are made on all at once, which is most of what this saves.
    """
    for raw in messages:
        if raw[-1] != _BRACE or _LINE_BREAK in raw or not raw.startswith(_HEAD):
            return None
    text = b"".join(messages)
    if not text.isascii() or _may_hold_long_integer(text):
        return None
    ours = b',"ts_received":%d,"arrival":%%d,"@timestamp":"%%b.%%03dZ",' % ts_received_ns + DOC_ID
    trade, state = ours + b'trade:%b:%d"}\n', ours + b'%b:%b:%d:%08x"}\n'
    lines: list[bytes] = []
    for number, (raw, event) in enumerate(zip(messages, events, strict=True), arrival):
        code = event.code.encode()
        if isinstance(event, TradeEvent):
            second, ms = divmod(event.trade_timestamp, 1000)
            fields = trade % (number, iso_second(second), ms, code, event.sequential_id)
        else:
            second, ms = divmod(event.timestamp, 1000)
            kind, check = _STATE_KIND[type(event)], zlib.crc32(raw)
            fields = state % (number, iso_second(second), ms, kind, code, event.timestamp, check)
        lines.append(raw[:-1] + fields)
    return lines


def _open_body(raw: bytes) -> bytes:
    """Give a message without its closing brace, on one line."""
    if raw[-1] == _BRACE and _LINE_BREAK not in raw:  # integers: bytes would take five times as long
        return raw[:-1]
    # A line break between two tokens means nothing in JSON, but it would end the line.
    return raw.rstrip()[:-1].replace(b"\n", b" ")


def _check_text(raw: bytes) -> None:
    try:
        if not raw.isascii():
            raw.decode()
        if _may_hold_long_integer(raw):
            check_integers(msgspec.json.decode(raw), "message")
    except BAD_JSON as exc:
        raise CorruptLineError(f"message {raw[:120]!r} cannot be read whole: {exc}") from exc


def _may_hold_long_integer(text: bytes) -> bool:
    """Tell whether there are 19 digits in a row; of a long text it may say so when there are 18.

    That is looked at by pairs of characters: 19 digits hold nine whole pairs wherever they begin.
    """
    if len(text) < _MANY_BYTES:
        return text.translate(_DIGITS).rfind(_LONG) >= 0  # `in` and `find` take longer over such a needle
    characters = np.frombuffer(text, np.uint8, len(text) // 2 * 2)
    digits = (characters - ord("0") < 10).view(np.uint16) == _TWO_TRUE
    two = digits[1:] & digits[:-1]
    four = two[2:] & two[:-2]
    eight = four[4:] & four[:-4]
    return bool((eight[1:] & digits[:-8]).any())
