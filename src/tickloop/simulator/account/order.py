"""One order of the simulated account, and its JSON object."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Literal

import msgspec

from tickloop.simulator.account.balances import EXACT, ZERO, base_of, plain, plus

BID: Literal["bid"] = "bid"
ASK: Literal["ask"] = "ask"
OrderSide = Literal["bid", "ask"]
OrderType = Literal["limit", "price", "market", "best"]
State = Literal["wait", "done", "cancel"]

KST = timezone(timedelta(hours=9))


class Fill(msgspec.Struct, frozen=True):
    uuid: str
    price: Decimal
    volume: Decimal
    ts_ms: int
    trend: Literal["up", "down"]

    @property
    def funds(self) -> Decimal:
        return EXACT.multiply(self.price, self.volume)


class Order(msgspec.Struct, frozen=True):
    """An order as of its last change.

    Attributes:
        price: unit price of a limit order, the KRW to spend of a market buy, None of a market sell.
        volume: base units, None of a market buy.
        fee_rate: of the day it was accepted.
        locked: KRW with fee of a buy, base units of a sell. What a cancelled order had left stays shown here,
            though it is back in the account, as on the exchange.
        prevented_volume, prevented_locked: taken off so as not to meet an order of the same account, and its lock.
        remaining: KRW of a market buy or base units of any other that are not executed yet.
    """

    uuid: str
    market: str
    side: OrderSide
    ord_type: OrderType
    price: Decimal | None
    volume: Decimal | None
    time_in_force: str | None
    identifier: str | None
    smp_type: str | None
    created_ms: int
    fee_rate: Decimal
    remaining: Decimal
    reserved_fee: Decimal
    remaining_fee: Decimal
    locked: Decimal
    paid_fee: Decimal = ZERO
    prevented_volume: Decimal = ZERO
    prevented_locked: Decimal = ZERO
    state: State = "wait"
    closed_ms: int | None = None
    fills: tuple[Fill, ...] = ()

    @property
    def is_open(self) -> bool:
        return self.state == "wait"

    @property
    def spends_krw(self) -> bool:
        """Whether its size is an amount of KRW: a market or best buy."""
        return self.volume is None

    @property
    def lock_currency(self) -> str:
        return "KRW" if self.side == BID else base_of(self.market)

    @property
    def executed_funds(self) -> Decimal:
        return plus(*(fill.funds for fill in self.fills))

    @property
    def executed_volume(self) -> Decimal:
        return plus(*(fill.volume for fill in self.fills))


@dataclass(frozen=True)
class OpenFilter:
    """Which open orders a batch cancel means; an empty set is no restriction."""

    pairs: frozenset[str]
    quotes: frozenset[str]
    excluded: frozenset[str]
    sides: frozenset[str]
    count: int
    newest_first: bool

    def passes(self, order: Order) -> bool:
        quote = order.market.partition("-")[0]
        return (
            (not self.pairs or order.market in self.pairs)
            and (not self.quotes or quote in self.quotes)
            and order.market not in self.excluded
            and order.side in self.sides
        )


def order_object(order: Order, *, with_trades: bool = False) -> dict[str, Any]:
    """Give the order as the exchange writes it: decimals as strings, absent values left out."""
    fields: dict[str, Any] = {
        "market": order.market,
        "uuid": order.uuid,
        "side": order.side,
        "ord_type": order.ord_type,
        "price": None if order.price is None else plain(order.price),
        "state": order.state,
        "created_at": datetime.fromtimestamp(order.created_ms // 1000, KST).isoformat(),
        "volume": None if order.volume is None else plain(order.volume),
        "remaining_volume": None if order.spends_krw else plain(order.remaining),
        "executed_volume": plain(order.executed_volume),
        "reserved_fee": plain(order.reserved_fee),
        "remaining_fee": plain(order.remaining_fee),
        "paid_fee": plain(order.paid_fee),
        "locked": plain(order.locked),
        "time_in_force": order.time_in_force,
        "smp_type": order.smp_type,
        "identifier": order.identifier,
        "prevented_volume": plain(order.prevented_volume),
        "prevented_locked": plain(order.prevented_locked),
        "trades_count": len(order.fills),
    }
    if with_trades:
        fields["trades"] = [_fill_object(order, fill) for fill in order.fills]
    return {name: value for name, value in fields.items() if value is not None}


def _fill_object(order: Order, fill: Fill) -> dict[str, str]:
    return {
        "market": order.market,
        "uuid": fill.uuid,
        "price": plain(fill.price),
        "volume": plain(fill.volume),
        "funds": plain(fill.funds),
        "trend": fill.trend,
        "created_at": datetime.fromtimestamp(fill.ts_ms / 1000, KST).isoformat(timespec="microseconds"),
        "side": order.side,
    }
