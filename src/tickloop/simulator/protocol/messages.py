"""What the stream tells of a moment: messages made from the exchange, and their bytes."""

from __future__ import annotations

from typing import Any

from tickloop.simulator.faults.on_sockets import Outgoing
from tickloop.simulator.prices.book import levelled
from tickloop.simulator.prices.exchange import SimulatedExchange
from tickloop.simulator.protocol.formats import Format, frame_bytes
from tickloop.simulator.protocol.subscription import ALL, CANDLES, Want
from tickloop.simulator.protocol.wire_stream import (
    StreamType,
    candle_frame,
    orderbook_frame,
    ticker_frame,
    trade_frame,
)


class StreamMessages:
    """Messages in DEFAULT format; None where there is nothing to tell."""

    def __init__(self, exchange: SimulatedExchange) -> None:
        self._exchange = exchange

    def snapshot(self, want: Want, now_ms: int) -> dict[str, Any] | None:
        """Give what a subscription begins with; the private types have no snapshot."""
        market = self._exchange.market(want.code)
        if want.type == "orderbook":
            return self.book(want, now_ms, "SNAPSHOT")
        if want.type in CANDLES:
            return self.candle(want, now_ms, now_ms, "SNAPSHOT")
        if want.type == "ticker":
            ticker = market.ticker(now_ms)
            return None if ticker is None else ticker_frame(ticker, now_ms, "SNAPSHOT")
        event = market.last_streamed(now_ms)
        return None if event is None else trade_frame(event, now_ms, "SNAPSHOT")

    def candle(self, want: Want, at_ms: int, sent_ms: int, stream_type: StreamType) -> dict[str, Any] | None:
        """Give the candle that is open, or the last one, as of a moment."""
        candle = self._exchange.market(want.code).candles(CANDLES[want.type], None, 1, at_ms)
        return candle_frame(want.code, want.type, candle, sent_ms, stream_type) if len(candle.ts_open) else None

    def book(self, want: Want, at_ms: int, stream_type: StreamType) -> dict[str, Any] | None:
        """Give the book as wanted; a level that is not supported gives no data, as on the exchange."""
        book = self._exchange.market(want.code).book(at_ms)
        found = None if book is None else levelled(book, want.level)
        return None if found is None else orderbook_frame(found, stream_type, want.depth, want.level)


def outgoing_of(frame: dict[str, Any] | None, form: Format, skew_ms: int) -> Outgoing | None:
    """Encode a message; its own time is moved, what it tells of is not."""
    if frame is None:
        return None
    if skew_ms:
        frame = {**frame, "timestamp": frame["timestamp"] + skew_ms}
    return Outgoing(frame_bytes(frame, form), frame["type"], frame.get("code", ALL))
