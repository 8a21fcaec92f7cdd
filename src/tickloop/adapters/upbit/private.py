"""Upbit's private REST, endpoint by endpoint: reads are repeated, what changes something goes out once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec
from yarl import URL

from tickloop.adapters.upbit.auth import Credentials, Pairs
from tickloop.adapters.upbit.budget import CANCEL_ALL, DEFAULT, ORDER, ORDER_TEST, Budget
from tickloop.adapters.upbit.errors import NOT_FOUND, TOO_MANY, error_of
from tickloop.adapters.upbit.messages import (
    AccountRow,
    BatchResult,
    ChanceRow,
    OrderRow,
    ReplacedRow,
    decode,
)
from tickloop.adapters.upbit.orders import NewOrder, Replacement
from tickloop.errors import ExchangeError, RejectedError, RetryableError, UnknownOutcomeError, UsageError
from tickloop.ports import Clock

_TIMEOUT = aiohttp.ClientTimeout(total=10.0, sock_connect=5.0)
_KEEP_ALIVE_S = 55.0
_DONE = (200, 201)
_NOT_SENT = "not_sent"
_LIMITED = "too_many_requests"
_TAKEN = "duplicated_identifier"  # an order of this id arrived before, or failed before: only asking tells

_TRIES = 4
_FIRST_DELAY_S = 0.2

MOST_NAMED, MOST_CANCELLED = 100, 20

_Row = TypeVar("_Row")


class UpbitPrivate:
    """One account. Implements no port: `UpbitBroker` does, on top of this.

    Args:
        budgets: folder of the files that processes of the same key share their budgets in; None shares with nobody.
    """

    def __init__(self, rest_url: str, credentials: Credentials, clock: Clock, budgets: Path | None = None) -> None:
        self._rest_url = rest_url.rstrip("/")
        self._credentials = credentials
        limits = {"default": DEFAULT, "order": ORDER, "order-test": ORDER_TEST, "order-cancel-all": CANCEL_ALL}
        self._budgets = {
            group: Budget(clock, limit, None if budgets is None else budgets / group) for group, limit in limits.items()
        }
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()
        for budget in self._budgets.values():
            budget.close()

    async def accounts(self) -> list[AccountRow]:
        return decode(await self._read("/v1/accounts"), list[AccountRow], "accounts")

    async def chance(self, market: str) -> ChanceRow:
        """Give fees, limits and balances for orders of a market."""
        return decode(await self._read("/v1/orders/chance", [("market", market)]), ChanceRow, "orders/chance")

    async def place(self, order: NewOrder) -> OrderRow:
        """Send an order, once; its fills are not in the answer.

        Raises:
            RejectedError: it does not exist.
            UnknownOutcomeError: the answer was lost; ask for the identifier before anything else.
        """
        what = f"order {order.identifier or 'without identifier'}"
        return decode_sent(await self._send("POST", "/v1/orders", order.pairs(), "order", what), OrderRow, what)

    async def test(self, order: NewOrder) -> OrderRow:
        """Let the exchange check an order that is not placed."""
        body = await self._send("POST", "/v1/orders/test", order.pairs(), "order-test", "order test")
        return decode_sent(body, OrderRow, "order test")

    async def order(self, *, uuid: str | None = None, identifier: str | None = None) -> OrderRow | None:
        """Give an order with its fills, or None when there is none."""
        try:
            body = await self._read("/v1/order", _one_name(uuid, identifier))
        except RejectedError as exc:
            if exc.status == NOT_FOUND and exc.name == "order_not_found":
                return None
            raise
        return decode(body, OrderRow, "order")

    async def orders_open(
        self, market: str | None = None, states: Sequence[str] = ("wait", "watch"), page: int = 1, limit: int = 100
    ) -> list[OrderRow]:
        """Give a page of open orders, newest first, without their fills."""
        pairs = [*_optional(market=market), *_array("states", states), ("page", str(page)), ("limit", str(limit))]
        return decode(await self._read("/v1/orders/open", pairs), list[OrderRow], "orders/open")

    async def orders_closed(
        self,
        market: str | None = None,
        states: Sequence[str] = ("done", "cancel"),
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = 1_000,
    ) -> list[OrderRow]:
        """Give ended orders accepted in a span of at most seven days, newest first; the last seven without a span."""
        span = _optional(start_time=start_ms, end_time=end_ms)
        pairs = [*_optional(market=market), *_array("states", states), *span, ("limit", str(limit))]
        return decode(await self._read("/v1/orders/closed", pairs), list[OrderRow], "orders/closed")

    async def orders_named(self, *, uuids: Sequence[str] = (), identifiers: Sequence[str] = ()) -> list[OrderRow]:
        """Give up to a hundred orders by their ids, without their fills; those that there are none of are absent."""
        pairs = _names(uuids, identifiers, MOST_NAMED)
        return decode(await self._read("/v1/orders/uuids", pairs), list[OrderRow], "orders/uuids")

    async def cancel(self, *, uuid: str | None = None, identifier: str | None = None) -> OrderRow:
        """Ask for an order to be cancelled; give it as it was: the cancel is accepted, not done.

        Raises:
            RejectedError: `order_not_found` when no such order is open.
            UnknownOutcomeError: the answer was lost; to ask again is harmless.
        """
        pairs = _one_name(uuid, identifier)
        return decode_sent(await self._send("DELETE", "/v1/order", pairs, "default", "cancel"), OrderRow, "cancel")

    async def cancel_named(self, *, uuids: Sequence[str] = (), identifiers: Sequence[str] = ()) -> BatchResult:
        """Ask for up to twenty orders to be cancelled; tell which were open."""
        pairs = _names(uuids, identifiers, MOST_CANCELLED)
        body = await self._send("DELETE", "/v1/orders/uuids", pairs, "default", "cancel of several")
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
        body = await self._send("DELETE", "/v1/orders/open", query, "order-cancel-all", "cancel of all")
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
        body = await self._send("POST", "/v1/orders/cancel_and_new", pairs, "order", "cancel and new")
        return decode_sent(body, ReplacedRow, "cancel and new")

    async def _read(self, path: str, pairs: Pairs = ()) -> bytes:
        """Read, repeating what may be repeated, each time with a token of its own.

        Between tries it waits 0.2 s x 2^n, of that a random half to whole; 429 and 418 wait in the budget as well.
        """
        for number in range(_TRIES):
            try:
                return await self._read_once(path, pairs)
            except RetryableError:
                if number == _TRIES - 1:
                    raise
                await asyncio.sleep(_FIRST_DELAY_S * 2**number * random.uniform(0.5, 1.0))  # noqa: S311
        raise AssertionError("unreachable: the last try returns or raises")

    async def _read_once(self, path: str, pairs: Pairs) -> bytes:
        try:
            status, body, headers = await self._ask("GET", path, pairs, "default")
        except (aiohttp.ClientError, OSError) as exc:
            raise RetryableError(f"no answer to GET {path} from {self._rest_url}: {exc!r}") from exc
        if status in _DONE:
            return body
        raise error_of(status, body, headers)

    async def _send(self, method: str, path: str, pairs: Pairs, group: str, what: str) -> bytes:
        """Send what changes something, once; an answer that does not say clearly "done" or "refused" is unknown."""
        try:
            status, body, headers = await self._ask(method, path, pairs, group)
        except aiohttp.ClientConnectorError as exc:
            raise RejectedError(_NOT_SENT, f"no connection to {self._rest_url}, nothing was sent", 0) from exc
        except (aiohttp.ClientError, OSError) as exc:  # a time-out is an OSError too
            raise lost(what, repr(exc)) from exc
        if status in _DONE:
            return body
        error = error_of(status, body, headers)
        if status in TOO_MANY:
            raise RejectedError(_LIMITED, str(error), status)
        is_refusal = 400 <= status < 500 and not isinstance(error, RetryableError)
        if not is_refusal or (isinstance(error, RejectedError) and error.name == _TAKEN):
            raise lost(what, str(error))
        raise error

    async def _ask(self, method: str, path: str, pairs: Pairs, group: str) -> tuple[int, bytes, Mapping[str, str]]:
        budget = self._budgets[group]
        await budget.wait_async()
        headers = {"Authorization": self._credentials.authorization(pairs)}
        url, data = URL(f"{self._rest_url}{path}"), None
        if method == "POST":
            headers["Content-Type"] = "application/json"
            data = msgspec.json.encode(dict(pairs))
        elif pairs:
            # Encoded by hand: brackets stay as they are, as the exchange wants, and nothing is encoded twice.
            query = "&".join(f"{quote(name, safe='[]')}={quote(value, safe='')}" for name, value in pairs)
            url = URL(f"{self._rest_url}{path}?{query}", encoded=True)
        # aiohttp repeats only idempotent methods on a stale connection, and a redirect would repeat a POST.
        async with self._session().request(method, url, data=data, headers=headers, allow_redirects=False) as answer:
            body = await answer.read()
        budget.learn(answer.headers.get("Remaining-Req"))
        if answer.status in TOO_MANY:
            error = error_of(answer.status, body, answer.headers)
            budget.block(error.retry_after_s if isinstance(error, RetryableError) else 1.0)
        return answer.status, body, answer.headers

    def _session(self) -> aiohttp.ClientSession:
        if self._http is None:
            self._http = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(keepalive_timeout=_KEEP_ALIVE_S),
                timeout=_TIMEOUT,
                headers={"Accept": "application/json", "User-Agent": "tickloop"},
            )
        return self._http


def lost(what: str, why: str) -> UnknownOutcomeError:
    return UnknownOutcomeError(f"{what}: the answer was lost ({why}); ask what became of it, do not send it again")


def decode_sent(body: bytes, form: type[_Row], what: str) -> _Row:
    """Read the answer to what changed something; one that cannot be read leaves the outcome unknown."""
    try:
        return decode(body, form, what)
    except ExchangeError as exc:
        raise lost(what, str(exc)) from exc


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
