"""The WebSocket and the control of the clock, over a loopback port."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
from running_simulator import DEADLINE_S, MINUTE_MS, START_MS, config_in, running, small_recording

from tickloop.simulator.faults.board import FaultBoard
from tickloop.simulator.faults.on_sockets import Distortion, Outgoing
from tickloop.simulator.prices.exchange import SimulatedExchange
from tickloop.simulator.protocol.subscriber import Subscriber

TRADES = {"type": "trade", "codes": ["KRW-BTC", "KRW-ETH", "KRW-NONE"], "is_only_realtime": True}


def made(market: str, after_ms: int, until_ms: int) -> list[tuple[int, int, float, int]]:
    """Give (trade_id, ts, price, qty_e8) of the trades that the stream must tell in `(after_ms, until_ms]`."""
    exchange = SimulatedExchange(small_recording(), config_in(Path()).seed)
    events = exchange.market(market).stream_between(after_ms, until_ms)
    return [(event.trade_id, event.ts_ms, event.price, event.qty_e8) for event in events]


async def read(socket: aiohttp.ClientWebSocketResponse, count: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(DEADLINE_S):
        return [json.loads((await socket.receive()).data) for _ in range(count)]


def trades_in(frames: list[dict[str, Any]], market: str) -> list[tuple[int, int, float, int]]:
    return [
        (frame["sequential_id"], frame["trade_timestamp"], frame["trade_price"], round(frame["trade_volume"] * 1e8))
        for frame in frames
        if frame["type"] == "trade" and frame["code"] == market
    ]


async def test_frames_of_a_minute_are_the_made_trades_and_a_hold_loses_none(tmp_path: Path) -> None:
    """Every trade up to the held time arrives, in order, none later; REST shows nothing later either."""
    async with running(config_in(tmp_path)) as simulator:
        socket = await simulator.subscribe(TRADES)
        await simulator.until(lambda status: bool(status["subscribers"][0]["types"]))
        held = []
        received: list[dict[str, Any]] = []
        for minute in (1, 2, 3):
            await simulator.clock(run=True)
            await simulator.until(lambda status, m=minute: status["market_ms"] >= START_MS + m * MINUTE_MS)
            held.append(await simulator.clock(run=False))
            due = sum(len(made(market, START_MS, held[-1])) for market in ("KRW-BTC", "KRW-ETH"))
            received += await read(socket, due - len(received))
        _, [newest] = await simulator.get("/v1/trades/ticks", market="KRW-BTC")
        status = await simulator.until(lambda status: True)

    assert trades_in(received, "KRW-BTC") == made("KRW-BTC", START_MS, held[-1])
    assert trades_in(received, "KRW-ETH") == made("KRW-ETH", START_MS, held[-1])
    assert [frame["trade_timestamp"] for frame in received] == sorted(frame["trade_timestamp"] for frame in received)
    assert newest["sequential_id"] == received_last(received, "KRW-BTC")
    assert sum(status["frames_sent"]["trade"].values()) == len(received)
    assert status["subscribers"][0]["user_agent"] == "test/1"
    assert status["subscribers"][0]["ticket"] == "t"


def received_last(frames: list[dict[str, Any]], market: str) -> int:
    return trades_in(frames, market)[-1][0]


async def test_stop_writes_out_what_is_due_before_the_socket_closes(tmp_path: Path) -> None:
    """A client that reads on until the close has every trade up to the held time."""
    async with running(config_in(tmp_path)) as simulator:
        socket = await simulator.subscribe(TRADES)
        await simulator.until(lambda status: bool(status["subscribers"][0]["types"]))
        await simulator.clock(run=True)
        await simulator.until(lambda status: status["market_ms"] >= START_MS + 5 * MINUTE_MS)
        simulator.stop.set()
        frames = [json.loads(message.data) async for message in socket]
        closed = socket.close_code
    async with running(config_in(tmp_path)) as simulator:
        _, clock = await simulator.get("/control/clock")

    assert closed == 1001
    assert trades_in(frames, "KRW-BTC") == made("KRW-BTC", START_MS, clock["market_ms"])


async def test_snapshots_come_first_and_a_new_request_replaces_the_old(tmp_path: Path) -> None:
    """One snapshot per type and market, in the order asked for; unknown markets are ignored; flags are obeyed."""
    kinds = [{"type": kind, "codes": ["KRW-BTC", "KRW-NONE"]} for kind in ("trade", "ticker", "orderbook")]
    async with running(config_in(tmp_path, start_ms=START_MS + 5 * MINUTE_MS)) as simulator:
        socket = await simulator.subscribe(*kinds)
        first = await read(socket, 3)
        await socket.send_json([{"ticket": "u"}, {"type": "orderbook", "codes": ["KRW-ETH.5"]}, {"format": "SIMPLE"}])
        [second] = await read(socket, 1)
        await simulator.clock(run=True)
        realtime = await read(socket, 3)

    assert [(frame["type"], frame["code"], frame["stream_type"]) for frame in first] == [
        ("trade", "KRW-BTC", "SNAPSHOT"),
        ("ticker", "KRW-BTC", "SNAPSHOT"),
        ("orderbook", "KRW-BTC", "SNAPSHOT"),
    ]
    assert len(first[2]["orderbook_units"]) == 30
    assert (second["ty"], second["cd"], second["st"], len(second["obu"])) == ("orderbook", "KRW-ETH", "SNAPSHOT", 5)
    assert {(frame["ty"], frame["cd"], frame["st"]) for frame in realtime} == {("orderbook", "KRW-ETH", "REALTIME")}
    assert len({frame["tms"] // 1000 for frame in realtime}) == 3


async def test_protocol_answers_and_errors(tmp_path: Path) -> None:
    """Errors leave the socket open; PING and protocol pings are answered; the subscriptions can be listed."""
    async with running(config_in(tmp_path)) as simulator:
        socket = await simulator.subscribe({"type": "trade"})
        [error] = await read(socket, 1)
        await socket.send_str("PING")
        [up] = await read(socket, 1)
        await socket.ping(b"x")
        await socket.send_json([{"ticket": "t"}, {"type": "ticker", "codes": ["KRW-BTC"], "is_only_realtime": True}])
        await socket.send_json([{"ticket": "t"}, {"method": "LIST_SUBSCRIPTIONS"}])
        [listed] = await read(socket, 1)

    assert error == {"error": {"name": "NO_CODES", "message": "The type has no codes."}}
    assert up == {"status": "UP"}
    assert listed == {
        "method": "LIST_SUBSCRIPTIONS",
        "result": [{"type": "ticker", "codes": ["KRW-BTC"]}],
        "ticket": "t",
    }


async def test_frames_are_binary_unless_switched_to_text(tmp_path: Path) -> None:
    """Live sends binary; the switch is for clients that want text."""
    kinds = []
    for is_binary in (True, False):
        config = config_in(tmp_path / str(is_binary), start_ms=START_MS + MINUTE_MS, binary_frames=is_binary)
        async with running(config) as simulator:
            socket = await simulator.subscribe({"type": "trade", "codes": ["KRW-BTC"]})
            kinds.append((await socket.receive(DEADLINE_S)).type)

    assert kinds == [aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT]


async def test_drop_closes_every_socket_at_once(tmp_path: Path) -> None:
    """For tests of reconnecting: the client sees a broken connection, the server forgets it."""
    async with running(config_in(tmp_path)) as simulator:
        sockets = [await simulator.subscribe(TRADES) for _ in range(2)]
        await simulator.until(lambda status: len(status["subscribers"]) == 2)
        async with simulator.http.post(simulator.url + "/control/drop") as answer:
            dropped = await answer.json()
        ends = [(await socket.receive(DEADLINE_S)).type for socket in sockets]
        await simulator.until(lambda status: not status["subscribers"])

    assert dropped == {"dropped": 2}
    assert all(end in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR) for end in ends)


async def test_stream_says_where_the_recording_of_a_market_ends(tmp_path: Path) -> None:
    """One ticker that the market trades no more, so that its silence is no gap; the other market goes on."""
    tickers = {"type": "ticker", "codes": ["KRW-BTC", "KRW-ETH"], "is_only_realtime": True}
    async with running(config_in(tmp_path, start_ms=START_MS + 38 * MINUTE_MS, speed=2000.0)) as simulator:
        socket = await simulator.subscribe(tickers)
        await simulator.until(lambda status: bool(status["subscribers"]))
        await simulator.clock(run=True)
        frames: list[dict[str, Any]] = []
        while not frames or (frames[-1]["code"], frames[-1]["market_state"]) != ("KRW-BTC", "DELISTED"):
            frames.append(json.loads((await socket.receive(DEADLINE_S)).data))

    ends = [(frame["code"], frame["timestamp"]) for frame in frames if frame["market_state"] == "DELISTED"]
    assert ends == [("KRW-ETH", START_MS + 40 * MINUTE_MS), ("KRW-BTC", START_MS + 60 * MINUTE_MS)]


async def test_clock_stops_where_the_last_recording_ends(tmp_path: Path) -> None:
    """The shorter market ends earlier and says so; afterwards orders are refused as for a market off line."""
    async with running(config_in(tmp_path, start_ms=START_MS + 58 * MINUTE_MS, speed=2000.0)) as simulator:
        _, before = await simulator.get("/control/status")
        await simulator.clock(run=True)
        status = await simulator.until(lambda status: status["is_ended"] and not status["is_running"])
        order = {"market": "KRW-BTC", "side": "bid", "ord_type": "price", "price": "50000"}
        code, refused = await simulator.signed("POST", "/v1/orders", order)

    assert [before["markets"][market]["is_ended"] for market in ("KRW-BTC", "KRW-ETH")] == [False, True]
    assert status["market_ms"] == status["markets"]["KRW-BTC"]["end_ms"] == START_MS + 60 * MINUTE_MS
    assert (code, refused["error"]["name"]) == (403, "market_offline")


def test_client_that_does_not_read_is_disconnected_when_its_queue_is_full() -> None:
    """It gets an end that it notices, not a stream with holes."""
    ends: list[str] = []
    calm = Distortion(FaultBoard(), "slow/1")
    slow = Subscriber("slow/1", lambda: ends.append("dropped"), calm, queue=asyncio.Queue(2))

    for number in range(4):
        slow.offer(Outgoing(str(number).encode(), "trade", "KRW-BTC"))

    assert (ends, slow.queue.qsize()) == (["dropped"], 2)
