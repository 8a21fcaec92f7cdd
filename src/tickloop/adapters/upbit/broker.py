"""The broker on Upbit's private REST. A placement goes out once; nothing here repeats it."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from tickloop.adapters.upbit.auth import Credentials
from tickloop.adapters.upbit.order_rows import balances_of, order_of
from tickloop.adapters.upbit.orders import NewOrder
from tickloop.adapters.upbit.private import UpbitPrivate
from tickloop.domain.market import Side
from tickloop.errors import UsageError
from tickloop.ports import Balance, Clock, OrderRequest, VenueOrder


class UpbitBroker:
    """Implements `ports.Broker` on one warm keep-alive connection pool, opened at the first call.

    Args:
        budgets: see `UpbitPrivate`.
    """

    def __init__(
        self, rest_url: str, access_key: str, secret_key: str, clock: Clock, budgets: Path | None = None
    ) -> None:
        self._private = UpbitPrivate(rest_url, Credentials(access_key, secret_key), clock, budgets)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()

    async def place(self, request: OrderRequest) -> VenueOrder:
        return order_of(await self._private.place(new_order(request)), request.client_order_id)

    async def find(self, client_order_id: str) -> VenueOrder | None:
        found = await self._private.order(identifier=client_order_id)
        return None if found is None else order_of(found, client_order_id)

    async def balances(self) -> list[Balance]:
        return balances_of(await self._private.accounts())

    async def close(self) -> None:
        await self._private.close()


def new_order(request: OrderRequest) -> NewOrder:
    """Translate a market order: a buy spends KRW, a sell gives away a quantity.

    Raises:
        UsageError: not exactly the amount that the side needs, or not above 0.
    """
    amount, other = (request.krw, request.qty) if request.side is Side.BUY else (request.qty, request.krw)
    if amount is None or other is not None or not amount.is_finite() or amount <= 0:
        needed = "krw" if request.side is Side.BUY else "qty"
        raise UsageError(
            f"order {request.client_order_id}: krw = {request.krw}, qty = {request.qty};"
            f" valid for a market {request.side.value}: {needed} above 0 and nothing else"
        )
    return NewOrder(
        request.market,
        request.side,
        "price" if request.side is Side.BUY else "market",
        price=request.krw,
        volume=request.qty,
        identifier=request.client_order_id,
    )
