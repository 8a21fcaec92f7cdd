"""Upbit's REST answers as typed values, and their translation into the domain's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from tickloop.adapters.upbit.events import Amount, Code, Millis, Price, TakerSide, TradeId, qty_e8_of
from tickloop.adapters.upbit.parse import BAD_JSON, SIDE_OF
from tickloop.domain.market import Candle, Change, Side, Source, Trade
from tickloop.domain.window import to_ms
from tickloop.errors import ExchangeError
from tickloop.ports import Balance, VenueFill, VenueOrder

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 (Upbit's `*_utc` times are naive)
_MS = timedelta(milliseconds=1)

_Row = TypeVar("_Row")

_SIDE_OF_ORDER = {"bid": Side.BUY, "ask": Side.SELL}
_CLOSED = ("done", "cancel")


class MarketRow(msgspec.Struct, frozen=True):
    market: str


class CandleRow(msgspec.Struct, frozen=True, gc=False):
    market: Code
    candle_date_time_utc: datetime
    opening_price: Price
    high_price: Price
    low_price: Price
    trade_price: Price
    candle_acc_trade_volume: Amount
    candle_acc_trade_price: Amount | None = None

    @property
    def ts_open_ms(self) -> int:
        return (self.candle_date_time_utc.replace(tzinfo=None) - _EPOCH) // _MS


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


class FillRow(msgspec.Struct, frozen=True):
    price: Decimal
    volume: Decimal
    funds: Decimal
    created_at: Annotated[datetime, Meta(tz=True)]

    def __post_init__(self) -> None:
        _check_finite(self.price, self.volume, self.funds)


class OrderRow(msgspec.Struct, frozen=True):
    uuid: str
    market: str
    side: Literal["bid", "ask"]
    state: str
    executed_volume: Decimal
    paid_fee: Decimal
    identifier: str | None = None
    trades: tuple[FillRow, ...] = ()

    def __post_init__(self) -> None:
        _check_finite(self.executed_volume, self.paid_fee)


class AccountRow(msgspec.Struct, frozen=True):
    currency: str
    balance: Decimal
    locked: Decimal

    def __post_init__(self) -> None:
        _check_finite(self.balance, self.locked)


def decode(body: bytes, form: type[_Row], what: str) -> _Row:
    """Read an answer; `ExchangeError` names the request, the field and what would be valid."""
    try:
        return msgspec.json.decode(body, type=form)
    except BAD_JSON as exc:
        raise ExchangeError(f"the answer to {what} is not as documented: {exc}") from exc


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


def order_of(row: OrderRow, client_order_id: str) -> VenueOrder:
    """Translate an order.

    It counts as closed only when its fills are all there: the answer to a placement has none, and neither the state
    `done` (a market buy normally ends `cancel`) nor the volume alone says what was paid.
    """
    fills = tuple(fill_of(trade) for trade in row.trades)
    is_told = sum((fill.qty for fill in fills), Decimal(0)) == row.executed_volume
    return VenueOrder(
        client_order_id=row.identifier or client_order_id,
        venue_order_id=row.uuid,
        market=row.market,
        side=_SIDE_OF_ORDER[row.side],
        is_closed=row.state in _CLOSED and is_told,
        executed_qty=row.executed_volume,
        executed_funds=sum((fill.funds for fill in fills), Decimal(0)),
        paid_fee=row.paid_fee,
        fills=fills,
    )


def fill_of(row: FillRow) -> VenueFill:
    return VenueFill(row.price, row.volume, row.funds, to_ms(row.created_at))


def balances_of(rows: Sequence[AccountRow]) -> list[Balance]:
    return [Balance(row.currency, row.balance, row.locked) for row in rows]


def _check_finite(*values: Decimal) -> None:
    wrong = [str(value) for value in values if not value.is_finite()]
    if wrong:
        raise ValueError(f"{', '.join(wrong)} is not a finite decimal")
