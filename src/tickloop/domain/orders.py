"""Orders of the bot: what may happen to one, and the events that its log is made of. Money is Decimal."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from tickloop.domain.market import Side
from tickloop.errors import DataError

ZERO = Decimal(0)


class OrderState(StrEnum):
    """States of an order; only `ALLOWED` changes happen."""

    INTENT = "intent"
    """Written down before it is sent; after a crash nobody knows yet whether it was."""
    ACKNOWLEDGED = "acknowledged"
    CLOSED = "closed"
    """Fills no more, whatever it executed."""
    REJECTED = "rejected"
    """The exchange never took it."""
    LOST = "lost"
    """Neither taken nor refused within the deadline; a person or the next start settles it."""


ALLOWED: dict[OrderState, frozenset[OrderState]] = {
    OrderState.INTENT: frozenset({OrderState.ACKNOWLEDGED, OrderState.CLOSED, OrderState.REJECTED, OrderState.LOST}),
    OrderState.ACKNOWLEDGED: frozenset({OrderState.CLOSED, OrderState.LOST}),
    OrderState.LOST: frozenset({OrderState.CLOSED, OrderState.REJECTED}),
    OrderState.CLOSED: frozenset(),
    OrderState.REJECTED: frozenset(),
}


@dataclass(frozen=True)
class Cause:
    """The forecast that a buy was decided on."""

    target_minute_ms: int
    model_version: str
    price: float


@dataclass(frozen=True)
class Intent:
    """A decision on its way out.

    Attributes:
        requested: KRW to spend for a buy, base units to give away for a sell.
        reserved: KRW set aside for a buy, its fee included; 0 for a sell.
        lots: ids of the lots that a sell gives away.
        decided_at_ms: event time of the trade that was decided on.
        price: price of that trade.
    """

    client_order_id: str
    market: str
    side: Side
    requested: Decimal
    reserved: Decimal
    decided_at_ms: int
    price: float
    lots: tuple[str, ...] = ()
    cause: Cause | None = None


@dataclass(frozen=True)
class Execution:
    """What an order did, all fills together.

    Attributes:
        filled_at_ms: time of its last fill; None when nothing was executed.
    """

    venue_order_id: str = ""
    qty: Decimal = ZERO
    funds: Decimal = ZERO
    fee: Decimal = ZERO
    filled_at_ms: int | None = None


@dataclass(frozen=True)
class OrderEvent:
    """One line of the order log: an order entered a state.

    Attributes:
        intent: only with state `intent`.
        execution: only with `acknowledged` and `closed`.
        reason: the exchange's or our words for `rejected` and `lost`.
    """

    client_order_id: str
    state: OrderState
    at_ms: int
    intent: Intent | None = None
    execution: Execution | None = None
    reason: str = ""


@dataclass(frozen=True)
class Order:
    """An order as of its last event."""

    intent: Intent
    state: OrderState
    execution: Execution = Execution()
    reason: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it may still change: its cash or lots are not free."""
        return bool(ALLOWED[self.state])


def advance(order: Order | None, event: OrderEvent) -> Order:
    """Give the order after an event.

    Raises:
        DataError: if the change is not allowed or the event lacks what its state needs; names the order.
    """
    if order is None:
        if event.state is not OrderState.INTENT or event.intent is None:
            raise DataError(f"order {event.client_order_id} begins with {event.state.value}; valid: intent")
        return Order(event.intent, OrderState.INTENT)
    if event.state not in ALLOWED[order.state]:
        valid = ", ".join(sorted(state.value for state in ALLOWED[order.state])) or "nothing"
        raise DataError(
            f"order {event.client_order_id} cannot go from {order.state.value} to {event.state.value}; valid: {valid}"
        )
    if event.state is OrderState.CLOSED:
        _check_end(order.intent, event.execution)
    return replace(
        order, state=event.state, execution=event.execution or order.execution, reason=event.reason or order.reason
    )


def _check_end(intent: Intent, execution: Execution | None) -> None:
    if execution is None:
        raise DataError(f"order {intent.client_order_id} is closed without an execution; valid: one, empty if none")
    if execution.qty > 0 and execution.filled_at_ms is None:
        raise DataError(
            f"order {intent.client_order_id} executed {execution.qty}; valid: the time of its last fill too"
        )
    if intent.side is Side.SELL and execution.qty > intent.requested:
        raise DataError(
            f"order {intent.client_order_id} sold {execution.qty}, more than its lots {', '.join(intent.lots)} hold;"
            f" valid: at most {intent.requested}"
        )
