"""A line of the journal as those read it who keep it: its trade, its `doc_id`, and the line of a repair.

Pure: bytes and values only. `adapters.local.journal_line` makes the lines of the stream.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal

import msgspec

from tickloop.adapters.upbit.events import INT64_MAX, Nanos, TradeEvent
from tickloop.adapters.upbit.parse import BAD_JSON, SIDE_OF, explain
from tickloop.domain.market import QTY_UNITS, Source, Trade
from tickloop.errors import CorruptLineError

MOST = 2**64 - 1
"""Integers above it, or below int64, cannot be carried by the shipper and the search index."""

DOC_ID = b'"doc_id":"'

_WORD_OF = {side: word for word, side in SIDE_OF.items()}


class TradeLine(TradeEvent, frozen=True, kw_only=True, gc=False):
    """What readers need of a trade's line; a line of a repair lacks what REST does not tell."""

    ts_received: Nanos
    arrival: Nanos
    source: Literal["stream", "rest"] = "stream"


_TRADE_LINES = msgspec.json.Decoder(TradeLine)


def repair_line(trade: Trade, ts_received_ns: int, arrival: int) -> bytes:
    """Make the line of a trade fetched from REST: the same fields and `doc_id`, those that REST lacks absent."""
    moment = datetime.fromtimestamp(trade.ts_event_ms // 1000, UTC)
    body = {
        "type": "trade",
        "code": trade.market,
        "trade_date": f"{moment:%Y-%m-%d}",
        "trade_time": f"{moment:%H:%M:%S}",
        "trade_timestamp": trade.ts_event_ms,
        "trade_price": trade.price,
        "trade_volume": msgspec.Raw(_volume_text(trade.qty_e8)),
        "ask_bid": _WORD_OF[trade.side],
        "change": trade.change.value,
        "sequential_id": trade.trade_id,
        "source": Source.REST.value,
        "ts_received": ts_received_ns,
        "arrival": arrival,
        "@timestamp": iso_ms(trade.ts_event_ms).decode(),
        "doc_id": trade_doc_id(trade.market, trade.trade_id).decode(),
    }
    return msgspec.json.encode(body) + b"\n"


def read_trade(line: bytes, market: str) -> TradeLine:
    """Read a trade's line; `CorruptLineError` names the field, its value and what would be valid."""
    try:
        trade = _TRADE_LINES.decode(line)
    except BAD_JSON as exc:
        raise explain(line, exc) from exc
    if trade.code != market:
        raise CorruptLineError(f"journal line with the doc_id of {market}: code = {trade.code!r}; valid: {market!r}")
    return trade


def has_doc_id(line: bytes) -> bool:
    return line.endswith(b'"}') and line.rfind(DOC_ID) > 0


def trade_doc_id(market: str, trade_id: int) -> bytes:
    return b"trade:%b:%d" % (market.encode(), trade_id)


def trade_marker(market: str) -> bytes:
    """Give the bytes that every line of a trade of this market contains, and no line of another market or type."""
    return DOC_ID + b"trade:%b:" % market.encode()


def iso_ms(ts_ms: int) -> bytes:
    """Write epoch milliseconds as `2024-01-22T00:00:00.000Z`."""
    return b"%b.%03dZ" % (iso_second(ts_ms // 1000), ts_ms % 1000)


@lru_cache(maxsize=1024)  # thousands of events share a second
def iso_second(ts_s: int) -> bytes:
    """Write epoch seconds as `2024-01-22T00:00:00`, UTC."""
    return datetime.fromtimestamp(ts_s, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()


def _volume_text(qty_e8: int) -> bytes:
    whole, part = divmod(qty_e8, QTY_UNITS)
    return f"{whole}.{part:08d}".rstrip("0").rstrip(".").encode()


def check_integers(value: Any, path: str) -> None:
    """Pass decoded JSON whose integers every later store can take; `CorruptLineError` names the first that is not."""
    if isinstance(value, dict):
        for name, inner in value.items():
            check_integers(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for inner in value:
            check_integers(inner, f"{path}[...]")
    elif isinstance(value, int) and not -INT64_MAX - 1 <= value <= MOST:
        raise CorruptLineError(f"{path} = {value}: an integer must lie between {-INT64_MAX - 1} and {MOST}")
