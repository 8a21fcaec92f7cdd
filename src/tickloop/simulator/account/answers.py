"""JSON of the private side that is not an order: balances, what may be ordered, outcomes of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tickloop.domain.rules import fee_rate, max_total, min_total
from tickloop.simulator.account.balances import QUOTE, Account, balance_object, base_of, plain
from tickloop.simulator.account.order import Order

_EITHER_SIDE = ("best_fok", "best_ioc", "limit", "limit_fok", "limit_ioc")


def balance_objects(account: Account) -> list[dict[str, str | bool]]:
    """Give `GET /v1/accounts`: KRW and every currency that is held."""
    holdings = {QUOTE: account.holding(QUOTE), **account.holdings}
    return [
        balance_object(currency, holding)
        for currency, holding in holdings.items()
        if holding.total or currency == QUOTE
    ]


def chance_object(market: str, account: Account, at_ms: int, *, is_trading: bool) -> dict[str, Any]:
    """Give `GET /v1/orders/chance`: fees, limits and the two balances of a market."""
    base, fee, least = base_of(market), plain(fee_rate(market, at_ms)), plain(min_total(market, at_ms))
    return {
        "bid_fee": fee,
        "ask_fee": fee,
        "maker_bid_fee": fee,
        "maker_ask_fee": fee,
        "market": {
            "id": market,
            "name": f"{base}/{QUOTE}",
            "order_types": ["limit"],
            "order_sides": ["ask", "bid"],
            "bid_types": [*_EITHER_SIDE, "price"],
            "ask_types": [*_EITHER_SIDE, "market"],
            "bid": {"currency": QUOTE, "min_total": least},
            "ask": {"currency": base, "min_total": least},
            "max_total": plain(max_total(market, at_ms)),
            "state": "active" if is_trading else "preview",
        },
        "bid_account": balance_object(QUOTE, account.holding(QUOTE)),
        "ask_account": balance_object(base, account.holding(base)),
    }


def batch_object(
    cancelled: Sequence[Order], ended: Sequence[Order], missing: Sequence[dict[str, str]]
) -> dict[str, Any]:
    """Give the answer of a batch cancel.

    Args:
        ended: orders that were not open any more.
        missing: names that belong to no order, by `uuid` or `identifier`.
    """
    failed = [*missing, *(_names(order) for order in ended)]
    return {
        "success": {"count": len(cancelled), "orders": [_names(order) for order in cancelled]},
        "failed": {"count": len(failed), "orders": failed},
    }


def _names(order: Order) -> dict[str, str]:
    names = {"uuid": order.uuid, "market": order.market, "identifier": order.identifier}
    return {name: value for name, value in names.items() if value is not None}
