"""The table of REST endpoints: who answers each, and on which budget it counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from tickloop.simulator.prices.periods import DAYS, MONTHS, WEEKS, YEARS
from tickloop.simulator.protocol.params import Call
from tickloop.simulator.protocol.private import PrivateSide
from tickloop.simulator.protocol.public import PublicSide
from tickloop.simulator.protocol.ratelimit import Limit

Handler = Callable[[Call], Any]

# Budgets of upbit-api section 4; group names as measured in the header, which differ from the documentation's.
_MARKET, CANDLES, _TRADES = Limit("market", 10), Limit("candles", 10), Limit("crix-trades", 10)
_TICKER, _BOOK = Limit("ticker", 10), Limit("orderbook", 10)
DEFAULT = Limit("default", 30, is_bucket=True)
_ORDER_TEST = Limit("order-test", 8, is_bucket=True)
_CANCEL_ALL = Limit("order-cancel-all", 1, per_s=2.0, is_bucket=True)
ORIGIN = Limit("origin", 1, per_s=10.0)
"""A request with an `Origin` header comes from a browser: the exchange allows it one call in ten seconds."""


@dataclass(frozen=True)
class Endpoint:
    """One entry of the table.

    Attributes:
        prepare: gives steps that make the answer quick, where it would hold up everybody else for long.
    """

    limit: Limit
    handle: Handler
    is_private: bool = False
    status: int = 200
    prepare: Callable[[Call], Iterator[object]] | None = None


Table = dict[tuple[str, str], Endpoint]
"""Method and path -> endpoint."""


def quotation_endpoints(public: PublicSide) -> Table:
    """Give the public side's; those of minutes, whose unit is in their path, are not among them."""
    return {
        ("GET", "/v1/market/all"): Endpoint(_MARKET, public.markets),
        ("GET", "/v1/trades/ticks"): Endpoint(_TRADES, public.trades),
        ("GET", "/v1/ticker"): Endpoint(_TICKER, public.tickers),
        ("GET", "/v1/ticker/all"): Endpoint(_TICKER, public.all_tickers),
        ("GET", "/v1/orderbook"): Endpoint(_BOOK, public.orderbooks),
        ("GET", "/v1/orderbook/instruments"): Endpoint(_BOOK, public.instruments),
        ("GET", "/v1/orderbook/supported_levels"): Endpoint(_BOOK, public.supported_levels),
        ("GET", "/v1/candles/seconds"): Endpoint(CANDLES, public.seconds),
        ("GET", "/v1/candles/days"): Endpoint(CANDLES, public.days, prepare=partial(public.prepare, DAYS)),
        **{
            ("GET", f"/v1/candles/{period.name}"): Endpoint(
                CANDLES, partial(public.longer, period), prepare=partial(public.prepare, period)
            )
            for period in (WEEKS, MONTHS, YEARS)
        },
    }


def exchange_endpoints(private: PrivateSide, order_limit_per_s: int) -> Table:
    """Give the private side's."""
    orders = Limit("order", order_limit_per_s, is_bucket=True)
    return {
        ("GET", "/v1/accounts"): Endpoint(DEFAULT, private.accounts, is_private=True),
        ("GET", "/v1/orders/chance"): Endpoint(DEFAULT, private.chance, is_private=True),
        ("POST", "/v1/orders"): Endpoint(orders, private.place, is_private=True, status=201),
        ("GET", "/v1/order"): Endpoint(DEFAULT, private.order, is_private=True),
        ("DELETE", "/v1/order"): Endpoint(DEFAULT, private.cancel, is_private=True),
        ("GET", "/v1/orders/open"): Endpoint(DEFAULT, private.open_orders, is_private=True),
        ("GET", "/v1/orders/closed"): Endpoint(DEFAULT, private.closed_orders, is_private=True),
        ("GET", "/v1/orders/uuids"): Endpoint(DEFAULT, private.named_orders, is_private=True),
        ("GET", "/v1/orders"): Endpoint(DEFAULT, private.legacy_orders, is_private=True),
        ("POST", "/v1/orders/test"): Endpoint(_ORDER_TEST, private.test, is_private=True, status=201),
        ("POST", "/v1/orders/cancel_and_new"): Endpoint(orders, private.cancel_and_new, is_private=True, status=201),
        ("DELETE", "/v1/orders/uuids"): Endpoint(DEFAULT, private.cancel_named, is_private=True),
        ("DELETE", "/v1/orders/open"): Endpoint(_CANCEL_ALL, private.cancel_open, is_private=True),
    }
