"""Candle streams and book levels against REST, and what keeps a connection alive."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from running_simulator import DEADLINE_S, MINUTE_MS, START_MS, Simulator, config_in, running

SNAPSHOT = {"type": "ticker", "codes": ["KRW-BTC"], "is_only_snapshot": True}


async def message(socket: aiohttp.ClientWebSocketResponse) -> Any:
    return json.loads((await socket.receive(DEADLINE_S)).data)


async def candles(simulator: Simulator, path: str, **query: Any) -> dict[str, Any]:
    _, rows = await simulator.get(f"/v1/candles/{path}", market="KRW-BTC", **query)
    return {row["candle_date_time_utc"]: row for row in rows}


@pytest.mark.parametrize(("kind", "path"), [("candle.1s", "seconds"), ("candle.1m", "minutes/1")])
async def test_last_message_of_a_candle_is_the_candle_of_rest(tmp_path: Path, kind: str, path: str) -> None:
    """A snapshot first; then at most one message a second, and the last of each start is what REST says."""
    async with running(config_in(tmp_path, start_ms=START_MS + 5 * MINUTE_MS, speed=200.0)) as simulator:
        socket = await simulator.subscribe({"type": kind, "codes": ["KRW-BTC"]})
        first = await message(socket)
        await simulator.clock(run=True)
        told = [first]
        while told[-1]["timestamp"] < START_MS + 8 * MINUTE_MS:
            told.append(await message(socket))
        await simulator.clock(run=False)
        rest = await candles(simulator, path, count=200)
        await socket.close()

    last = {one["candle_date_time_utc"]: one for one in told}
    whole = sorted(last)[1:-1]  # the first was begun before, the last may go on
    assert first["stream_type"] == "SNAPSHOT"
    assert {one["stream_type"] for one in told[1:]} == {"REALTIME"}
    assert whole
    for start in whole:
        fields = ("opening_price", "high_price", "low_price", "trade_price", "candle_acc_trade_volume")
        assert [last[start][name] for name in fields] == [rest[start][name] for name in fields], start
    times = [one["timestamp"] for one in told[1:]]
    assert all(later - earlier >= 1_000 for earlier, later in pairwise(times))


async def test_levelled_book_is_that_of_rest_and_an_unknown_level_says_nothing(tmp_path: Path) -> None:
    async with running(config_in(tmp_path, start_ms=START_MS + 5 * MINUTE_MS)) as simulator:
        parts = [
            {"type": "orderbook", "codes": ["KRW-BTC.5"], "level": 10_000},
            {"type": "orderbook", "codes": ["KRW-ETH"], "level": 3},
            {"type": "ticker", "codes": ["KRW-ETH"], "is_only_snapshot": True},
        ]
        socket = await simulator.subscribe(*parts)
        told = [await message(socket) for _ in range(2)]
        _, books = await simulator.get("/v1/orderbook", markets="KRW-BTC", level="10000", count=5)
        await socket.close()

    assert [one["type"] for one in told] == ["orderbook", "ticker"]
    assert told[0]["orderbook_units"] == books[0]["orderbook_units"]
    assert (told[0]["level"], told[0]["code"]) == (10_000, "KRW-BTC")
    assert all(unit["ask_price"] % 10_000 == 0 for unit in told[0]["orderbook_units"])


async def test_silent_connection_is_closed_and_one_that_pings_is_not(tmp_path: Path) -> None:
    async with running(config_in(tmp_path, idle_s=0.3)) as simulator:
        silent = await simulator.subscribe({"type": "trade", "codes": ["KRW-NONE"]})
        ended = await silent.receive(DEADLINE_S)
        alive = await simulator.subscribe({"type": "trade", "codes": ["KRW-NONE"]})
        answers = []
        for _ in range(3):
            await alive.ping()
            await alive.send_str("PING")
            answers.append(await message(alive)) if not answers else None
        await alive.close()

    assert ended.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
    assert answers == [{"status": "UP"}]


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


async def test_sixth_handshake_and_sixth_message_of_a_second_are_refused(tmp_path: Path) -> None:
    """Limits are counted in market seconds; this market's pass too slowly to help."""
    async with running(config_in(tmp_path, speed=0.001)) as simulator:
        sockets = [await simulator.subscribe({"type": "trade", "codes": ["KRW-BTC"]}) for _ in range(5)]
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await simulator.subscribe({"type": "trade", "codes": ["KRW-BTC"]})
        for _ in range(5):
            await sockets[0].send_json(
                [{"ticket": "t"}, {"type": "trade", "codes": ["KRW-NONE"], "is_only_realtime": True}]
            )
        answer = await message(sockets[0])
        for socket in sockets:
            await socket.close()

    assert refusal.value.status == 429
    assert answer["error"]["name"] == "TOO_MANY_REQUEST"
