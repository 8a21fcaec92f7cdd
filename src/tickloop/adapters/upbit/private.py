"""Upbit's private REST, endpoint by endpoint: reads are repeated, what changes something goes out once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from tickloop.adapters.upbit.answers import decode
from tickloop.adapters.upbit.auth import Credentials
from tickloop.adapters.upbit.errors import NOT_FOUND
from tickloop.adapters.upbit.order_rows import AccountRow, BatchResult, ChanceRow, OrderRow, ReplacedRow
from tickloop.adapters.upbit.orders import NewOrder, Replacement
from tickloop.adapters.upbit.signed import SignedRest, decode_sent
from tickloop.domain.window import DAY_MS, to_ms
from tickloop.errors import ExchangeError, RejectedError, UsageError
from tickloop.ports import Clock

MOST_NAMED, MOST_CANCELLED, MOST_CLOSED = 100, 20, 1_000
CLOSED_SPAN_MS = 7 * DAY_MS
"""Upbit developer centre, closed orders: the longest span of one request; it has no pages."""

OrderBy = Literal["desc", "asc"]


class UpbitPrivate:
    """One account. Implements no port: `UpbitBroker` does, on top of this.

    Args:
        budgets: folder of the files that processes of the same key share their budgets in; None shares with nobody.
    """

    def __init__(self, rest_url: str, credentials: Credentials, clock: Clock, budgets: Path | None = None) -> None:
        self._rest = SignedRest(rest_url, credentials, clock, budgets)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._rest.close()

    async def accounts(self) -> list[AccountRow]:
        return decode(await self._rest.read("/v1/accounts"), list[AccountRow], "accounts")

    async def chance(self, market: str) -> ChanceRow:
        """Give fees, limits and balances for orders of a market."""
        return decode(await self._rest.read("/v1/orders/chance", [("market", market)]), ChanceRow, "orders/chance")

    async def place(self, order: NewOrder) -> OrderRow:
        """Send an order, once; its fills are not in the answer.

        Raises:
            RejectedError: it does not exist.
            UnknownOutcomeError: the answer was lost; ask for the identifier before anything else.
        """
        what = f"order {order.identifier or 'without identifier'}"
        return decode_sent(await self._rest.send("POST", "/v1/orders", order.pairs(), "order", what), OrderRow, what)

    async def test(self, order: NewOrder) -> OrderRow:
        """Let the exchange check an order that is not placed."""
        body = await self._rest.send("POST", "/v1/orders/test", order.pairs(), "order-test", "order test")
        return decode_sent(body, OrderRow, "order test")

    async def order(self, *, uuid: str | None = None, identifier: str | None = None) -> OrderRow | None:
        """Give an order with its fills, or None when there is none."""
        try:
            body = await self._rest.read("/v1/order", _one_name(uuid, identifier))
        except RejectedError as exc:
            if exc.status == NOT_FOUND and exc.name == "order_not_found":
                return None
            raise
        return decode(body, OrderRow, "order")

    async def orders_open(
        self,
        market: str | None = None,
        states: Sequence[str] = ("wait", "watch"),
        page: int = 1,
        limit: int = 100,
        order_by: OrderBy = "desc",
    ) -> list[OrderRow]:
        """Give a page of open orders, by default newest first, without their fills."""
        pairs = [*_optional(market=market), *_array("states", states)]
        pairs += _optional(page=page, limit=limit, order_by=order_by)
        return decode(await self._rest.read("/v1/orders/open", pairs), list[OrderRow], "orders/open")

    async def orders_closed(
        self,
        market: str | None = None,
        states: Sequence[str] = ("done", "cancel"),
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = MOST_CLOSED,
        order_by: OrderBy = "desc",
    ) -> list[OrderRow]:
        """Give ended orders made in a span of at most seven days; the last seven without a span."""
        pairs = [*_optional(market=market), *_array("states", states)]
        pairs += _optional(start_time=start_ms, end_time=end_ms, limit=limit, order_by=order_by)
        return decode(await self._rest.read("/v1/orders/closed", pairs), list[OrderRow], "orders/closed")

    async def orders_closed_between(
        self, start_ms: int, end_ms: int, market: str | None = None, states: Sequence[str] = ("done", "cancel")
    ) -> list[OrderRow]:
        """Give all ended orders made in a span of any length, newest first, each once.

        Raises:
            UsageError: the span is empty.
            ExchangeError: more orders within a second than one answer holds.
        """
        if start_ms >= end_ms:
            raise UsageError(f"start_ms = {start_ms}, end_ms = {end_ms}; valid: a start before the end")
        found: dict[str, OrderRow] = {}
        while True:
            from_ms = max(start_ms, end_ms - CLOSED_SPAN_MS)
            rows = await self.orders_closed(market, states, from_ms, end_ms)
            found |= {row.uuid: row for row in rows if row.uuid not in found}
            if len(rows) >= MOST_CLOSED:
                end_ms = _next_end_ms(rows, end_ms)
            elif from_ms > start_ms:
                end_ms = from_ms + 1_000  # overlaps: whether the ends of a span belong to it is not documented
            else:
                break
        return list(found.values())

    async def orders_named(
        self,
        *,
        uuids: Sequence[str] = (),
        identifiers: Sequence[str] = (),
        market: str | None = None,
        order_by: OrderBy = "desc",
    ) -> list[OrderRow]:
        """Give up to a hundred orders by their ids, without their fills; those that there are none of are absent."""
        pairs = [*_optional(market=market), *_names(uuids, identifiers, MOST_NAMED), ("order_by", order_by)]
        return decode(await self._rest.read("/v1/orders/uuids", pairs), list[OrderRow], "orders/uuids")

    async def cancel(self, *, uuid: str | None = None, identifier: str | None = None) -> OrderRow:
        """Ask for an order to be cancelled; give it as it was: the cancel is accepted, not done.

        Raises:
            RejectedError: `order_not_found` when no such order is open.
            UnknownOutcomeError: the answer was lost; to ask again is harmless.
        """
        pairs = _one_name(uuid, identifier)
        return decode_sent(await self._rest.send("DELETE", "/v1/order", pairs, "default", "cancel"), OrderRow, "cancel")

    async def cancel_named(self, *, uuids: Sequence[str] = (), identifiers: Sequence[str] = ()) -> BatchResult:
        """Ask for up to twenty orders to be cancelled; tell which were open."""
        pairs = _names(uuids, identifiers, MOST_CANCELLED)
        body = await self._rest.send("DELETE", "/v1/orders/uuids", pairs, "default", "cancel of several")
        return decode_sent(body, BatchResult, "cancel of several")

    async def cancel_open(
        self,
        *,
        pairs: Sequence[str] = (),
        quotes: Sequence[str] = (),
        excluded: Sequence[str] = (),
        side: str = "all",
        count: int = 20,
    ) -> BatchResult:
        """Ask for open orders of markets, or of quote currencies, to be cancelled; two seconds must lie between."""
        if (pairs and quotes) or max(len(pairs), len(excluded)) > MOST_CANCELLED:
            raise UsageError(
                f"pairs = {pairs}, quotes = {quotes}; valid: one of them, and at most {MOST_CANCELLED} pairs"
            )
        lists = {"pairs": pairs, "quote_currencies": quotes, "excluded_pairs": excluded}
        query = [(name, ",".join(values)) for name, values in lists.items() if values]
        query += [("cancel_side", side), ("count", str(count))]
        body = await self._rest.send("DELETE", "/v1/orders/open", query, "order-cancel-all", "cancel of all")
        return decode_sent(body, BatchResult, "cancel of all")

    async def cancel_and_new(
        self, replacement: Replacement, *, uuid: str | None = None, identifier: str | None = None
    ) -> ReplacedRow:
        """Cancel an order and put another in its place; the new one exists once the cancel is done, or never.

        Raises:
            RejectedError: nothing was changed.
            UnknownOutcomeError: the answer was lost; ask for both identifiers.
        """
        names = [(f"prev_order_{name}", value) for name, value in _one_name(uuid, identifier)]
        pairs = [*names, *replacement.pairs()]
        body = await self._rest.send("POST", "/v1/orders/cancel_and_new", pairs, "order", "cancel and new")
        return decode_sent(body, ReplacedRow, "cancel and new")


def _one_name(uuid: str | None, identifier: str | None) -> list[tuple[str, str]]:
    if (uuid is None) == (identifier is None):
        raise UsageError(f"uuid = {uuid}, identifier = {identifier}; valid: one of them")
    return [("uuid", uuid)] if uuid is not None else [("identifier", identifier or "")]


def _names(uuids: Sequence[str], identifiers: Sequence[str], most: int) -> list[tuple[str, str]]:
    if bool(uuids) == bool(identifiers) or len(uuids) + len(identifiers) > most:
        raise UsageError(f"{len(uuids)} uuids and {len(identifiers)} identifiers; valid: 1 to {most} of one kind")
    return _array("uuids", uuids) if uuids else _array("identifiers", identifiers)


def _array(name: str, values: Sequence[str]) -> list[tuple[str, str]]:
    return [(f"{name}[]", value) for value in values]


def _optional(**values: str | int | None) -> list[tuple[str, str]]:
    return [(name, str(value)) for name, value in values.items() if value is not None]


def _next_end_ms(rows: Sequence[OrderRow], end_ms: int) -> int:
    """Give where to go on after a full answer: the whole second of its oldest order again, since times are seconds."""
    oldest_ms = min((to_ms(row.created_at) for row in rows if row.created_at is not None), default=end_ms)
    next_ms = oldest_ms // 1_000 * 1_000 + 1_000
    if next_ms >= end_ms:
        raise ExchangeError(f"orders/closed gave {len(rows)} orders of the second before {next_ms}; more are not told")
    return next_ms
