"""Upbit's REST answers as typed values, and their translation into the domain's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from tickloop.adapters.upbit.events import Amount, Code, Millis, OrderbookUnit, Price, TakerSide, TradeId, qty_e8_of
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


class FillRow(msgspec.Struct, frozen=True):
    price: Decimal
    volume: Decimal
    funds: Decimal
    created_at: Annotated[datetime, Meta(tz=True)]

    def __post_init__(self) -> None:
        _check_finite(self.price, self.volume, self.funds)


class OrderRow(msgspec.Struct, frozen=True):
    """An order; decimals exact, and what the exchange leaves out None. Lists give no `trades`."""

    uuid: str
    market: str
    side: Literal["bid", "ask"]
    state: str
    executed_volume: Decimal
    paid_fee: Decimal
    identifier: str | None = None
    ord_type: str = ""
    price: Decimal | None = None
    volume: Decimal | None = None
    remaining_volume: Decimal | None = None
    reserved_fee: Decimal = Decimal(0)
    remaining_fee: Decimal = Decimal(0)
    locked: Decimal = Decimal(0)
    trades_count: int = 0
    time_in_force: str | None = None
    smp_type: str | None = None
    prevented_volume: Decimal = Decimal(0)
    prevented_locked: Decimal = Decimal(0)
    created_at: Annotated[datetime, Meta(tz=True)] | None = None
    trades: tuple[FillRow, ...] = ()

    def __post_init__(self) -> None:
        _check_finite(self.executed_volume, self.paid_fee)


class ReplacedRow(OrderRow, frozen=True):
    """The order that was cancelled, and the names of the one that takes its place."""

    new_order_uuid: str = ""
    new_order_identifier: str | None = None


class NamedOrder(msgspec.Struct, frozen=True):
    uuid: str = ""
    market: str = ""
    identifier: str | None = None


class NamedOrders(msgspec.Struct, frozen=True):
    count: int
    orders: tuple[NamedOrder, ...]


class BatchResult(msgspec.Struct, frozen=True):
    """What became of a cancel of several orders."""

    success: NamedOrders
    failed: NamedOrders


class SideRules(msgspec.Struct, frozen=True):
    currency: str
    min_total: Decimal


class MarketRules(msgspec.Struct, frozen=True):
    id: str
    bid_types: tuple[str, ...]
    ask_types: tuple[str, ...]
    bid: SideRules
    ask: SideRules
    max_total: Decimal
    state: str


class AccountRow(msgspec.Struct, frozen=True):
    """What is held of one currency; `balance` is what is free."""

    currency: str
    balance: Decimal
    locked: Decimal
    avg_buy_price: Decimal = Decimal(0)
    avg_buy_price_modified: bool = False
    unit_currency: str = "KRW"

    def __post_init__(self) -> None:
        _check_finite(self.balance, self.locked)


class ChanceRow(msgspec.Struct, frozen=True):
    """What may be ordered in a market: fees as fractions, limits, and the two balances."""

    bid_fee: Decimal
    ask_fee: Decimal
    maker_bid_fee: Decimal
    maker_ask_fee: Decimal
    market: MarketRules
    bid_account: AccountRow
    ask_account: AccountRow


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
