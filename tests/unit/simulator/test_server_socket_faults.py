"""Faults of the sockets: what a client sees of each, and that nothing is lost that is not meant to be."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from running_simulator import DEADLINE_S, MINUTE_MS, START_MS, Simulator, config_in, running

TRADES = {"type": "trade", "codes": ["KRW-BTC"], "is_only_realtime": True}


async def order(simulator: Simulator, **fault: Any) -> None:
    async with simulator.http.post(simulator.url + "/control/faults", json=fault) as answer:
        assert answer.status == 200, await answer.text()


async def opened(simulator: Simulator, program: str, *parts: dict[str, Any]) -> aiohttp.ClientWebSocketResponse:
    """Connect as a program and subscribe; its subscription stands when this returns."""
    socket = await simulator.http.ws_connect(
        simulator.url + "/websocket/v1", headers={"User-Agent": program}, autoping=False
    )
    await socket.send_json([{"ticket": program}, *parts])
    await simulator.until(lambda status: program in {one["ticket"] for one in status["subscribers"]})
    return socket


async def message(socket: aiohttp.ClientWebSocketResponse) -> Any:
    received = await socket.receive(DEADLINE_S)
    assert received.type is aiohttp.WSMsgType.BINARY, received
    return json.loads(received.data)


async def told(simulator: Simulator, wanted: int, /, **fault: Any) -> tuple[list[Any], list[dict[str, Any]]]:
    """Order a fault, follow the trades of KRW-BTC, and give the first messages beside the truth."""
    socket = await simulator.subscribe(TRADES)
    await simulator.until(lambda status: status["subscribers"][0]["types"] == ["trade"])
    await order(simulator, **fault)
    await simulator.clock(run=True)
    received: list[Any] = []
    async with asyncio.timeout(DEADLINE_S):
        while len(received) < wanted:
            message = await socket.receive()
            if message.type is not aiohttp.WSMsgType.BINARY:
                received.append(message.type)
                break
            try:
                received.append(json.loads(message.data))
            except ValueError:
                received.append(message.data)
    await simulator.clock(run=False)
    end = START_MS + 60 * MINUTE_MS
    _, tape = await simulator.get("/control/tape", market="KRW-BTC", start=START_MS, end=end)
    return received, [row for row in tape["trades"] if row["ts"] > START_MS]


def ids(messages: list[Any]) -> list[int]:
    return [one["sequential_id"] for one in messages if isinstance(one, dict)]


async def test_duplicate_comes_twice_in_a_row(tmp_path: Path) -> None:
    async with running(config_in(tmp_path)) as simulator:
        messages, tape = await told(simulator, 6, kind="duplicate", count=2, skip=1)

    first = [row["id"] for row in tape[:4]]
    assert ids(messages) == [first[0], first[1], first[1], first[2], first[3], first[3]]


async def test_reordered_message_changes_places_with_the_next(tmp_path: Path) -> None:
    async with running(config_in(tmp_path)) as simulator:
        messages, tape = await told(simulator, 4, kind="reorder")

    assert ids(messages) == [tape[number]["id"] for number in (1, 0, 2, 3)]


async def test_late_message_comes_after_its_time_and_later_ones_do_not_wait(tmp_path: Path) -> None:
    async with running(config_in(tmp_path)) as simulator:
        messages, tape = await told(simulator, 40, kind="late", for_ms=20_000)

    late = ids(messages).index(tape[0]["id"])
    assert late > 0
    assert messages[late - 1]["trade_timestamp"] <= tape[0]["ts"] + 20_000
    assert messages[late + 1]["trade_timestamp"] >= tape[0]["ts"] + 20_000
    assert sorted(ids(messages)) == sorted(row["id"] for row in tape[:40])


async def test_stall_holds_everything_back_and_gives_it_in_order(tmp_path: Path) -> None:
    async with running(config_in(tmp_path)) as simulator:
        messages, tape = await told(simulator, 30, kind="stall", for_ms=30_000)

    assert ids(messages) == [row["id"] for row in tape[:30]]


async def test_corrupt_message_is_no_text(tmp_path: Path) -> None:
    async with running(config_in(tmp_path)) as simulator:
        messages, tape = await told(simulator, 3, kind="corrupt", skip=1)

    assert isinstance(messages[1], bytes)
    with pytest.raises(UnicodeDecodeError):
        messages[1].decode()
    assert ids(messages) == [tape[0]["id"], tape[2]["id"]]


async def test_gap_is_not_told_and_rest_has_it_unless_it_refuses(tmp_path: Path) -> None:
    for is_refused in (False, True):
        async with running(config_in(tmp_path / str(is_refused))) as simulator:
            gap = {"kind": "gap", "market": "KRW-BTC", "for_ms": 30_000, "is_refused_by_rest": is_refused}
            messages, tape = await told(simulator, 5, **gap)
            _, page = await simulator.get("/v1/trades/ticks", market="KRW-BTC", count=500)

        inside = {row["id"] for row in tape if row["ts"] <= START_MS + 30_000}
        assert inside
        assert not inside & set(ids(messages))
        assert bool(inside & {row["sequential_id"] for row in page}) is not is_refused
        assert {row["id"] for row in tape if not row["told"]} == inside


async def test_gap_that_closes_and_drop_end_the_connection(tmp_path: Path) -> None:
    for number, fault in enumerate(({"kind": "drop"}, {"kind": "gap", "for_ms": 1_000, "closes": True})):
        async with running(config_in(tmp_path / str(number))) as simulator:
            messages, _ = await told(simulator, 1, **fault)

        assert messages[0] in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR, aiohttp.WSMsgType.CLOSE)


async def test_skewed_clock_moves_the_time_of_sending_alone(tmp_path: Path) -> None:
    async with running(config_in(tmp_path)) as simulator:
        messages, tape = await told(simulator, 2, kind="clock_skew", offset_ms=-7_000)
        async with simulator.http.get(simulator.url + "/v1/market/all") as answer:
            date = answer.headers["Date"]

    assert [one["trade_timestamp"] for one in messages] == [row["ts"] for row in tape[:2]]
    assert [one["timestamp"] - one["trade_timestamp"] for one in messages] == [-7_000, -7_000]
    assert date.startswith("Wed, 04 Mar 2026 0")


async def test_half_open_connection_stays_and_says_nothing_more(tmp_path: Path) -> None:
    """No message, no `UP`, no pong, no goodbye, and it is not idle either; another client's connection goes on."""
    async with running(config_in(tmp_path, idle_s=0.5)) as simulator:
        mute = await opened(simulator, "mute", TRADES)
        other = await opened(simulator, "other", TRADES)
        await order(simulator, kind="half_open", user_agent="mute")
        await mute.ping(b"?")
        await mute.send_str("PING")
        await other.ping(b"?")
        pong = await other.receive(DEADLINE_S)
        await simulator.clock(run=True)
        heard = [(await other.receive(DEADLINE_S)).type for _ in range(3)]
        with pytest.raises(TimeoutError):
            await mute.receive(0.6)
        subscribed = (await simulator.until(lambda _: True))["subscribers"]

        assert pong.type is aiohttp.WSMsgType.PONG
        assert heard == [aiohttp.WSMsgType.BINARY] * 3
        assert "mute" in {one["user_agent"] for one in subscribed}
        assert not mute.closed


