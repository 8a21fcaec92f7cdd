"""JSON of the private socket: what is told of orders and balances, in DEFAULT format, nulls included."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

from tickloop.simulator.account.balances import EXACT
from tickloop.simulator.account.changes import AssetChange, OrderChange
from tickloop.simulator.account.order import BID

_ACCOUNT_ID = str(uuid.uuid5(uuid.NAMESPACE_OID, "tickloop simulator"))


def my_order_frame(change: OrderChange) -> dict[str, Any]:
    """Give a `myOrder` message; of a `trade` price and volume are the fill's.

    Source: Upbit developer centre, WebSocket reference, myOrder. The prevented fields are numbers here; a page on
    self-match prevention shows them as strings.
    """
    order, fill = change.order, change.fill
    volume, funds = order.executed_volume, order.executed_funds
    return {
        "type": "myOrder",
        "code": order.market,
        "uuid": order.uuid,
        "ask_bid": "BID" if order.side == BID else "ASK",
        "order_type": order.ord_type,
        "state": change.kind,
        "trade_uuid": None if fill is None else fill.uuid,
        "price": _number(order.price if fill is None else fill.price),
        "avg_price": float(EXACT.divide(funds, volume)) if volume else 0.0,
        "volume": _number(order.volume if fill is None else fill.volume),
        "remaining_volume": None if order.spends_krw else float(order.remaining),
        "executed_volume": float(volume),
        "trades_count": len(order.fills),
        "reserved_fee": float(order.reserved_fee),
        "remaining_fee": float(order.remaining_fee),
        "paid_fee": float(order.paid_fee),
        "locked": float(order.locked),
        "executed_funds": float(funds),
        "time_in_force": order.time_in_force,
        "trade_fee": None if fill is None else float(EXACT.multiply(fill.funds, order.fee_rate)),
        "is_maker": None if fill is None else change.is_maker,
        "identifier": order.identifier,
        "smp_type": order.smp_type,
        "prevented_volume": float(order.prevented_volume),
        "prevented_locked": float(order.prevented_locked),
        "trade_timestamp": None if fill is None else fill.ts_ms,
        "order_timestamp": order.created_ms,
        "timestamp": change.at_ms,
        "stream_type": "REALTIME",
    }


def my_asset_frame(change: AssetChange, sent_ms: int) -> dict[str, Any]:
    """Give a `myAsset` message: the balances that changed, as they are after the change."""
    return {
        "type": "myAsset",
        "asset_uuid": _ACCOUNT_ID,
        "assets": [
            {"currency": currency, "balance": float(holding.available), "locked": float(holding.locked)}
            for currency, holding in change.holdings.items()
        ],
        "asset_timestamp": change.at_ms,
        "timestamp": sent_ms,
        "stream_type": "REALTIME",
    }


def _number(value: Decimal | None) -> float | None:
    return None if value is None else float(value)
