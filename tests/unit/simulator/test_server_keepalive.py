"""What keeps a connection alive, what ends it, and how much a client may ask of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from running_simulator import ACCESS, DEADLINE_S, MINUTE_MS, SECRET, START_MS, config_in, running, small_recording

from tickloop.simulator.account.desk import Desk
from tickloop.simulator.account.quotes import ExchangeQuotes
from tickloop.simulator.account.state import Store
from tickloop.simulator.clock import MarketClock
from tickloop.simulator.faults.board import FaultBoard
from tickloop.simulator.faults.on_sockets import Outgoing
from tickloop.simulator.prices.exchange import SimulatedExchange
from tickloop.simulator.protocol.auth import Gatekeeper
from tickloop.simulator.protocol.stream import Hub
from tickloop.simulator.protocol.websocket import UP_EVERY_S, WebSocketApi

NOTHING = {"type": "trade", "codes": ["KRW-NONE"]}
LIST = [{"ticket": "t"}, {"method": "LIST_SUBSCRIPTIONS"}]


class Sockets:
    """The sockets alone, on a clock that stands; its budget seconds go on by hand."""

    def __init__(self, hub: Hub, url: str, http: aiohttp.ClientSession) -> None:
        self.hub = hub
        self.url = url
        self.http = http
        self.mono_ns = 10**12

    async def connect(self, path: str = "", **headers: str) -> aiohttp.ClientWebSocketResponse:
        """Open a connection; one is only opened when the server says so."""
        return await self.http.ws_connect(f"{self.url}/websocket/v1{path}", headers=headers, autoping=False)

    async def status(self, path: str = "", **headers: str) -> int:
        """Give how a handshake is answered."""
        try:
            socket = await self.connect(path, **headers)
        except aiohttp.WSServerHandshakeError as refusal:
            return refusal.status
        await socket.close()
        return 101

    def pass_s(self, seconds: float) -> None:
        self.mono_ns += int(seconds * 1e9)


@asynccontextmanager
async def sockets_in(folder: Path, *, idle_s: float = 60.0, up_every_s: float = 60.0) -> AsyncIterator[Sockets]:
    exchange = SimulatedExchange(small_recording(), seed=1)
    store = Store(folder / "account.sqlite", Decimal(0))
    made: list[Sockets] = []
    span_ms = (START_MS, START_MS + 60 * MINUTE_MS)
    clock = MarketClock(
        folder / "clock.json", START_MS, span_ms, 1.0, lambda: made[0].mono_ns if made else 10**12, is_stepped=False
    )
    hub = Hub(exchange, Desk(store, ExchangeQuotes(exchange)), clock, FaultBoard())
    api = WebSocketApi(hub, clock, Gatekeeper(ACCESS, SECRET), is_binary=True, idle_s=idle_s, up_every_s=up_every_s)

    async def answer(request: web.Request) -> web.StreamResponse:
        return await api.answer(request, is_private=request.path.endswith("/private"))

    app = web.Application()
    app.router.add_route("GET", "/{path:.*}", answer)
    try:
        async with TestServer(app) as server, aiohttp.ClientSession() as http:
            made.append(Sockets(hub, str(server.make_url("")).rstrip("/"), http))
            yield made[0]
    finally:
        store.close()


def token() -> str:
    return "Bearer " + jwt.encode({"access_key": ACCESS, "nonce": "n"}, SECRET, algorithm="HS256")


async def message(socket: aiohttp.ClientWebSocketResponse) -> Any:
    return json.loads((await socket.receive(DEADLINE_S)).data)


async def gone(hub: Hub) -> None:
    """Wait until the server has no connection any more."""
    async with asyncio.timeout(DEADLINE_S):
        while hub.subscribers:
            await asyncio.sleep(0.001)


async def test_ping_text_is_answered_again_and_again(tmp_path: Path) -> None:
    async with sockets_in(tmp_path, up_every_s=0.01) as sockets:
        socket = await sockets.connect()
        await socket.send_str("PING")
        answers = [await message(socket) for _ in range(5)]
        await socket.close()

    assert answers == [{"status": "UP"}] * 5


async def test_ping_text_is_answered_at_once_and_a_second_one_starts_no_second_row(tmp_path: Path) -> None:
    """In a text or a binary frame; every ten seconds is the exchange's interval."""
    async with sockets_in(tmp_path) as sockets:
        socket = await sockets.connect()
        await socket.send_bytes(b"PING")
        await socket.send_str("PING")
        await socket.send_json(LIST)
        answers = [await message(socket) for _ in range(2)]
        await socket.close()

    assert answers == [{"status": "UP"}, {"method": "LIST_SUBSCRIPTIONS", "result": [], "ticket": "t"}]
    assert UP_EVERY_S == 10.0


