"""The bot's orders and equity as rows of the warehouse, for everybody else to read."""

from __future__ import annotations

import asyncio

import polars as pl
import structlog

from tickloop.domain.orders import Order
from tickloop.domain.tables import EQUITY, ORDER
from tickloop.errors import TickloopError
from tickloop.ports import Warehouse

MAX_EQUITY_ROWS = 10_000
"""Kept while the warehouse is away; then the oldest are let go: the order log has all that matters."""

log = structlog.get_logger()

Row = dict[str, object]


class Projection:
    """What the warehouse does not have yet. One `flush` at a time."""

    def __init__(self, bot: str, warehouse: Warehouse) -> None:
        self._bot = bot
        self._warehouse = warehouse
        self._orders: dict[str, Row] = {}
        self._equity: dict[int, Row] = {}
        self._is_away = False

    def order_changed(self, order: Order) -> None:
        self._orders[order.intent.client_order_id] = _order_row(self._bot, order)

    def equity(self, minute_ms: int, cash: str, lots_value: str, total: str) -> None:
        """Note the purse of a minute, decimal text; the last note of a minute stands."""
        amounts = {"cash": cash, "lots_value": lots_value, "equity": total}
        self._equity[minute_ms] = {"market": "*", "bot": self._bot, "ts": minute_ms, **amounts}
        if len(self._equity) > MAX_EQUITY_ROWS:
            del self._equity[next(iter(self._equity))]

    async def flush(self) -> None:
        """Write what has changed; a warehouse that is away is tried again with the next flush."""
        orders, equity = dict(self._orders), dict(self._equity)
        try:
            if orders:
                rows = pl.DataFrame(list(orders.values()), schema=ORDER.columns, orient="row")
                await asyncio.to_thread(self._warehouse.upsert, ORDER, rows)
            if equity:
                rows = pl.DataFrame(list(equity.values()), schema=EQUITY.columns, orient="row")
                await asyncio.to_thread(self._warehouse.upsert, EQUITY, rows)
        except TickloopError as exc:
            if not self._is_away:
                log.warning("orders not shown; trading goes on", reason=str(exc))
            self._is_away = True
            return
        self._is_away = False
        # What changed while it was written stays for the next flush.
        self._orders = {key: row for key, row in self._orders.items() if orders.get(key) is not row}
        self._equity = {key: row for key, row in self._equity.items() if equity.get(key) is not row}


def _order_row(bot: str, order: Order) -> Row:
    intent, done, cause = order.intent, order.execution, order.intent.cause
    return {
        "market": intent.market,
        "client_order_id": intent.client_order_id,
        "venue_order_id": done.venue_order_id or None,
        "bot": bot,
        "side": intent.side.value,
        "created_at": intent.decided_at_ms,
        "state": order.state.value,
        "requested": format(intent.requested, "f"),
        "executed_qty": format(done.qty, "f"),
        "executed_funds": format(done.funds, "f"),
        "paid_fee": format(done.fee, "f"),
        "filled_at": done.filled_at_ms,
        "forecast_minute": cause.target_minute_ms if cause else None,
        "model_version": cause.model_version if cause else None,
        "forecast_price": cause.price if cause else None,
    }
