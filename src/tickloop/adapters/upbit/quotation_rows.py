"""Answers of Upbit's public REST as typed values, and their translation into the domain's."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

import msgspec

from tickloop.adapters.upbit.events import Amount, Code, Millis, OrderbookUnit, Price, TakerSide, TradeId, qty_e8_of
from tickloop.adapters.upbit.parse import SIDE_OF
from tickloop.domain.market import Candle, Change, Source, Trade

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 (Upbit's `*_utc` times are naive)
_MS = timedelta(milliseconds=1)


class Caution(msgspec.Struct, frozen=True, rename="upper"):
    """Why the exchange advises caution."""

    price_fluctuations: bool = False
    trading_volume_soaring: bool = False
    deposit_amount_soaring: bool = False
    global_price_differences: bool = False
    concentration_of_small_accounts: bool = False


class MarketEvents(msgspec.Struct, frozen=True):
    warning: bool = False
    caution: Caution = Caution()


class MarketRow(msgspec.Struct, frozen=True):
    """A market on offer; `market_event` only where details were asked for."""

    market: str
    korean_name: str = ""
    english_name: str = ""
    market_event: MarketEvents | None = None


class CandleRow(msgspec.Struct, frozen=True, gc=False):
    market: Code
    candle_date_time_utc: datetime
    opening_price: Price
    high_price: Price
    low_price: Price
    trade_price: Price
    candle_acc_trade_volume: Amount
    candle_acc_trade_price: Amount | None = None
    timestamp: Millis | None = None  # when its last trade was stored; may lie outside the candle
    unit: int | None = None  # minutes alone

    @property
    def ts_open_ms(self) -> int:
        return (self.candle_date_time_utc.replace(tzinfo=None) - _EPOCH) // _MS


class DayRow(CandleRow, frozen=True, gc=False):
    """A UTC day, against the day before; changes are signed."""

    prev_closing_price: Price | None = None
    change_price: float | None = None
    change_rate: float | None = None
    converted_trade_price: Price | None = None  # only where it was asked for


class LongCandleRow(CandleRow, frozen=True, gc=False):
    """A week, month or year; `first_day_of_period` is `yyyy-MM-dd`."""

    first_day_of_period: str = ""


class TickerRow(msgspec.Struct, frozen=True):
    """The rolling summary of a market; sums and extremes of the UTC day unless their names say otherwise."""

    market: Code
    trade_timestamp: Millis
    timestamp: Millis
    trade_price: Price
    opening_price: Price
    high_price: Price
    low_price: Price
    prev_closing_price: Price
    signed_change_price: float
    signed_change_rate: float
    acc_trade_price_24h: Amount
    acc_trade_volume_24h: Amount
    acc_trade_price: Amount = 0.0
    acc_trade_volume: Amount = 0.0
    trade_volume: Amount | None = None  # of the last trade
    change: Literal["RISE", "EVEN", "FALL"] | None = None
    highest_52_week_price: Price | None = None
    highest_52_week_date: str | None = None
    lowest_52_week_price: Price | None = None
    lowest_52_week_date: str | None = None


class BookRow(msgspec.Struct, frozen=True):
    """An order book, best first."""

    market: Code
    timestamp: Millis
    total_ask_size: Amount
    total_bid_size: Amount
    orderbook_units: tuple[OrderbookUnit, ...]
    level: float = 0


class InstrumentRow(msgspec.Struct, frozen=True):
    market: Code
    quote_currency: str
    tick_size: Decimal
    supported_levels: tuple[Decimal, ...]


class LevelsRow(msgspec.Struct, frozen=True):
    market: Code
    supported_levels: tuple[float, ...]


class TradeRow(msgspec.Struct, frozen=True, gc=False):
    market: Code
    timestamp: Millis  # here the time of the trade itself
    trade_price: Price
    trade_volume: Decimal
    prev_closing_price: Price
    ask_bid: TakerSide
    sequential_id: TradeId

    def __post_init__(self) -> None:
        qty_e8_of(self.trade_volume)


def candle_of(row: CandleRow) -> Candle:
    return Candle(
        market=row.market,
        ts_open_ms=row.ts_open_ms,
        open=row.opening_price,
        high=row.high_price,
        low=row.low_price,
        close=row.trade_price,
        volume=row.candle_acc_trade_volume,
        notional=row.candle_acc_trade_price,
    )


def rest_trade_of(row: TradeRow) -> Trade:
    return Trade(
        market=row.market,
        trade_id=row.sequential_id,
        ts_event_ms=row.timestamp,
        ts_received_ns=0,
        arrival=0,
        price=row.trade_price,
        qty_e8=qty_e8_of(row.trade_volume),
        side=SIDE_OF[row.ask_bid],
        change=change_of(row.trade_price, row.prev_closing_price),
        source=Source.REST,
    )


def change_of(price: float, previous_close: float) -> Change:
    if price > previous_close:
        return Change.RISE
    return Change.FALL if price < previous_close else Change.EVEN