async def test_ping_frame_is_answered_by_a_pong_with_its_bytes(tmp_path: Path) -> None:
    async with sockets_in(tmp_path) as sockets:
        socket = await sockets.connect()
        await socket.ping(b"are you there")
        pong = await socket.receive(DEADLINE_S)
        await socket.close()

    assert (pong.type, pong.data) == (aiohttp.WSMsgType.PONG, b"are you there")


async def test_silent_connection_is_closed(tmp_path: Path) -> None:
    """No traffic either way; nobody keeps its place."""
    async with sockets_in(tmp_path, idle_s=0.05) as sockets:
        socket = await sockets.connect()
        ended = await socket.receive(DEADLINE_S)
        await socket.close()
        await gone(sockets.hub)

    assert ended.type is aiohttp.WSMsgType.CLOSE
    assert ended.data == aiohttp.WSCloseCode.OK


@pytest.mark.parametrize("traffic", ["ping frames", "messages", "answers"])
async def test_traffic_of_either_way_keeps_a_connection(tmp_path: Path, traffic: str) -> None:
    """It lives for longer than it may be idle, and is closed once it is."""
    async with sockets_in(tmp_path, idle_s=0.8, up_every_s=0.05) as sockets:
        socket = await sockets.connect()
        loop = asyncio.get_running_loop()
        start = loop.time()
        if traffic == "answers":
            await socket.send_str("PING")
        while loop.time() < start + 1.0:
            sockets.pass_s(1)
            if traffic == "ping frames":
                await socket.ping()
            elif traffic == "messages":
                await socket.send_json(LIST)
            kept = await socket.receive(DEADLINE_S)
            assert kept.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.PONG)
        ended = None if traffic == "answers" else await socket.receive(DEADLINE_S)
        await socket.close()

    assert ended is None or ended.type is aiohttp.WSMsgType.CLOSE


async def test_goodbye_of_a_client_is_answered(tmp_path: Path) -> None:
    async with sockets_in(tmp_path) as sockets:
        socket = await sockets.connect()
        await socket.close()
        await gone(sockets.hub)

    assert socket.close_code == aiohttp.WSCloseCode.OK


async def test_sixth_handshake_of_a_second_is_refused(tmp_path: Path) -> None:
    async with sockets_in(tmp_path) as sockets:
        first = [await sockets.status() for _ in range(6)]
        sockets.pass_s(1)
        later = await sockets.status()

    assert first == [101] * 5 + [429]
    assert later == 101


async def test_private_handshakes_are_counted_by_account_and_refused_ones_by_address(tmp_path: Path) -> None:
    """Source: Upbit developer centre, rate limits: per address without a key, per account with one."""
    async with sockets_in(tmp_path) as sockets:
        public = [await sockets.status() for _ in range(5)]
        private = [await sockets.status("/private", Authorization=token()) for _ in range(6)]
        strange = await sockets.status("/private", Authorization="Bearer nonsense")
        sockets.pass_s(1)
        again = await sockets.status("/private", Authorization="Bearer nonsense")

    assert public == [101] * 5
    assert private == [101] * 5 + [429]
    assert (strange, again) == (429, 401)


async def test_browser_connects_once_in_ten_seconds(tmp_path: Path) -> None:
    """Source: Upbit developer centre, questions about the API; private handshakes do not mind."""
    async with sockets_in(tmp_path) as sockets:
        first = [await sockets.status(Origin="https://example.com") for _ in range(2)]
        private = await sockets.status("/private", Origin="https://example.com", Authorization=token())
        sockets.pass_s(10)
        later = await sockets.status(Origin="https://example.com")

    assert first == [101, 429]
    assert (private, later) == (101, 101)


