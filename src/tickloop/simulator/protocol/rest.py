"""REST on aiohttp: who may ask, how often, and what every answer carries."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

from tickloop.errors import OperatorError
from tickloop.simulator.clock import MarketClock
from tickloop.simulator.faults.board import FaultBoard
from tickloop.simulator.faults.on_rest import TOO_MANY, RestFaults, blocked_for, refused
from tickloop.simulator.protocol.auth import Gatekeeper, hashable_texts, json_pairs
from tickloop.simulator.protocol.endpoints import (
    CANDLES,
    DEFAULT,
    ORIGIN,
    Endpoint,
    exchange_endpoints,
    quotation_endpoints,
)
from tickloop.simulator.protocol.params import Call, Params
from tickloop.simulator.protocol.private import PrivateSide
from tickloop.simulator.protocol.public import PublicSide
from tickloop.simulator.protocol.ratelimit import Limit, Penalties, RateLimiter, Verdict
from tickloop.simulator.protocol.stream import Hub
from tickloop.simulator.refusal import RefusedError

GZIP_FROM = 1_000
"""Bytes of a body from which on compression is worth its time: our choice."""

TURN_S = 0.005
"""Real seconds of preparation after which others are served before it goes on."""

_MINUTES = "/v1/candles/minutes/"


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
        self._endpoints = quotation_endpoints(public) | exchange_endpoints(private, order_limit_per_s)

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
            verdict = self._take(DEFAULT, request, is_private=True)
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
            params = _params(request, body if endpoint.is_private else b"")
            if endpoint.prepare is not None:
                await _in_turns(endpoint.prepare(Call(params, self._clock.now_ms())))
            # Resting orders are brought up to the moment of the answer first.
            self._hub.advance(now_ms := self._clock.now_ms())
            value = endpoint.handle(Call(params, now_ms, body))
            if request.method != "GET":
                self._clock.nudge()  # what was put off by it may be due before the next trade
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
            return Endpoint(CANDLES, lambda call: self._public.minutes(unit, call))
        return self._endpoints.get((method, path))

    def _take(self, limit: Limit, request: web.Request, *, is_private: bool) -> Verdict:
        return self._limiter.take(limit, _client(request, is_private=is_private), self._clock.elapsed_s())

    def _check(self, request: web.Request, body: bytes) -> None:
        texts = hashable_texts(request.rel_url.raw_query_string, body, request.content_type)
        self._gate.check(request.headers.get("Authorization"), texts)


async def _in_turns(steps: Iterator[object]) -> None:
    """Go through all steps, and let others be served in between."""
    began = time.monotonic()
    for _ in steps:
        if time.monotonic() - began > TURN_S:
            await asyncio.sleep(0)
            began = time.monotonic()


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