async def test_half_open_connection_does_not_answer_a_goodbye_and_is_forgotten_when_its_client_leaves(
    tmp_path: Path,
) -> None:
    """A client that waits for the answer must have a deadline of its own, as with a dead host."""
    async with running(config_in(tmp_path)) as simulator:
        mute = await simulator.http.ws_connect(
            simulator.url + "/websocket/v1", timeout=aiohttp.ClientWSTimeout(ws_close=0.1)
        )
        await simulator.until(lambda status: len(status["subscribers"]) == 1)
        await order(simulator, kind="half_open")
        await mute.close()
        await simulator.until(lambda status: not status["subscribers"])

        assert mute.close_code == aiohttp.WSCloseCode.ABNORMAL_CLOSURE


async def test_maintenance_closes_sockets_refuses_handshakes_and_orders_and_ends(tmp_path: Path) -> None:
    async with running(config_in(tmp_path, start_ms=START_MS + MINUTE_MS)) as simulator:
        socket = await simulator.subscribe(TRADES)
        fault = {"kind": "maintenance", "for_ms": 60_000}
        async with simulator.http.post(simulator.url + "/control/faults", json=fault) as answer:
            assert answer.status == 200
        ended = await socket.receive(DEADLINE_S)
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await simulator.subscribe(TRADES)
        code, order = await simulator.signed("GET", "/v1/orders/open")
        public, _ = await simulator.get("/v1/market/all")
        await simulator.clock(run=True)
        await simulator.until(lambda status: status["market_ms"] > START_MS + 3 * MINUTE_MS)
        again = await simulator.subscribe(TRADES)
        await again.close()

        assert ended.type is not aiohttp.WSMsgType.BINARY
        assert refusal.value.status == 503
        assert (code, order["error"]["name"], public) == (403, "market_offline", 200)


