"""Plain values of the market: markets, trades, candles and bars."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

QTY_UNITS = 100_000_000
"""Quantities are whole numbers of 1e-8 base units: sums are exact, as the ledger's equality needs."""

_MARKET = re.compile(r"^[A-Z0-9]{1,10}-[A-Z0-9]{1,20}$")


class Side(StrEnum):
    """Side of the taker: BUY lifted an ask, SELL hit a bid."""

    BUY = "BUY"
    SELL = "SELL"


class Change(StrEnum):
    """Price against the close of the previous UTC day."""

    FALL = "FALL"
    EVEN = "EVEN"
    RISE = "RISE"


class Source(StrEnum):
    STREAM = "stream"
    REST = "rest"


class MinuteState(StrEnum):
    """What is known of one market-minute: the states of the completeness ledger."""

    VERIFIED = "verified"
    REPAIRED = "repaired"
    NO_TRADE = "no_trade"
    CANDLE = "candle"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Trade:
    """One execution printed by the exchange."""

    market: str
    trade_id: int
    ts_event_ms: int
    ts_received_ns: int
    arrival: int
    price: float
    qty_e8: int
    side: Side
    change: Change
    source: Source = Source.STREAM


@dataclass(frozen=True, slots=True)
class Candle:
    """The exchange's own summary of one minute, labelled by its start."""

    market: str
    ts_open_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    notional: float | None


def is_market(text: str) -> bool:
    """Tell whether the text has the form `KRW-BTC` (quote, then base)."""
    return _MARKET.match(text) is not None
