"""Answers of Upbit's private REST as typed values, and their translation into the ports'."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tickloop.domain.market import Side
from tickloop.domain.window import to_ms
from tickloop.ports import Balance, VenueFill, VenueOrder

_SIDE_OF_ORDER = {"bid": Side.BUY, "ask": Side.SELL}
_CLOSED = ("done", "cancel")


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
