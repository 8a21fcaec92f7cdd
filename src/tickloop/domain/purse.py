"""The bot's purse: its budget, the lots of its own orders, and what both allow. Other holdings never enter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.market import QTY_UNITS, Side
from tickloop.domain.orders import ZERO, Intent, Order, OrderEvent, OrderState, advance
from tickloop.domain.strategy import BUY_IN_FLIGHT, NEVER, SELL_IN_FLIGHT
from tickloop.errors import DataError


@dataclass(frozen=True)
class Lot:
    """What one buy brought.

    Attributes:
        lot_id: client_order_id of the buy.
        entry: executed funds / executed volume, without fee, KRW.
    """

    lot_id: str
    market: str
    qty: Decimal
    entry: Decimal
    filled_at_ms: int


@dataclass(frozen=True)
class DecisionState:
    """The arguments of `strategy.decide` for one market, as it takes them."""

    entry: NDArray[np.float64]
    filled_at: NDArray[np.int64]
    qty_e8: NDArray[np.int64]
    lots: int
    cash: float
    last_buy_ms: int
    in_flight: int


@dataclass(frozen=True)
class PurseState:
    """All of a purse that later decisions rest on, as plain values.

    Attributes:
        open_orders: orders that may still change, in order of their intent.
        last_buy_ms: market -> time of the last buy decision that the exchange took.
    """

    cash: Decimal
    lots: tuple[Lot, ...] = ()
    open_orders: tuple[Order, ...] = ()
    last_buy_ms: Mapping[str, int] = field(default_factory=dict)


@dataclass
class Purse:
    """Cash and lots after the order events seen so far, in order.

    Attributes:
        cash: KRW, what orders in flight have set aside included.
        orders: by client_order_id, in order of their intent.
        fees: KRW paid so far.
        fills: orders that executed something.
    """

    cash: Decimal
    lots: dict[str, Lot] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    _open: dict[str, Order] = field(default_factory=dict)
    _last_buy: dict[str, int] = field(default_factory=dict)
    fees: Decimal = ZERO
    fills: int = 0

    @classmethod
    def of(cls, state: PurseState) -> Purse:
        """Give a purse that goes on from a state; it knows of open orders only."""
        opened = {order.intent.client_order_id: order for order in state.open_orders}
        lots = {lot.lot_id: lot for lot in state.lots}
        return cls(state.cash, lots, dict(opened), dict(opened), dict(state.last_buy_ms))

    def state(self) -> PurseState:
        """Give what `of` makes an equal purse from."""
        return PurseState(self.cash, tuple(self.lots.values()), tuple(self._open.values()), dict(self._last_buy))

    def apply(self, event: OrderEvent) -> Order:
        """Take one event; give the order after it.

        Raises:
            DataError: if the event cannot follow, or gives away what the purse does not hold.
        """
        order = advance(self.orders.get(event.client_order_id), event)
        self.orders[event.client_order_id] = order
        if order.is_open:
            self._open[event.client_order_id] = order
        else:
            self._open.pop(event.client_order_id, None)
        if order.state is OrderState.CLOSED:
            self._settle(order)
        if order.intent.side is Side.BUY and order.state in (OrderState.ACKNOWLEDGED, OrderState.CLOSED):
            # A rejected buy starts no cooldown, one that filled nothing does.
            last = self._last_buy.get(order.intent.market, NEVER)
            self._last_buy[order.intent.market] = max(last, order.intent.decided_at_ms)
        return order

    def free_cash(self) -> Decimal:
        """Give the KRW that no order in flight has set aside."""
        return self.cash - sum((order.intent.reserved for order in self._open.values()), ZERO)

    def lots_of(self, market: str) -> list[Lot]:
        return [lot for lot in self.lots.values() if lot.market == market]

    def open_orders(self) -> list[Order]:
        return list(self._open.values())

    def equity(self, prices: dict[str, Decimal], fee_rate: Decimal) -> tuple[Decimal, Decimal]:
        """Give cash, and the value of the lots at the last prices less the fee of selling them.

        A market without a price counts at entry.
        """
        value = sum((lot.qty * prices.get(lot.market, lot.entry) for lot in self.lots.values()), ZERO)
        return self.cash, value * (1 - fee_rate)

    def decision_state(self, market: str) -> DecisionState:
        """Turn Decimal into the plain numbers that the compiled strategy takes: the one place where this is done."""
        lots = self.lots_of(market)
        in_flight = 0
        for order in self._open.values():
            if order.intent.market == market:
                in_flight |= BUY_IN_FLIGHT if order.intent.side is Side.BUY else SELL_IN_FLIGHT
        return DecisionState(
            entry=np.array([float(lot.entry) for lot in lots], dtype=np.float64),
            filled_at=np.array([lot.filled_at_ms for lot in lots], dtype=np.int64),
            qty_e8=np.array([int(lot.qty * QTY_UNITS) for lot in lots], dtype=np.int64),
            lots=len(lots),
            cash=float(self.free_cash()),
            last_buy_ms=self._last_buy.get(market, NEVER),
            in_flight=in_flight,
        )

    def _settle(self, order: Order) -> None:
        done = order.execution
        if done.qty == 0:
            return
        assert done.filled_at_ms is not None, "`advance` lets no execution without its time pass"
        self.fills += 1
        self.fees += done.fee
        if order.intent.side is Side.BUY:
            self.cash -= done.funds + done.fee
            lot_id = order.intent.client_order_id
            self.lots[lot_id] = Lot(lot_id, order.intent.market, done.qty, done.funds / done.qty, done.filled_at_ms)
            return
        self.cash += done.funds - done.fee
        self._give_away(order.intent, done.qty)

    def _give_away(self, intent: Intent, qty: Decimal) -> None:
        left = qty
        for lot_id in intent.lots:
            lot = self.lots.get(lot_id)
            if lot is None or left == 0:
                continue
            taken = min(left, lot.qty)
            left -= taken
            if taken == lot.qty:
                del self.lots[lot_id]
            else:
                self.lots[lot_id] = Lot(lot.lot_id, lot.market, lot.qty - taken, lot.entry, lot.filled_at_ms)
        if left != 0:
            raise DataError(
                f"order {intent.client_order_id} sold {qty} of {intent.market}, {left} more than its lots"
                f" {', '.join(intent.lots)} hold"
            )
