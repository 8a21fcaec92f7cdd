"""From a frame to what API and bot look at; the exchange's words end here."""

from __future__ import annotations

from tickloop.adapters.upbit.events import TickerEvent, TradeEvent
from tickloop.adapters.upbit.parse import parse_frame, trade_of
from tickloop.domain.market import Trade
from tickloop.entrypoints.api.live import TickerNote
from tickloop.ports import Frame

ENDED = "DELISTED"
"""Upbit's word for a market that trades no more; the simulator says it where a recording ends."""


def decode(frame: Frame) -> Trade | TickerNote | None:
    """Read one frame; None for what is neither trade nor ticker, `CorruptLineError` for what cannot be read."""
    event = parse_frame(frame.raw)
    if isinstance(event, TradeEvent):
        # A feed outside the journal has no arrival of its own: the time of receipt stands for it.
        return trade_of(event, frame.ts_received_ns, frame.ts_received_ns)
    if isinstance(event, TickerEvent):
        return TickerNote(event.code, has_ended=event.market_state == ENDED)
    return None


def decode_trade(frame: Frame) -> Trade | None:
    """Read one frame if it is a trade."""
    event = parse_frame(frame.raw)
    return trade_of(event, frame.ts_received_ns, frame.ts_received_ns) if isinstance(event, TradeEvent) else None