async def test_sixth_message_of_a_second_is_refused_and_the_subscription_stays(tmp_path: Path) -> None:
    """By connection: another one of the same client has its own five."""
    async with sockets_in(tmp_path) as sockets:
        socket, other = await sockets.connect(), await sockets.connect()
        await socket.send_json([{"ticket": "t"}, NOTHING])
        for _ in range(5):
            await socket.send_json(LIST)
        answers = [await message(socket) for _ in range(5)]
        await other.send_json(LIST)
        others = await message(other)
        sockets.pass_s(1)
        await socket.send_json(LIST)
        later = await message(socket)
        for one in (socket, other):
            await one.close()

    assert [one.get("method") for one in answers] == ["LIST_SUBSCRIPTIONS"] * 4 + [None]
    assert answers[-1]["error"]["name"] == "TOO_MANY_REQUEST"
    assert others["result"] == []
    assert later["result"] == [NOTHING]


async def test_hundred_and_first_message_of_a_minute_is_refused(tmp_path: Path) -> None:
    """Five a second are a hundred in twenty seconds; the next minute is a new one."""
    async with sockets_in(tmp_path) as sockets:
        sockets.pass_s(60 - sockets.mono_ns / 1e9 % 60)  # the minute begins
        socket = await sockets.connect()
        answers = []
        for number in range(101):
            await socket.send_json(LIST)
            answers.append(await message(socket))
            if number % 5 == 4:
                sockets.pass_s(1)
        sockets.pass_s(60)
        await socket.send_json(LIST)
        answers.append(await message(socket))
        await socket.close()

    assert [number for number, one in enumerate(answers) if "error" in one] == [100]


async def test_compression_is_offered_and_carries_the_same_messages(tmp_path: Path) -> None:
    async with running(config_in(tmp_path, start_ms=START_MS + 5 * MINUTE_MS)) as simulator:
        told = []
        for compress in (0, 15):
            socket = await simulator.http.ws_connect(simulator.url + "/websocket/v1", compress=compress)
            await socket.send_json(
                [{"ticket": "t"}, {"type": "ticker", "codes": ["KRW-BTC"], "is_only_snapshot": True}]
            )
            told.append((socket.compress, await message(socket)))
            await socket.close()

    assert told[0][0] == 0
    assert told[1][0] > 0
    assert told[0][1] == told[1][1]


async def test_plain_request_for_the_socket_is_refused(tmp_path: Path) -> None:
    async with sockets_in(tmp_path) as sockets, sockets.http.get(sockets.url + "/websocket/v1") as answer:
        assert answer.status == 400


async def test_message_that_is_too_long_ends_the_connection_alone(tmp_path: Path) -> None:
    async with sockets_in(tmp_path) as sockets:
        socket, other = await sockets.connect(), await sockets.connect()
        await socket.send_str("[" + " " * (1 << 21))
        ended = await socket.receive(DEADLINE_S)
        await other.send_json(LIST)
        answer = await message(other)
        for one in (socket, other):
            await one.close()

    assert (ended.type, ended.data) == (aiohttp.WSMsgType.CLOSE, aiohttp.WSCloseCode.MESSAGE_TOO_BIG)
    assert answer["result"] == []


async def test_nobody_waits_for_the_queue_of_a_client_that_left(tmp_path: Path) -> None:
    """A step of the market waits until all was written out; what a dead client did not take is not waited for."""
    async with sockets_in(tmp_path) as sockets:
        gone_by = sockets.hub.subscriber("dead", lambda: None)
        gone_by.offer(Outgoing(b"{}", "trade", "KRW-BTC"))
        flushed = asyncio.create_task(sockets.hub.flush(DEADLINE_S))
        await asyncio.sleep(0)
        sockets.hub.remove(gone_by)
        await asyncio.wait_for(flushed, DEADLINE_S / 10)
