"""Upbit's private REST: orders and balances. A placement goes out once; nothing here repeats it."""

from __future__ import annotations

from decimal import Decimal
from types import TracebackType
from typing import Self

import aiohttp
import msgspec

from tickloop.adapters.upbit.auth import Credentials, Pairs
from tickloop.adapters.upbit.errors import NOT_FOUND, TOO_MANY, error_of
from tickloop.adapters.upbit.messages import AccountRow, OrderRow, balances_of, decode, order_of
from tickloop.domain.market import Side
from tickloop.errors import ExchangeError, RejectedError, RetryableError, UnknownOutcomeError, UsageError
from tickloop.ports import Balance, OrderRequest, VenueOrder

_TIMEOUT = aiohttp.ClientTimeout(total=10.0, sock_connect=5.0)
_KEEP_ALIVE_S = 55.0
_CREATED = (200, 201)
_NOT_SENT = "not_sent"
_LIMITED = "too_many_requests"
_TAKEN = "duplicated_identifier"  # an order of this id arrived before, or failed before: only asking tells


class UpbitBroker:
    """Implements `ports.Broker` on one warm keep-alive connection pool, opened at the first call."""

    def __init__(self, rest_url: str, access_key: str, secret_key: str) -> None:
        self._rest_url = rest_url.rstrip("/")
        self._credentials = Credentials(access_key, secret_key)
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()

    async def place(self, request: OrderRequest) -> VenueOrder:
        pairs = order_pairs(request)
        headers = {"Authorization": self._credentials.authorization(pairs), "Content-Type": "application/json"}
        body = msgspec.json.encode(dict(pairs))
        try:
            # aiohttp repeats only idempotent methods on a stale connection, and a redirect would repeat a POST.
            async with self._session().post("/v1/orders", data=body, headers=headers, allow_redirects=False) as answer:
                text = await answer.read()
        except aiohttp.ClientConnectorError as exc:
            raise RejectedError(_NOT_SENT, f"no connection to {self._rest_url}, nothing was sent", 0) from exc
        except (aiohttp.ClientError, OSError) as exc:  # a time-out is an OSError too
            raise _lost(request, repr(exc)) from exc
        return _placed(request, answer.status, text, answer.headers.get("Retry-After", ""))

    async def find(self, client_order_id: str) -> VenueOrder | None:
        try:
            body = await self._get("/v1/order", (("identifier", client_order_id),))
        except RejectedError as exc:
            if exc.status == NOT_FOUND and exc.name == "order_not_found":
                return None
            raise
        return order_of(decode(body, OrderRow, "order"), client_order_id)

    async def balances(self) -> list[Balance]:
        return balances_of(decode(await self._get("/v1/accounts"), list[AccountRow], "accounts"))

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()

    async def _get(self, path: str, pairs: Pairs = ()) -> bytes:
        headers = {"Authorization": self._credentials.authorization(pairs)}
        try:
            async with self._session().get(path, params=list(pairs), headers=headers) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, OSError) as exc:
            raise RetryableError(f"no answer to GET {path} from {self._rest_url}: {exc!r}") from exc
        if answer.status == 200:
            return body
        raise error_of(answer.status, body, answer.headers)

    def _session(self) -> aiohttp.ClientSession:
        if self._http is None:
            self._http = aiohttp.ClientSession(
                self._rest_url,
                connector=aiohttp.TCPConnector(keepalive_timeout=_KEEP_ALIVE_S),
                timeout=_TIMEOUT,
                headers={"Accept": "application/json", "User-Agent": "tickloop"},
            )
        return self._http


def order_pairs(request: OrderRequest) -> list[tuple[str, str]]:
    """Give the body of a market order in the order that is signed.

    Source: Upbit developer centre, create order: a market buy is `price` with a KRW total, a market sell `market` with
    a volume.

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
    is_buy = request.side is Side.BUY
    return [
        ("market", request.market),
        ("side", "bid" if is_buy else "ask"),
        ("ord_type", "price" if is_buy else "market"),
        ("price" if is_buy else "volume", _plain(amount)),
        ("identifier", request.client_order_id),
    ]


def _placed(request: OrderRequest, status: int, body: bytes, retry_after: str) -> VenueOrder:
    """Read the answer to a placement; what does not say clearly "placed" or "refused" is unknown."""
    if status in _CREATED:
        try:
            return order_of(decode(body, OrderRow, "orders"), request.client_order_id)
        except ExchangeError as exc:
            raise _lost(request, str(exc)) from exc
    error = error_of(status, body, {"Retry-After": retry_after})
    if status in TOO_MANY:
        raise RejectedError(_LIMITED, str(error), status)
    is_refusal = 400 <= status < 500 and not isinstance(error, RetryableError)
    if not is_refusal or (isinstance(error, RejectedError) and error.name == _TAKEN):
        raise _lost(request, str(error))
    raise error


def _lost(request: OrderRequest, why: str) -> UnknownOutcomeError:
    return UnknownOutcomeError(
        f"order {request.client_order_id}: the answer was lost ({why}); ask for this id, do not send again"
    )


def _plain(amount: Decimal) -> str:
    return f"{amount:f}"  # never an exponent
