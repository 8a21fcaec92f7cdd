"""The stepped clock from outside: time stands, goes on event by event, waits for programs under test, and repeats."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from running_simulator import DEADLINE_S, MINUTE_MS, START_MS, Simulator, config_in, running

from tickloop.simulator.account.state import Counts
from tickloop.simulator.config import SimulatorConfig
from tickloop.simulator.control.stepping import ids_of

NAME = "test/1"
"""The User-Agent of `Simulator.subscribe`."""

TRADES = {"type": "trade", "codes": ["KRW-BTC"]}


def stepped(folder: Path, **changes: Any) -> SimulatorConfig:
    return config_in(folder, is_stepped=True, **changes)


async def post(simulator: Simulator, path: str, **body: Any) -> tuple[int, Any]:
    async with simulator.http.post(simulator.url + path, json=body) as answer:
        return answer.status, await answer.json()


async def step(simulator: Simulator, **body: int) -> int:
    """Go on, and give the market time from the start."""
    code, answer = await post(simulator, "/control/step", **body)
    assert code == 200, answer
    return int(answer["market_ms"]) - START_MS


async def trades_of(simulator: Simulator, market: str, end_ms: int) -> list[int]:
    code, answer = await simulator.get("/control/tape", market=market, start=START_MS, end=START_MS + end_ms)
    assert code == 200, answer
    return [trade["ts"] - START_MS for trade in answer["trades"]]


async def take(socket: aiohttp.ClientWebSocketResponse) -> dict[str, Any]:
    message = await socket.receive(DEADLINE_S)
    assert isinstance(message.data, bytes), message
    return dict(json.loads(message.data))


async def under_test(simulator: Simulator, *parts: dict[str, Any]) -> aiohttp.ClientWebSocketResponse:
    """Subscribe after the first minute, say so, and finish with the snapshot."""
    await step(simulator, until_ms=START_MS + MINUTE_MS)
    await post(simulator, "/control/ack", name=NAME, frames=0)
    socket = await simulator.subscribe(*(parts or (TRADES,)))
    await take(socket)
    await post(simulator, "/control/ack", name=NAME, frames=1)
    return socket


async def test_a_step_goes_to_the_next_trade_and_no_further(tmp_path: Path) -> None:
    """Of any market, as no candle and no delayed news falls in between."""
    async with running(stepped(tmp_path)) as simulator:
        traded = {at for market in ("KRW-BTC", "KRW-ETH") for at in await trades_of(simulator, market, MINUTE_MS)}
        moments = [await step(simulator, events=1) for _ in range(12)]

    assert traded.issuperset(moments[:1])
    assert moments == sorted(set(moments))
    assert {at for at in traded if at <= moments[-1]} <= set(moments)


async def test_several_events_are_as_many_single_ones(tmp_path: Path) -> None:
    async with running(stepped(tmp_path / "one")) as simulator:
        by_one = [await step(simulator, events=1) for _ in range(30)][-1]
    async with running(stepped(tmp_path / "all")) as simulator:
        at_once = await step(simulator, events=30)

    assert at_once == by_one


async def test_step_waits_until_all_that_was_told_is_finished(tmp_path: Path) -> None:
    """The first event of two has messages; the second does not happen before these are acknowledged."""
    async with running(stepped(tmp_path)) as simulator:
        socket = await under_test(simulator)
        going = asyncio.create_task(post(simulator, "/control/step", until_ms=START_MS + 2 * MINUTE_MS))
        first = await take(socket)
        _, status = await simulator.get("/control/status")

        assert status["market_ms"] == first["trade_timestamp"]
        assert not going.done()

        for frames in range(2, 1_000):
            await post(simulator, "/control/ack", name=NAME, frames=frames)
            if going.done() or status["market_ms"] == START_MS + 2 * MINUTE_MS:
                break
            _, status = await simulator.get("/control/status")
        code, answer = await asyncio.wait_for(going, DEADLINE_S)

    assert (code, answer["market_ms"]) == (200, START_MS + 2 * MINUTE_MS)


async def test_snapshot_is_finished_with_before_time_goes_on(tmp_path: Path) -> None:
    """Also what was told between two steps is waited for."""
    async with running(stepped(tmp_path, step_deadline_s=0.05)) as simulator:
        await step(simulator, until_ms=START_MS + MINUTE_MS)
        await post(simulator, "/control/ack", name=NAME, frames=0)
        socket = await simulator.subscribe(TRADES)
        await take(socket)
        code, answer = await post(simulator, "/control/step", events=1)
        _, status = await simulator.get("/control/status")

    assert (code, answer["error"]["name"]) == (504, "not_acknowledged")
    assert NAME in answer["error"]["message"]
    assert status["market_ms"] == START_MS + MINUTE_MS


async def test_program_that_has_died_is_not_waited_for(tmp_path: Path) -> None:
    """It leaves messages that nobody will ever finish with."""
    async with running(stepped(tmp_path, step_deadline_s=0.05)) as simulator:
        socket = await under_test(simulator)
        code, _ = await post(simulator, "/control/step", events=1)
        while code == 200:
            code, _ = await post(simulator, "/control/step", events=1)
        await socket.close()
        await simulator.until(lambda status: not status["subscribers"])

        assert await step(simulator, until_ms=START_MS + 5 * MINUTE_MS) == 5 * MINUTE_MS


async def test_program_that_comes_back_is_asked_for_what_it_is_told_from_then_on(tmp_path: Path) -> None:
    """Its own count goes on; what the break swallowed is not held against it."""
    async with running(stepped(tmp_path, step_deadline_s=0.05)) as simulator:
        socket = await under_test(simulator)
        while (await post(simulator, "/control/step", events=1))[0] == 200:
            pass  # until a message waits that is not acknowledged
        await socket.close()
        await simulator.until(lambda status: not status["subscribers"])
        again = await simulator.subscribe(TRADES)
        await take(again)
        late, _ = await post(simulator, "/control/step", events=1)
        await post(simulator, "/control/ack", name=NAME, frames=2)
        done, _ = await post(
            simulator, "/control/step", until_ms=(await simulator.get("/control/status"))[1]["market_ms"]
        )

    assert (late, done) == (504, 200)


@pytest.mark.parametrize("path", ["/control/drop", "/control/faults"])
async def test_connection_breaks_after_everything_told_is_finished(tmp_path: Path, path: str) -> None:
    """What a fault meets does not depend on how fast a program is."""
    body = {} if path.endswith("drop") else {"kind": "drop"}
    async with running(stepped(tmp_path, step_deadline_s=0.05)) as simulator:
        socket = await under_test(simulator)
        while (await post(simulator, "/control/step", events=1))[0] == 200:
            pass
        early, _ = await post(simulator, path, **body)
        _, status = await simulator.get("/control/status")
        await post(simulator, "/control/ack", name=NAME, frames=sum(one["sent"] for one in status["subscribers"]))
        late, _ = await post(simulator, path, **body)
        await simulator.until(lambda now: not now["subscribers"])
        kinds = [(await socket.receive(DEADLINE_S)).type for _ in range(5)]

    assert (early, late) == (504, 200)
    assert len(status["subscribers"]) == 1
    assert aiohttp.WSMsgType.BINARY in kinds
    assert kinds[-1] in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.ERROR)


async def test_two_steps_at_once_are_one_after_the_other(tmp_path: Path) -> None:
    async with running(stepped(tmp_path / "both")) as simulator:
        at_once = await asyncio.gather(*(step(simulator, events=20) for _ in range(2)))
    async with running(stepped(tmp_path / "one")) as simulator:
        one_by_one = [await step(simulator, events=20) for _ in range(2)]

    assert sorted(at_once) == one_by_one


async def test_late_message_on_a_stalled_connection_does_not_keep_time_from_going_on(tmp_path: Path) -> None:
    """It is due while nothing goes out: both come when the stall ends."""
    async with running(stepped(tmp_path)) as simulator:
        socket = await under_test(simulator)
        await post(simulator, "/control/faults", kind="late", for_ms=20_000)
        await post(simulator, "/control/faults", kind="stall", for_ms=40_000, skip=1)
        await post(simulator, "/control/ack", name=NAME, frames=1_000)

        assert await step(simulator, until_ms=START_MS + 3 * MINUTE_MS) == 3 * MINUTE_MS
        made = [at for at in await trades_of(simulator, "KRW-BTC", 3 * MINUTE_MS) if at > MINUTE_MS]
        told = [(await take(socket))["trade_timestamp"] - START_MS for _ in made]

    assert sorted(told) == made
    assert told != made


async def test_requests_are_answered_while_a_long_step_goes_on(tmp_path: Path) -> None:
    """A program places its orders while others still go on."""
    async with running(stepped(tmp_path)) as simulator:
        going = asyncio.create_task(step(simulator, until_ms=START_MS + 59 * MINUTE_MS))
        seen = []
        while not going.done():
            seen.append((await simulator.get("/control/status"))[1]["market_ms"])

        assert await going == 59 * MINUTE_MS
    assert len(set(seen)) > 2


async def test_time_does_not_go_back_and_stands_at_the_end(tmp_path: Path) -> None:
    async with running(stepped(tmp_path)) as simulator:
        await step(simulator, until_ms=START_MS + MINUTE_MS)
        code, answer = await post(simulator, "/control/step", until_ms=START_MS)
        end = await step(simulator, until_ms=START_MS + 1_000 * MINUTE_MS)
        _, status = await simulator.get("/control/status")

    assert (code, answer["error"]["message"]) == (400, f"until_ms {START_MS}; valid: {START_MS + MINUTE_MS} or later")
    assert START_MS + end == status["end_ms"]
    assert status["is_ended"]


async def test_nobody_is_limited_where_nobody_could_wait(tmp_path: Path) -> None:
    """A budget refills with time, and time stands: each request finds a full one, the same each time."""
    async with running(stepped(tmp_path)) as simulator:
        left = set()
        for _ in range(40):
            async with simulator.http.get(simulator.url + "/v1/market/all") as answer:
                left.add((answer.status, answer.headers["Remaining-Req"]))
        cancels = [(await simulator.signed("DELETE", "/v1/orders/open"))[0] for _ in range(3)]

    assert left == {(200, "group=market; min=600; sec=9")}
    assert cancels == [200, 200, 200]


# --- the same bytes -----------------------------------------------------------------------------------------------


async def whole_session(folder: Path) -> list[bytes]:
    """Follow both sockets in three formats, trade, break things, restart; give all bytes that came, headers too."""
    told: list[bytes] = []

    async def ask(simulator: Simulator, method: str, path: str, body: dict[str, str] | None = None) -> None:
        text = "&".join(f"{name}={value}" for name, value in (body or {}).items())
        headers = simulator.token(text) if path.startswith(("/v1/order", "/v1/accounts")) else {}
        async with simulator.http.request(method, simulator.url + path, json=body, headers=headers) as answer:
            told.append(f"{method} {path} {answer.status} {sorted(answer.headers.items())}".encode())
            told.append(await answer.read())

    async def some_market(simulator: Simulator, round_: int) -> None:
        sockets = []
        for form, kind in (
            ("DEFAULT", "trade"),
            ("SIMPLE", "ticker"),
            ("JSON_LIST", "orderbook"),
            ("DEFAULT", "candle.1m"),
        ):
            sockets.append(await simulator.subscribe({"type": kind, "codes": ["KRW-BTC", "KRW-ETH"]}, {"format": form}))
        private = await simulator.http.ws_connect(simulator.url + "/websocket/v1/private", headers=simulator.token(""))
        await private.send_json([{"ticket": "p"}, {"type": "myOrder"}, {"type": "myAsset"}])
        await simulator.until(lambda status: all(one["types"] for one in status["subscribers"]))
        for number in range(6):
            await step(simulator, events=25)
            identifier = f"{round_}-{number}"
            spot = {"market": "KRW-BTC", "side": "bid", "ord_type": "price", "price": "20000", "identifier": identifier}
            low = {"market": "KRW-BTC", "side": "bid", "ord_type": "limit", "price": "131248000", "volume": "0.001"}
            await ask(simulator, "POST", "/v1/orders", spot if number % 2 else low)
            await ask(simulator, "GET", "/v1/accounts")
            await ask(simulator, "GET", "/v1/candles/minutes/1?market=KRW-BTC&count=3")
            await ask(simulator, "GET", "/v1/orderbook?markets=KRW-BTC")
            if number == 3:
                await post(simulator, "/control/faults", kind="reorder", market="KRW-BTC")
                await post(simulator, "/control/faults", kind="late", for_ms=2_000)
        _, status = await simulator.get("/control/status")
        assert not any(one["queued"] for one in status["subscribers"])
        for socket, counted in zip((*sockets, private), status["subscribers"], strict=True):
            told.extend([(await socket.receive_bytes(timeout=DEADLINE_S)) for _ in range(counted["sent"])])

    for round_ in range(2):
        async with running(stepped(folder, seed=7)) as simulator:
            await some_market(simulator, round_)
    return told


async def test_the_same_requests_at_the_same_instants_give_the_same_bytes(tmp_path: Path) -> None:
    """Every frame and every REST answer with its headers, over a restart: ids, times, fills, books, balances."""
    runs = [await whole_session(tmp_path / name) for name in ("a", "b")]

    assert runs[0] == runs[1]
    assert len(runs[0]) > 300
    assert any(b'"myOrder"' in one and b'"state":"trade"' in one for one in runs[0])
    assert any(one.startswith(b'[{"type":"orderbook"') for one in runs[0])
    assert any(one.startswith(b'{"ty":"ticker"') for one in runs[0])


def test_ids_of_a_later_start_are_new_whatever_the_earlier_one_used_up(tmp_path: Path) -> None:
    """Orders that were only tested take ids too, and are not kept."""
    first = ids_of(1, Counts(0, 0, 0), START_MS)
    given = [first() for _ in range(50)]
    later = ids_of(1, Counts(1, 1, 0), START_MS)

    assert not set(given) & {later() for _ in range(50)}
    assert ids_of(2, Counts(0, 0, 0), START_MS)() not in given
    assert ids_of(1, Counts(0, 0, 0), START_MS)() == given[0]