async def test_maintenance_of_one_program_leaves_the_others_alone(tmp_path: Path) -> None:
    async with running(config_in(tmp_path, start_ms=START_MS + MINUTE_MS)) as simulator:
        closed, alive = await opened(simulator, "bot", TRADES), await opened(simulator, "collector", TRADES)
        await order(simulator, kind="maintenance", user_agent="bot")
        ended = await closed.receive(DEADLINE_S)
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await opened(simulator, "bot", TRADES)
        again = await opened(simulator, "collector/2", TRADES)
        await simulator.clock(run=True)
        heard = [(await socket.receive(DEADLINE_S)).type for socket in (alive, again)]

    assert ended.type is not aiohttp.WSMsgType.BINARY
    assert refusal.value.status == 503
    assert heard == [aiohttp.WSMsgType.BINARY] * 2


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "drop", "market": "KRW-ETH"},
        {"kind": "drop", "type": "ticker"},
        {"kind": "drop", "user_agent": "hit"},
        {"kind": "gap", "for_ms": 1_000, "closes": True, "market": "KRW-ETH"},
    ],
)
async def test_break_is_of_the_connections_that_its_filter_names(tmp_path: Path, fault: dict[str, Any]) -> None:
    async with running(config_in(tmp_path)) as simulator:
        hit = await opened(simulator, "hit", {**TRADES, "codes": ["KRW-ETH"]}, {**TRADES, "type": "ticker"})
        spared = await opened(simulator, "spared", TRADES)
        await order(simulator, **fault)
        ended = await hit.receive(DEADLINE_S)
        await simulator.until(lambda status: [one["user_agent"] for one in status["subscribers"]] == ["spared"])
        await simulator.clock(run=True)
        first = await message(spared)
        _, board = await simulator.get("/control/faults")

    assert ended.type is not aiohttp.WSMsgType.BINARY
    assert first["type"] == "trade"
    assert board["faults"][0]["struck"] == 1


@pytest.mark.parametrize(
    ("fault", "doubled"),
    [
        ({"market": "KRW-ETH"}, {("trade", "KRW-ETH"), ("ticker", "KRW-ETH")}),
        ({"type": "ticker"}, {("ticker", "KRW-BTC"), ("ticker", "KRW-ETH")}),
        ({"type": "trade", "market": "KRW-BTC", "user_agent": "doubled"}, {("trade", "KRW-BTC")}),
        ({"user_agent": "somebody"}, set()),
    ],
)
async def test_distortion_is_of_the_messages_that_its_filter_names(
    tmp_path: Path, fault: dict[str, Any], doubled: set[tuple[str, str]]
) -> None:
    markets = {"codes": ["KRW-BTC", "KRW-ETH"], "is_only_realtime": True}
    async with running(config_in(tmp_path)) as simulator:
        socket = await opened(simulator, "doubled", {"type": "trade", **markets}, {"type": "ticker", **markets})
        await order(simulator, kind="duplicate", count=0, **fault)
        await simulator.clock(run=True)
        messages = [await message(socket) for _ in range(60)]

    twice = {(one["type"], one["code"]) for one, after in pairwise(messages) if one == after}
    assert {(one["type"], one["code"]) for one in messages} >= doubled
    assert twice == doubled


