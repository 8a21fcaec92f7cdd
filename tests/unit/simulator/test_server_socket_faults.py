"""Faults of the sockets: what a client sees of each, and that nothing is lost that is not meant to be."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from running_simulator import DEADLINE_S, MINUTE_MS, START_MS, Simulator, config_in, running

from tickloop.simulator.faultboard import KINDS, Fault, FaultBoard
from tickloop.simulator.socket_faults import Distortion, Outgoing

TRADES = {"type": "trade", "codes": ["KRW-BTC"], "is_only_realtime": True}


async def told(simulator: Simulator, wanted: int, /, **fault: Any) -> tuple[list[Any], list[dict[str, Any]]]:
    """Order a fault, follow the trades of KRW-BTC, and give the first messages beside the truth."""
    socket = await simulator.subscribe(TRADES)
    await simulator.until(lambda status: status["subscribers"][0]["types"] == ["trade"])
    async with simulator.http.post(simulator.url + "/control/faults", json=fault) as answer:
        assert answer.status == 200, await answer.text()
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
    """No message, no pong; another client's connection goes on."""
    async with running(config_in(tmp_path)) as simulator:
        mute = await simulator.subscribe(TRADES)
        other = await simulator.http.ws_connect(simulator.url + "/websocket/v1", headers={"User-Agent": "other/1"})
        await other.send_json([{"ticket": "t"}, TRADES])
        await simulator.until(lambda status: sum(one["types"] == ["trade"] for one in status["subscribers"]) == 2)
        fault = {"kind": "half_open", "user_agent": "test/1"}
        async with simulator.http.post(simulator.url + "/control/faults", json=fault) as answer:
            assert answer.status == 200
        await simulator.clock(run=True)
        heard = [(await other.receive(DEADLINE_S)).type for _ in range(3)]
        with pytest.raises(TimeoutError):
            await mute.receive(0.1)

        assert heard == [aiohttp.WSMsgType.BINARY] * 3
        assert not mute.closed


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


MESSAGES = [Outgoing(str(number).encode(), kind, code) for number in range(30) for kind, code in [("trade", "KRW-BTC")]]
DISTORTING = ("stall", "duplicate", "reorder", "late")


@given(
    st.lists(
        st.builds(
            lambda kind, count, skip, for_ms: Fault(kind=kind, count=count, skip=skip, for_ms=for_ms),
            st.sampled_from(DISTORTING),
            st.integers(1, 10),
            st.integers(0, 5),
            st.integers(0, 50),
        ),
        max_size=5,
    )
)
def test_every_message_comes_out_whatever_is_ordered(faults: list[Fault]) -> None:
    """At least once, given time and one more message of its kind; in order and once without a fault."""
    distortion = Distortion(FaultBoard(faults), "")
    out = [frame for number, one in enumerate(MESSAGES) for frame in distortion.take(one, number)]
    for more in range(40):  # whatever is still held for a place in the order follows the next messages
        out += distortion.take(Outgoing(b"more", "trade", "KRW-BTC"), 1_000 + 100 * more)
    out += distortion.release(1_000_000)

    assert {frame.data for frame in out} >= {one.data for one in MESSAGES}
    if not faults:
        assert [frame.data for frame in out[: len(MESSAGES)]] == [one.data for one in MESSAGES]


def test_board_counts_skips_filters_and_forgets() -> None:
    board = FaultBoard([Fault(kind="server_error", path="/v1/orders", count=2, skip=1)])

    assert board.strike("server_error", path="/v1/ticker") is None
    struck = [board.strike("server_error", path="/v1/orders/open") is not None for _ in range(6)]
    assert struck == [False, True, False, True, False, False]
    assert board.listing()[0]["struck"] == 2
    number = board.add(Fault(kind="maintenance", for_ms=1_000), 5_000)
    assert board.holds("maintenance", 5_999) is not None
    assert board.holds("maintenance", 6_000) is None
    assert board.clear(number) == 1
    assert board.clear() == 1
    assert board.listing() == []


def test_every_kind_can_be_ordered() -> None:
    assert [Fault(kind=kind).kind for kind in KINDS] == list(KINDS)  # type: ignore[arg-type]
