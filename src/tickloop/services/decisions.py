"""The bot's decisions over all its markets: trades and order events in, intents out.

It reads no clock and sends nothing: the bot asks it live, and the replay of a session asks it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tickloop.domain import strategy
from tickloop.domain.market import Trade
from tickloop.domain.orders import Intent, Order, OrderState
from tickloop.domain.purse import Purse
from tickloop.domain.window import MINUTE_MS
from tickloop.services.desk import Desk


@dataclass
class OrderLimit:
    """At most `most` orders in one market minute, over all markets."""

    most: int
    minute: int = -1
    sent: int = 0

    def allows(self, ts_ms: int) -> bool:
        """Count an order that is about to leave at this market time; False when it must not."""
        if ts_ms // MINUTE_MS > self.minute:
            self.minute, self.sent = ts_ms // MINUTE_MS, 0
        self.sent += 1
        return self.sent <= self.most

    @property
    def is_just_reached(self) -> bool:
        """Whether the order that was counted last is the first one of its minute that must not leave."""
        return self.sent == self.most + 1


class Decisions:
    """What one bot decides.

    Args:
        sequence: orders of this bot so far.
        most_per_minute: orders of one market minute, over all markets.

    Attributes:
        limit: what it counts them by.
    """

    def __init__(
        self, bot: str, purse: Purse, desks: Mapping[str, Desk], *, sequence: int, most_per_minute: int
    ) -> None:
        self.purse = purse
        self.desks = desks
        self.sequence = sequence
        self._bot = bot
        self.limit = OrderLimit(most_per_minute)

    def intent(self, desk: Desk, trade: Trade) -> Intent | None:
        """Decide at a trade that the desk has taken and that is not too old; None when nothing is to be sent."""
        if desk.halted:
            return None
        action = desk.decide(self.purse, trade)
        if action == strategy.NOTHING or not self.limit.allows(trade.ts_event_ms):
            return None
        self.sequence += 1
        # Never used before: the log knows every intent ever sent, and a torn one was not sent.
        order_id = f"tl-{self._bot}-{trade.ts_event_ms}-{self.sequence}"
        return desk.sell(order_id, self.purse, trade) if action == strategy.SELL else desk.buy(order_id, trade)

    def order_changed(self, order: Order) -> None:
        """Take note that the purse has taken an order event."""
        if order.state is OrderState.LOST and (desk := self.desks.get(order.intent.market)) is not None:
            desk.halted = f"order {order.intent.client_order_id} was lost: {order.reason}"
        for desk in self.desks.values():
            desk.purse_changed()  # of every market: they share the cash
