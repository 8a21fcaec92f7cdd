"""What the replay of a bot's session came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tickloop.domain.bot_session import Position, Started
from tickloop.domain.orders import Order
from tickloop.domain.purse import Purse
from tickloop.domain.window import to_datetime


@dataclass(frozen=True)
class ReplayedOrder:
    """An order as the replay decided it, with what became of it.

    Attributes:
        at: the frame that it was decided at.
        acknowledged_at, ended_at: the frame after which the bot knew; None while it did not.
    """

    order: Order
    at: Position
    acknowledged_at: Position | None = None
    ended_at: Position | None = None


@dataclass(frozen=True)
class ReplayResult:
    """What the replay of a session came to.

    Attributes:
        has_ended: the bot was stopped; False when the session broke off, and all that is there was replayed.
        difference: the first place where replay and session part, in words; empty when they are equal.
        orders: those decided by the replay, all of them equal to those that were sent.
        events: order events of the session by state.
        purse: cash and open lots at the end.
    """

    session: str
    started: Started | None
    last_ms: int | None
    has_ended: bool
    difference: str
    frames: int
    decisions: int
    forecasts: int
    orders: tuple[ReplayedOrder, ...]
    events: Mapping[str, int]
    purse: Purse

    @property
    def is_equal(self) -> bool:
        return not self.difference

    def summary(self) -> dict[str, Any]:
        """Give figures by name, ready for JSON."""
        started = self.started
        return {
            "session": self.session,
            "bot": started.bot if started else None,
            "preset": started.preset if started else None,
            "from": to_datetime(started.at_ms).isoformat() if started else None,
            "to": to_datetime(self.last_ms).isoformat() if self.last_ms is not None else None,
            "ended": self.has_ended,
            "frames": self.frames,
            "decisions": self.decisions,
            "forecasts": self.forecasts,
            "orders": len(self.orders),
            "events": dict(self.events),
            "fills": self.purse.fills,
            "cash": format(self.purse.cash, "f"),
            "fees": format(self.purse.fees, "f"),
            "open_lots": len(self.purse.lots),
            "equal": self.is_equal,
            "difference": self.difference or None,
        }

    def rows(self) -> list[dict[str, Any]]:
        """Give the orders, ready for JSON."""
        return [_row(one) for one in self.orders]


def _row(one: ReplayedOrder) -> dict[str, Any]:
    order, intent, done = one.order, one.order.intent, one.order.execution
    return {
        "client_order_id": intent.client_order_id,
        "market": intent.market,
        "side": intent.side.value,
        "decided_at": to_datetime(intent.decided_at_ms).isoformat(),
        "price": intent.price,
        "requested": format(intent.requested, "f"),
        "forecast": intent.cause.price if intent.cause else None,
        "model_version": intent.cause.model_version if intent.cause else None,
        "state": order.state.value,
        "executed_qty": format(done.qty, "f"),
        "executed_funds": format(done.funds, "f"),
        "paid_fee": format(done.fee, "f"),
        "filled_at": to_datetime(done.filled_at_ms).isoformat() if done.filled_at_ms is not None else None,
        "at": str(one.at),
        "acknowledged_at": str(one.acknowledged_at) if one.acknowledged_at else None,
        "ended_at": str(one.ended_at) if one.ended_at else None,
    }
