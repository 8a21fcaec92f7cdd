"""Candle streams and book levels against REST, and what a request may ask for."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from running_simulator import DEADLINE_S, HOLE, MINUTE_MS, START_MS, Simulator, config_in, running

from tickloop.domain.window import to_datetime

END_MS = START_MS + 8 * MINUTE_MS

LAST = {"type": "ticker", "codes": ["KRW-ETH"], "is_only_snapshot": True}
"""A type whose snapshot shows that nothing more comes of the types before it."""


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
        while told[-1]["timestamp"] < END_MS:
            told.append(await message(socket))
        await simulator.clock(run=False)
        rest = await candles(simulator, path, count=200, to=f"{to_datetime(END_MS):%Y-%m-%dT%H:%M:%SZ}")
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
    assert {one % 1_000 for one in times} == {0}


async def test_candle_of_a_second_is_told_of_exactly_the_seconds_with_a_trade(tmp_path: Path) -> None:
    """No trade, no message; each second is over when it is told."""
    async with running(config_in(tmp_path)) as simulator:
        parts = [{"type": kind, "codes": ["KRW-ETH"], "is_only_realtime": True} for kind in ("trade", "candle.1s")]
        socket = await simulator.subscribe(*parts)
        await simulator.until(lambda status: bool(status["subscribers"][0]["types"]))
        await simulator.clock(run=True)
        told = [await message(socket) for _ in range(60)]

    candles = [one for one in told if one["type"] == "candle.1s"]
    trades = [one for one in told if one["type"] == "trade"]
    seconds = sorted({one["trade_timestamp"] // 1_000 for one in trades})
    assert len(candles) > 5
    assert [one["timestamp"] // 1_000 - 1 for one in candles] == seconds[: len(candles)]
    for candle in candles:
        inside = [one for one in trades if one["trade_timestamp"] // 1_000 == candle["timestamp"] // 1_000 - 1]
        assert candle["opening_price"] == inside[0]["trade_price"]
        assert candle["trade_price"] == inside[-1]["trade_price"]
        assert candle["candle_acc_trade_volume"] == pytest.approx(sum(one["trade_volume"] for one in inside))
        assert told.index(candle) > told.index(inside[-1])


async def test_snapshot_of_a_candle_is_the_latest_one_though_its_minute_is_over(tmp_path: Path) -> None:
    """Minute 30 of the recording has no trade; its fields are those of the exchange, in order."""
    async with running(config_in(tmp_path, start_ms=START_MS + HOLE * MINUTE_MS + 30_000)) as simulator:
        socket = await simulator.subscribe(
            {"type": "candle.1m", "codes": ["KRW-BTC"], "is_only_snapshot": True},
            {"type": "candle.240m", "codes": ["KRW-BTC"]},
        )
        [minute, four_hours] = [await message(socket) for _ in range(2)]

    assert list(minute.items()) == [
        ("type", "candle.1m"),
        ("code", "KRW-BTC"),
        ("candle_date_time_utc", "2026-03-04T05:29:00"),
        ("candle_date_time_kst", "2026-03-04T14:29:00"),
        ("opening_price", 131_251_000.0),
        ("high_price", 131_256_000.0),
        ("low_price", 131_248_000.0),
        ("trade_price", 131_254_000.0),
        ("candle_acc_trade_volume", 0.79),
        ("candle_acc_trade_price", minute["candle_acc_trade_price"]),
        ("timestamp", START_MS + HOLE * MINUTE_MS + 30_000),
        ("stream_type", "SNAPSHOT"),
    ]
    assert minute["candle_acc_trade_price"] == pytest.approx(131_251_000 * 0.79, rel=1e-3)
    assert four_hours["candle_date_time_utc"] == "2026-03-04T04:00:00"


async def test_short_candle_has_the_names_of_the_exchange(tmp_path: Path) -> None:
    async with running(config_in(tmp_path, start_ms=START_MS + 5 * MINUTE_MS)) as simulator:
        socket = await simulator.subscribe({"type": "candle.1s", "codes": ["KRW-BTC"]}, {"format": "SIMPLE_LIST"})
        [candle] = await message(socket)

    names = "ty cd cdttmu cdttmk op hp lp tp catv catp tms st"
    assert list(candle) == names.split()


async def test_request_is_taken_for_what_there_is_of_it(tmp_path: Path) -> None:
    """Unknown and lower-case codes are ignored; each flag is obeyed in both spellings; twice is once."""
    parts: list[dict[str, Any]] = [
        {"type": "trade", "codes": ["KRW-NONE", "krw-btc", "KRW-BTC", "KRW-BTC"], "isOnlySnapshot": True},
        {"type": "ticker", "codes": ["KRW-BTC"], "is_only_realtime": True},
        {"type": "orderbook", "codes": ["KRW-BTC.1"], "is_only_snapshot": True},
        LAST,
    ]
    async with running(config_in(tmp_path, start_ms=START_MS + 5 * MINUTE_MS)) as simulator:
        socket = await simulator.subscribe(*parts)
        first = [await message(socket) for _ in range(3)]
        await simulator.clock(run=True)
        later = [await message(socket) for _ in range(10)]

    assert [(one["type"], one["code"], one["stream_type"]) for one in first] == [
        ("trade", "KRW-BTC", "SNAPSHOT"),
        ("orderbook", "KRW-BTC", "SNAPSHOT"),
        ("ticker", "KRW-ETH", "SNAPSHOT"),
    ]
    assert len(first[1]["orderbook_units"]) == 1
    assert {(one["type"], one["code"], one["stream_type"]) for one in later} == {("ticker", "KRW-BTC", "REALTIME")}


async def test_question_for_the_subscriptions_changes_the_format_of_the_stream(tmp_path: Path) -> None:
    """Source: Upbit developer centre, WebSocket, list of subscriptions."""
    async with running(config_in(tmp_path)) as simulator:
        socket = await simulator.subscribe({"type": "trade", "codes": ["KRW-BTC"], "is_only_realtime": True})
        await socket.send_json([{"ticket": "q"}, {"method": "LIST_SUBSCRIPTIONS"}, {"format": "SIMPLE_LIST"}])
        [listed] = await message(socket)
        await simulator.clock(run=True)
        [trade] = await message(socket)
        await simulator.clock(run=False)
        await socket.send_json([{"ticket": "q"}, {"method": "LIST_SUBSCRIPTIONS"}])
        while isinstance(back := await message(socket), list):
            assert back[0]["ty"] == "trade"
        await simulator.clock(run=True)
        again = await message(socket)

    assert listed == {"mthd": "LIST_SUBSCRIPTIONS", "rslt": [{"ty": "trade", "cds": ["KRW-BTC"]}], "tckt": "q"}
    assert trade["ty"] == "trade"
    assert back == {
        "method": "LIST_SUBSCRIPTIONS",
        "result": [{"type": "trade", "codes": ["KRW-BTC"]}],
        "ticket": "q",
    }
    assert again["type"] == "trade"


async def test_question_before_any_subscription_has_an_empty_answer(tmp_path: Path) -> None:
    async with running(config_in(tmp_path)) as simulator:
        socket = await simulator.http.ws_connect(simulator.url + "/websocket/v1")
        await socket.send_json([{"ticket": "q"}, {"method": "LIST_SUBSCRIPTIONS"}])
        answer = await message(socket)

    assert answer == {"method": "LIST_SUBSCRIPTIONS", "result": [], "ticket": "q"}


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
