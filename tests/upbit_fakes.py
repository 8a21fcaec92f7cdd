"""Small stand-ins for Upbit: public REST without a socket, an account and a stream on a loopback port."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import jwt
import msgspec
from aiohttp import web
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from fakes import FixedClock
from tickloop.adapters.local.clock import SystemClock
from tickloop.domain.window import DAY_MS

SECRET = "s" * 64


class FastClock(SystemClock):
    """Lets a thousand market seconds of budgets pass in each real one."""

    def elapsed_s(self) -> float:
        return time.monotonic() * 1_000


class PagingExchange:
    """Candles and trades as Upbit pages them; `asked` records path and query of each request."""

    def __init__(self, clock: FixedClock, candle_minutes: list[int], trades: list[dict[str, object]]) -> None:
        self.clock = clock
        self.candle_minutes = candle_minutes
        self.trade_rows = trades  # oldest first
        self.make_candle = candle_row
        self.asked: list[tuple[str, dict[str, str]]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        query = dict(request.url.params)
        self.asked.append((request.url.path, query))
        if request.url.path == "/v1/market/all":
            return json_answer([{"market": "KRW-BTC", "korean_name": "x"}, {"market": "KRW-ETH", "korean_name": "y"}])
        if query["market"] != "KRW-BTC":
            return httpx.Response(404, json={"error": {"name": 404, "message": "Code not found"}})
        if request.url.path == "/v1/candles/minutes/1":
            return json_answer(self._candles(query))
        return json_answer(self._trades(query))

    def _candles(self, query: dict[str, str]) -> list[dict[str, object]]:
        to_ms = int(datetime.fromisoformat(query["to"]).timestamp()) * 1000
        older = [minute for minute in self.candle_minutes if minute < to_ms]
        return [self.make_candle(minute) for minute in older[::-1][: int(query["count"])]]

    def _trades(self, query: dict[str, str]) -> list[dict[str, object]]:
        day_ms = (self.clock.now_ms() // DAY_MS - int(query.get("days_ago", "0"))) * DAY_MS
        rows = [row for row in self.trade_rows if day_ms <= row["timestamp"] < day_ms + DAY_MS]  # type: ignore[operator]
        if "to" in query:
            assert re.fullmatch(r"\d\d:\d\d:\d\d", query["to"])
            hours, minutes, seconds = map(int, query["to"].split(":"))
            cut = day_ms + ((hours * 60 + minutes) * 60 + seconds) * 1000
            rows = [row for row in rows if row["timestamp"] < cut]  # type: ignore[operator]
        if "cursor" in query:
            rows = [row for row in rows if row["sequential_id"] < int(query["cursor"])]  # type: ignore[operator]
        return sorted(rows, key=lambda row: row["sequential_id"], reverse=True)[: int(query["count"])]  # type: ignore


def candle_row(minute_ms: int) -> dict[str, object]:
    return {
        "market": "KRW-BTC",
        "candle_date_time_utc": datetime.fromtimestamp(minute_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        "opening_price": 10.0,
        "high_price": 12.0,
        "low_price": 9.0,
        "trade_price": 11.0,
        "timestamp": minute_ms + 59_000,
        "candle_acc_trade_price": 22.0,
        "candle_acc_trade_volume": 2.0,
        "unit": 1,
    }


def trade_row(ts_ms: int, trade_id: int, price: float = 100.0, ask_bid: str = "ASK") -> dict[str, object]:
    return {
        "market": "KRW-BTC",
        "trade_date_utc": "2024-01-22",
        "trade_time_utc": "00:00:00",
        "timestamp": ts_ms,
        "trade_price": price,
        "trade_volume": 0.5,
        "prev_closing_price": 100.0,
        "change_price": price - 100.0,
        "ask_bid": ask_bid,
        "sequential_id": trade_id,
    }


def json_answer(value: object) -> httpx.Response:
    """Answer with JSON and the header that every answer of Upbit has."""
    return httpx.Response(
        200, content=msgspec.json.encode(value), headers={"Remaining-Req": "group=candles; min=600; sec=9"}
    )


# --- account --------------------------------------------------------------------------------------------------


@dataclass
class FakeAccount:
    """An account that fills market orders at once at one price, and checks each token as Upbit documents it.

    `answer` replaces the answer to placements. `posts` records the body of each.
    """

    price: Decimal = Decimal(50_000_000)
    krw: Decimal = Decimal(100_000)
    btc: Decimal = Decimal(0)
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None
    posts: list[dict[str, str]] = field(default_factory=list)
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/v1/orders", self._place)
        app.router.add_get("/v1/order", self._find)
        app.router.add_get("/v1/accounts", self._accounts)
        return app

    async def _place(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.posts.append(body)
        if (
            problem := _token_problem(request, "&".join(f"{name}={value}" for name, value in body.items()))
        ) is not None:
            return problem
        if self.answer is not None:
            return await self.answer(request)
        if (problem := self._refusal(body)) is not None:
            return problem
        order = self._filled(body)
        self.orders[body["identifier"]] = order
        told = {name: value for name, value in order.items() if name != "trades"}
        return web.json_response({**told, "state": "wait", "executed_volume": "0", "paid_fee": "0"}, status=201)

    async def _find(self, request: web.Request) -> web.StreamResponse:
        if (problem := _token_problem(request, request.query_string)) is not None:
            return problem
        found = self.orders.get(request.query["identifier"])
        return refusal(404, "order_not_found") if found is None else web.json_response(found)

    async def _accounts(self, request: web.Request) -> web.StreamResponse:
        if (problem := _token_problem(request, "")) is not None:
            return problem
        held = [("KRW", self.krw), ("BTC", self.btc)]
        return web.json_response(
            [{"currency": name, "balance": str(value), "locked": "0", "avg_buy_price": "0"} for name, value in held]
        )

    def _refusal(self, body: dict[str, str]) -> web.Response | None:
        if body["identifier"] in self.orders:
            return refusal(400, "duplicated_identifier")
        if body["market"] != "KRW-BTC":
            return refusal(400, "notfoundmarket")
        if body["side"] == "bid":
            total = Decimal(body["price"])
            if total < 5_000:
                return refusal(400, "under_min_total_bid")
            return refusal(400, "insufficient_funds_bid") if total * Decimal("1.0005") > self.krw else None
        return refusal(400, "insufficient_funds_ask") if Decimal(body["volume"]) > self.btc else None

    def _filled(self, body: dict[str, str]) -> dict[str, Any]:
        is_buy = body["side"] == "bid"
        volume = Decimal(body["price"]) / self.price if is_buy else Decimal(body["volume"])
        volume = volume.quantize(Decimal("0.00000001"), "ROUND_DOWN")
        funds = volume * self.price
        fee = funds * Decimal("0.0005")
        self.krw += -(funds + fee) if is_buy else funds - fee
        self.btc += volume if is_buy else -volume
        return {
            "uuid": f"venue-{len(self.orders) + 1}",
            "market": body["market"],
            "side": body["side"],
            "ord_type": body["ord_type"],
            "state": "cancel" if is_buy else "done",
            "created_at": "2024-01-22T09:00:00+09:00",
            "executed_volume": str(volume),
            "paid_fee": str(fee),
            "locked": "0.7",
            "trades_count": 1,
            "identifier": body["identifier"],
            "trades": [
                {
                    "market": body["market"],
                    "uuid": "fill-1",
                    "price": str(self.price),
                    "volume": str(volume),
                    "funds": str(funds),
                    "trend": "up",
                    "created_at": "2024-01-22T09:00:00.250000+09:00",
                    "side": body["side"],
                }
            ],
        }


def refusal(status: int, name: str) -> web.Response:
    return web.json_response({"error": {"name": name, "message": "no"}}, status=status)


def _token_problem(request: web.Request, query: str) -> web.Response | None:
    token = request.headers.get("Authorization", "").removeprefix("Bearer ")
    try:
        claims = jwt.decode(token, SECRET, algorithms=["HS512"])
    except jwt.InvalidTokenError:
        return refusal(401, "jwt_verification")
    expected = hashlib.sha512(query.encode()).hexdigest() if query else None
    return None if claims.get("query_hash") == expected else refusal(401, "invalid_query_payload")


@asynccontextmanager
async def listening(app: web.Application) -> AsyncIterator[str]:
    """Serve on a free loopback port; give the base URL."""
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


# --- stream ---------------------------------------------------------------------------------------------------


@dataclass
class FakeStream:
    """A WebSocket that plays one script per request, the last one again and again.

    A script is a list of messages; "close" ends the connection, "mute" lets it hear nothing more, and at its end it
    stays silent. `answer` makes the script out of the request instead. `refuse_with` are HTTP statuses for the first
    handshakes.

    `requests` records the subscriptions, `pings` counts text PINGs, `handshakes` has path and headers of each, and
    `open` is how many connections there are.
    """

    scripts: Sequence[Sequence[bytes | str]] = ((),)
    answer: Callable[[list[dict[str, Any]]], Sequence[bytes | str]] | None = None
    refuse_with: list[int] = field(default_factory=list)
    refuse_headers: dict[str, str] = field(default_factory=dict)
    requests: list[Any] = field(default_factory=list)
    handshakes: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    pings: int = 0
    open: int = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        async with serve(self._serve, "127.0.0.1", 0, process_request=self._handshake, close_timeout=0.2) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            yield f"ws://127.0.0.1:{port}/websocket/v1"

    def _handshake(self, connection: ServerConnection, request: Request) -> Response | None:
        self.handshakes.append((request.path, dict(request.headers.raw_items())))
        if not self.refuse_with:
            return None
        response = connection.respond(self.refuse_with.pop(0), "no\n")
        response.headers.update(self.refuse_headers)
        return response

    async def _serve(self, connection: ServerConnection) -> None:
        self.open += 1
        try:
            async with asyncio.timeout(30):
                await self._play(connection)
        except ConnectionClosed:
            pass
        finally:
            self.open -= 1

    async def _play(self, connection: ServerConnection) -> None:
        async for text in connection:
            if text == "PING":
                self.pings += 1
                await connection.send('{"status":"UP"}')
                continue
            for message in self._script(msgspec.json.decode(text)):
                if message == "close":
                    return
                if message == "mute":
                    connection.transport.pause_reading()
                    continue
                await connection.send(message)

    def _script(self, request: list[dict[str, Any]]) -> Sequence[bytes | str]:
        self.requests.append(request)
        if self.answer is not None:
            return self.answer(request)
        return self.scripts[min(len(self.requests), len(self.scripts)) - 1]
