"""An event sink in memory, and what tests of delivery share. It passes the contract suite of the real sinks."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from fakes import START_MS
from tickloop.adapters.local.journal_line import line_of
from tickloop.adapters.upbit.parse import parse_frame
from tickloop.errors import StoreError
from tickloop.ports import Delivery

KNOWN_FIELDS = frozenset({
    "type", "code", "timestamp", "trade_timestamp", "trade_price", "trade_volume", "ask_bid", "change",
    "sequential_id", "stream_type", "source", "ts_received", "arrival", "@timestamp", "doc_id",
})  # fmt: skip


class MemorySink:
    """Keeps lines by `doc_id`.

    Attributes:
        stored: doc_id -> the document.
        calls: lines of each delivery.
        troubles: raised by the next deliveries, one each, after the first lines were stored: as a lost answer would.
    """

    def __init__(self) -> None:
        self.stored: dict[str, dict[str, Any]] = {}
        self.calls: list[int] = []
        self.troubles: list[StoreError] = []
        self.is_closed = False

    def deliver(self, lines: Sequence[bytes]) -> Delivery:
        self.calls.append(len(lines))
        trouble = self.troubles.pop(0) if self.troubles else None
        created = known = 0
        refused: dict[int, str] = {}
        drift: Counter[str] = Counter()
        for position, line in enumerate(lines):
            if trouble is not None and position >= len(lines) // 2:
                raise trouble
            document, reason = _document(line)
            if document is None:
                refused[position] = reason
            elif document["doc_id"] in self.stored:
                known += 1
            else:
                self.stored[document["doc_id"]] = document
                drift.update(document.keys() - KNOWN_FIELDS)
                created += 1
        return Delivery(created, known, refused, dict(drift))

    def close(self) -> None:
        self.is_closed = True


def _document(line: bytes) -> tuple[dict[str, Any] | None, str]:
    try:
        document = json.loads(line)
    except ValueError as exc:
        return None, f"no JSON: {exc}"
    if not isinstance(document, dict) or not {"doc_id", "@timestamp"} <= document.keys():
        return None, "no doc_id or no @timestamp"
    if not isinstance(document.get("trade_price", 0.0), int | float):
        return None, f"trade_price {document['trade_price']!r} is no number"
    return document, ""


def trade_text(trade_id: int, ts_ms: int = START_MS, market: str = "KRW-BTC", **more: Any) -> bytes:
    """Give a trade message as the exchange sends it."""
    body = {
        "type": "trade",
        "code": market,
        "timestamp": ts_ms + 30,
        "trade_timestamp": ts_ms,
        "trade_price": 58_000_000.0,
        "trade_volume": 0.00124,
        "ask_bid": "BID",
        "change": "RISE",
        "sequential_id": trade_id,
        "stream_type": "REALTIME",
        **more,
    }
    return json.dumps(body, separators=(",", ":")).encode()


def trade_line(trade_id: int, ts_ms: int = START_MS, market: str = "KRW-BTC", **more: Any) -> bytes:
    """Give the journal's line of a trade, its line break included; `arrival` follows the id."""
    raw = trade_text(trade_id, ts_ms, market, **more)
    received_ns = ts_ms * 1_000_000
    return line_of(raw, parse_frame(raw), received_ns, received_ns + trade_id)