async def test_stall_lets_answers_through_and_keeps_the_snapshot_of_a_new_request_until_its_end(
    tmp_path: Path,
) -> None:
    """The connection lives, only its data do not come: what a client must find out by itself."""
    async with running(config_in(tmp_path, start_ms=START_MS + MINUTE_MS)) as simulator:
        socket = await opened(simulator, "stalled", TRADES)
        await order(simulator, kind="stall")
        await simulator.clock(run=True)
        await simulator.until(lambda status: status["market_ms"] > START_MS + 2 * MINUTE_MS)
        await simulator.clock(run=False)
        await socket.send_json([{"ticket": "u"}, {**TRADES, "is_only_realtime": False}])
        await socket.send_str("PING")
        up = await message(socket)
        async with simulator.http.delete(simulator.url + "/control/faults") as answer:
            assert (await answer.json())["cleared"] == 1
        await simulator.clock(run=True)
        messages = [await message(socket)]
        while messages[-1]["stream_type"] != "SNAPSHOT":
            messages.append(await message(socket))
        messages.append(await message(socket))

    times = [one["trade_timestamp"] for one in messages]
    assert up == {"status": "UP"}
    assert len(messages) > 3
    assert times == sorted(times)
    assert times[-3] == times[-2] < times[-1]  # the snapshot tells the last trade before it once more


async def test_corrupt_text_frame_is_no_json_and_the_next_one_comes(tmp_path: Path) -> None:
    """Text cannot carry bytes that are no UTF-8, so there the damage has another face."""
    async with running(config_in(tmp_path, binary_frames=False)) as simulator:
        socket = await opened(simulator, "text", TRADES)
        await order(simulator, kind="corrupt", skip=1)
        await simulator.clock(run=True)
        messages = [await socket.receive(DEADLINE_S) for _ in range(3)]

    assert [one.type for one in messages] == [aiohttp.WSMsgType.TEXT] * 3
    assert [json.loads(messages[number].data)["type"] for number in (0, 2)] == ["trade", "trade"]
    with pytest.raises(ValueError, match=r"Expecting|Unterminated|Invalid"):
        json.loads(messages[1].data)


async def test_skewed_clock_moves_every_kind_of_message_of_whom_it_concerns(tmp_path: Path) -> None:
    """Snapshots, books and candles as well; another program's, and the times of the market, stay right."""
    kinds = ("trade", "ticker", "orderbook", "candle.1s")
    parts = [{"type": kind, "codes": ["KRW-BTC"], "is_only_snapshot": True} for kind in kinds]
    async with running(config_in(tmp_path, start_ms=START_MS + MINUTE_MS)) as simulator:
        right = await opened(simulator, "right", *parts)
        await order(simulator, kind="clock_skew", offset_ms=60_000, user_agent="wrong")
        wrong = await opened(simulator, "wrong", *parts)
        pairs = [(await message(right), await message(wrong)) for _ in kinds]

    assert [one["type"] for one, _ in pairs] == list(kinds)
    for one, other in pairs:
        assert other == {**one, "timestamp": one["timestamp"] + 60_000}


async def test_refused_gap_leaves_the_candle_whole(tmp_path: Path) -> None:
    """What neither stream nor REST tells of trade by trade is in the exchange's own candle."""
    async with running(config_in(tmp_path)) as simulator:
        messages, tape = await told(simulator, 2, kind="gap", market="KRW-BTC", for_ms=90_000, is_refused_by_rest=True)
        await simulator.clock(run=True)
        await simulator.until(lambda status: status["market_ms"] > START_MS + 2 * MINUTE_MS)
        await simulator.clock(run=False)
        _, [candle] = await simulator.get("/v1/candles/minutes/1", market="KRW-BTC", to="2026-03-04T05:01:00Z", count=1)

    first = [row for row in tape if row["ts"] < START_MS + MINUTE_MS]
    assert {row["refused"] for row in first if row["ts"] <= START_MS + 90_000} == {True}
    assert min(one["trade_timestamp"] for one in messages) > START_MS + 90_000
    assert candle["candle_acc_trade_volume"] == 0.5  # of the recording's first minute
