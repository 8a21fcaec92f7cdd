"""REST on aiohttp: one table of endpoints with their budgets, and what every answer carries."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

from tickloop.errors import OperatorError
from tickloop.simulator.auth import Gatekeeper, hashable_texts, json_pairs
from tickloop.simulator.clock import MarketClock
from tickloop.simulator.faultboard import FaultBoard
from tickloop.simulator.params import Call, Params
from tickloop.simulator.periods import MONTHS, WEEKS, YEARS
from tickloop.simulator.private import PrivateSide
from tickloop.simulator.public import PublicSide
from tickloop.simulator.ratelimit import Limit, Penalties, RateLimiter, Verdict
from tickloop.simulator.refusal import RefusedError
from tickloop.simulator.rest_faults import TOO_MANY, RestFaults, blocked_for, refused
from tickloop.simulator.stream import Hub

Handler = Callable[[Call], Any]

# Budgets of upbit-api section 4; group names as measured in the header, which differ from the documentation's.
_MARKET, _CANDLES, _TRADES = Limit("market", 10), Limit("candles", 10), Limit("crix-trades", 10)
_TICKER, _BOOK = Limit("ticker", 10), Limit("orderbook", 10)
_DEFAULT = Limit("default", 30, is_bucket=True)
_ORDER_TEST = Limit("order-test", 8, is_bucket=True)
_CANCEL_ALL = Limit("order-cancel-all", 1, per_s=2.0, is_bucket=True)
ORIGIN = Limit("origin", 1, per_s=10.0)
"""A request with an `Origin` header comes from a browser: the exchange allows it one call in ten seconds."""

GZIP_FROM = 1_000
"""Bytes of a body from which on compression is worth its time: our choice."""

_MINUTES = "/v1/candles/minutes/"


@dataclass(frozen=True)
class Endpoint:
    limit: Limit
    handle: Handler
    is_private: bool = False
    status: int = 200


class RestApi:
    """Answers every REST request of the exchange."""

    def __init__(
        self,
        public: PublicSide,
        private: PrivateSide,
        gate: Gatekeeper,
        hub: Hub,
        clock: MarketClock,
        order_limit_per_s: int,
        board: FaultBoard,
    ) -> None:
        self._public = public
        self._faults = RestFaults(board, clock)
        self._gate = gate
        self._hub = hub
        self._clock = clock
        self._limiter = RateLimiter()
        self._penalties = Penalties()
        orders = Limit("order", order_limit_per_s, is_bucket=True)
        self._endpoints = {
            ("GET", "/v1/market/all"): Endpoint(_MARKET, public.markets),
            ("GET", "/v1/trades/ticks"): Endpoint(_TRADES, public.trades),
            ("GET", "/v1/ticker"): Endpoint(_TICKER, public.tickers),
            ("GET", "/v1/ticker/all"): Endpoint(_TICKER, public.all_tickers),
            ("GET", "/v1/orderbook"): Endpoint(_BOOK, public.orderbooks),
            ("GET", "/v1/orderbook/instruments"): Endpoint(_BOOK, public.instruments),
            ("GET", "/v1/orderbook/supported_levels"): Endpoint(_BOOK, public.supported_levels),
            ("GET", "/v1/candles/seconds"): Endpoint(_CANDLES, public.seconds),
            ("GET", "/v1/candles/days"): Endpoint(_CANDLES, public.days),
            **{
                ("GET", f"/v1/candles/{period.name}"): Endpoint(_CANDLES, partial(public.longer, period))
                for period in (WEEKS, MONTHS, YEARS)
            },
            ("GET", "/v1/accounts"): Endpoint(_DEFAULT, private.accounts, is_private=True),
            ("GET", "/v1/orders/chance"): Endpoint(_DEFAULT, private.chance, is_private=True),
            ("POST", "/v1/orders"): Endpoint(orders, private.place, is_private=True, status=201),
            ("GET", "/v1/order"): Endpoint(_DEFAULT, private.order, is_private=True),
            ("DELETE", "/v1/order"): Endpoint(_DEFAULT, private.cancel, is_private=True),
            ("GET", "/v1/orders/open"): Endpoint(_DEFAULT, private.open_orders, is_private=True),
            ("GET", "/v1/orders/closed"): Endpoint(_DEFAULT, private.closed_orders, is_private=True),
            ("GET", "/v1/orders/uuids"): Endpoint(_DEFAULT, private.named_orders, is_private=True),
            ("GET", "/v1/orders"): Endpoint(_DEFAULT, private.legacy_orders, is_private=True),
            ("POST", "/v1/orders/test"): Endpoint(_ORDER_TEST, private.test, is_private=True, status=201),
            ("POST", "/v1/orders/cancel_and_new"): Endpoint(
                orders, private.cancel_and_new, is_private=True, status=201
            ),
            ("DELETE", "/v1/orders/uuids"): Endpoint(_DEFAULT, private.cancel_named, is_private=True),
            ("DELETE", "/v1/orders/open"): Endpoint(_CANCEL_ALL, private.cancel_open, is_private=True),
        }

    async def answer(self, request: web.Request, path: str) -> web.Response:
        """Answer one request.

        Args:
            path: the path with repeated slashes taken out.
        """
        answer = await self._answer(request, path)
        answer.headers["Date"] = self._faults.date()
        return answer

    async def _answer(self, request: web.Request, path: str) -> web.Response:
        endpoint = self._endpoint(request.method, path)
        if endpoint is None:
            verdict = self._take(_DEFAULT, request, is_private=True)
            return _json(404, {"error": {"name": 404, "message": "no Route matched with those values"}}, verdict)
        limit = ORIGIN if "Origin" in request.headers and not endpoint.is_private else endpoint.limit
        verdict = self._take(limit, request, is_private=endpoint.is_private)
        trouble = self._over_budget(verdict, _client(request, is_private=endpoint.is_private))
        if trouble is None:
            is_order = endpoint.is_private and path.startswith("/v1/order")
            trouble = await self._faults.before(request.method, path, is_order=is_order)
        if trouble is not None:
            trouble.headers["Remaining-Req"] = verdict.header
            return trouble
        answer = await self._carried_out(request, path, endpoint, verdict)
        if not endpoint.is_private and "gzip" in request.headers.get("Accept-Encoding", ""):
            _compress(answer)
        return answer

    async def _carried_out(self, request: web.Request, path: str, endpoint: Endpoint, verdict: Verdict) -> web.Response:
        body = await request.read()
        try:
            if endpoint.is_private:
                self._check(request, body)
            # Resting orders are brought up to the moment of the answer first.
            self._hub.advance(now_ms := self._clock.now_ms())
            call = Call(_params(request, body if endpoint.is_private else b""), now_ms, body)
            value = endpoint.handle(call)
            self._faults.after(request.method, path, request.transport)
            return _json(endpoint.status, value, verdict)
        except RefusedError as refusal:
            return _json(refusal.status, refusal.body, verdict)
        except OperatorError as exc:  # the disk: the order was not taken
            return _json(500, {"error": {"name": "internal_server_error", "message": str(exc)}}, verdict)

    def _over_budget(self, verdict: Verdict, client: str) -> web.Response | None:
        """Give the 429 of an empty budget, or the 418 of a client that went on after it."""
        now_s = self._clock.elapsed_s()
        blocked_s = self._penalties.blocked_s(client, now_s)
        if blocked_s:
            return blocked_for(blocked_s)
        if verdict.is_allowed:
            return None
        self._penalties.refused(client, now_s)
        return refused(429, TOO_MANY)

    def _endpoint(self, method: str, path: str) -> Endpoint | None:
        unit = path.removeprefix(_MINUTES)
        if method == "GET" and unit != path and "/" not in unit:
            return Endpoint(_CANDLES, lambda call: self._public.minutes(unit, call))
        return self._endpoints.get((method, path))

    def _take(self, limit: Limit, request: web.Request, *, is_private: bool) -> Verdict:
        return self._limiter.take(limit, _client(request, is_private=is_private), self._clock.elapsed_s())

    def _check(self, request: web.Request, body: bytes) -> None:
        texts = hashable_texts(request.rel_url.raw_query_string, body, request.content_type)
        self._gate.check(request.headers.get("Authorization"), texts)


def _client(request: web.Request, *, is_private: bool) -> str:
    return "account" if is_private else (request.remote or "")


def _params(request: web.Request, body: bytes) -> Params:
    """Take parameters from the query, a form body or a JSON body: clients send private ones in each of them."""
    pairs = list(request.query.items())
    if body and "json" in request.content_type:
        pairs += json_pairs(body)
    elif body:
        pairs += parse_qsl(body.decode("utf-8", "replace"))
    return Params(pairs)


def _json(status: int, value: Any, verdict: Verdict) -> web.Response:
    return web.Response(
        status=status,
        body=msgspec.json.encode(value),
        content_type="application/json",
        charset="utf-8",
        headers={"Remaining-Req": verdict.header},
    )


def _compress(answer: web.Response) -> None:
    """Compress a body that is worth it; the quotation side alone does so (Upbit developer centre, REST guide)."""
    if isinstance(answer.body, bytes) and len(answer.body) >= GZIP_FROM:
        answer.body = gzip.compress(answer.body, 6, mtime=0)  # no time inside: the same answer has the same bytes
        answer.headers["Content-Encoding"] = "gzip"
