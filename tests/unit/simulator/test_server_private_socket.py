"""The private socket: what happens to the account, in the exchange's words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from running_simulator import DEADLINE_S, MINUTE_MS, START_MS, Simulator, config_in, running

from tickloop.simulator.faults.board import Fault

# fmt: off
FIELDS = [
    "type", "code", "uuid", "ask_bid", "order_type", "state", "trade_uuid", "price", "avg_price", "volume",
    "remaining_volume", "executed_volume", "trades_count", "reserved_fee", "remaining_fee", "paid_fee", "locked",
    "executed_funds", "time_in_force", "trade_fee", "is_maker", "identifier", "smp_type", "prevented_volume",
    "prevented_locked", "trade_timestamp", "order_timestamp", "timestamp", "stream_type",
]
# fmt: on
BUY = {"market": "KRW-BTC", "side": "bid", "ord_type": "price", "price": "50000", "identifier": "one"}
LOW = {"market": "KRW-BTC", "side": "bid", "ord_type": "limit", "price": "100000000", "volume": "0.001"}


async def opened(simulator: Simulator, *parts: dict[str, Any]) -> aiohttp.ClientWebSocketResponse:
    socket = await simulator.http.ws_connect(simulator.url + "/websocket/v1/private", headers=simulator.token(""))
    await socket.send_json([{"ticket": "t"}, *parts])
    await listed(socket)  # an answer to a later message: the subscription stands
    return socket


async def listed(socket: aiohttp.ClientWebSocketResponse) -> Any:
    await socket.send_json([{"ticket": "t"}, {"method": "LIST_SUBSCRIPTIONS"}])
    return await message(socket)


async def message(socket: aiohttp.ClientWebSocketResponse) -> Any:
    received = await socket.receive(DEADLINE_S)
    assert received.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT), received
    return json.loads(received.data)


@pytest.fixture
def config(tmp_path: Path) -> Any:
    return config_in(tmp_path, start_ms=START_MS + 10 * MINUTE_MS)


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer nonsense"}])
async def test_handshake_without_a_right_token_is_refused(config: Any, header: dict[str, str]) -> None:
    async with running(config) as simulator:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await simulator.http.ws_connect(simulator.url + "/websocket/v1/private", headers=header)

    assert refusal.value.status == 401


async def test_token_may_be_used_again_at_a_reconnection(config: Any) -> None:
    """A common client keeps its token; whether the exchange minds is not known."""
    async with running(config) as simulator:
        token = simulator.token("")
        for _ in range(2):
            socket = await simulator.http.ws_connect(simulator.url + "/websocket/v1/private", headers=token)
            await socket.close()


async def test_market_buy_is_told_as_wait_trade_and_end_with_every_field(config: Any) -> None:
    """Nulls are sent; a trade carries the fill's price, volume and fee; what is told adds up to what REST says."""
    async with running(config) as simulator:
        socket = await opened(simulator, {"type": "myOrder"})
        await simulator.signed("POST", "/v1/orders", BUY)
        told = [await message(socket)]
        while told[-1]["state"] not in ("done", "cancel"):
            told.append(await message(socket))
        _, order = await simulator.signed("GET", "/v1/order", query="identifier=one")

    assert [one["state"] for one in told] == ["wait", *["trade"] * len(order["trades"]), order["state"]]
    assert all(list(one) == FIELDS for one in told)
    wait, trade, end = told[0], told[1], told[-1]
    assert (wait["trade_uuid"], wait["trade_fee"], wait["is_maker"]) == (None, None, None)
    assert (trade["price"], trade["volume"]) == (
        float(order["trades"][0]["price"]),
        float(order["trades"][0]["volume"]),
    )
    assert trade["is_maker"] is False
    assert trade["trade_fee"] == pytest.approx(trade["price"] * trade["volume"] * 0.0005)
    assert end["executed_volume"] == float(order["executed_volume"])
    assert end["paid_fee"] == float(order["paid_fee"])
    assert (end["volume"], end["remaining_volume"], end["identifier"]) == (None, None, "one")


async def test_resting_order_is_filled_as_a_maker_and_a_cancelled_one_ends(config: Any) -> None:
    async with running(config) as simulator:
        socket = await opened(simulator, {"type": "myOrder", "codes": ["KRW-BTC"]})
        _, ticker = await simulator.get("/v1/ticker", markets="KRW-BTC")
        near = {**LOW, "price": str(int(ticker[0]["trade_price"]) - 1_000), "identifier": "near"}
        for order in (near, {**LOW, "identifier": "far"}):
            await simulator.signed("POST", "/v1/orders", order)
        await simulator.signed("DELETE", "/v1/order", query="identifier=far")
        await simulator.clock(run=True)
        told = [await message(socket) for _ in range(5)]

    states = {name: [one["state"] for one in told if one["identifier"] == name] for name in ("near", "far")}
    assert states == {"near": ["wait", "trade", "done"], "far": ["wait", "cancel"]}
    assert [one["is_maker"] for one in told if one["state"] == "trade"] == [True]


async def test_numbers_of_a_resting_order_are_numbers_and_what_is_not_there_is_null(config: Any) -> None:
    """0.001 at 100,000,000 is 100,000 won and 50 won of fee; the lock holds both."""
    async with running(config) as simulator:
        socket = await opened(simulator, {"type": "myOrder"})
        _, order = await simulator.signed("POST", "/v1/orders", {**LOW, "time_in_force": "post_only"})
        wait = await message(socket)

    assert wait == {
        "type": "myOrder",
        "code": "KRW-BTC",
        "uuid": order["uuid"],
        "ask_bid": "BID",
        "order_type": "limit",
        "state": "wait",
        "trade_uuid": None,
        "price": 100_000_000.0,
        "avg_price": 0.0,
        "volume": 0.001,
        "remaining_volume": 0.001,
        "executed_volume": 0.0,
        "trades_count": 0,
        "reserved_fee": 50.0,
        "remaining_fee": 50.0,
        "paid_fee": 0.0,
        "locked": 100_050.0,
        "executed_funds": 0.0,
        "time_in_force": "post_only",
        "trade_fee": None,
        "is_maker": None,
        "identifier": None,
        "smp_type": None,
        "prevented_volume": 0.0,
        "prevented_locked": 0.0,
        "trade_timestamp": None,
        "order_timestamp": START_MS + 10 * MINUTE_MS,
        "timestamp": START_MS + 10 * MINUTE_MS,
        "stream_type": "REALTIME",
    }
    assert isinstance(wait["trades_count"], int)


async def test_numbers_of_a_makers_fill_are_those_of_its_trade(config: Any) -> None:
    """The whole of it at its own price; nothing is locked afterwards."""
    async with running(config) as simulator:
        socket = await opened(simulator, {"type": "myOrder"})
        _, ticker = await simulator.get("/v1/ticker", markets="KRW-BTC")
        price = int(ticker[0]["trade_price"]) - 1_000
        await simulator.signed("POST", "/v1/orders", {**LOW, "price": str(price)})
        await simulator.clock(run=True)
        _, trade, done = [await message(socket) for _ in range(3)]

    assert (trade["state"], done["state"]) == ("trade", "done")
    assert (trade["price"], trade["avg_price"], trade["volume"]) == (float(price), float(price), 0.001)
    assert trade["trade_fee"] == pytest.approx(price * 0.001 * 0.0005)
    assert trade["paid_fee"] == trade["trade_fee"]
    assert (trade["remaining_volume"], trade["remaining_fee"], trade["locked"]) == (0.0, 0.0, 0.0)
    assert (trade["executed_volume"], trade["executed_funds"]) == (0.001, price * 0.001)
    assert trade["trade_timestamp"] == trade["timestamp"] > trade["order_timestamp"]
    assert done == {
        **trade,
        "state": "done",
        **dict.fromkeys(["trade_uuid", "trade_fee", "is_maker", "trade_timestamp"]),
    }


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        ("cancel_maker", [("maker", "wait"), ("taker", "wait"), ("maker", "prevented"), ("maker", "cancel")]),
        ("cancel_taker", [("maker", "wait"), ("taker", "wait"), ("taker", "prevented"), ("taker", "cancel")]),
        ("reduce", [("maker", "wait"), ("taker", "wait"), ("maker", "prevented"), ("taker", "prevented")]),
    ],
)
async def test_own_orders_that_would_meet_are_told_as_prevented(
    config: Any, mode: str, told: list[tuple[str, str]]
) -> None:
    """The taker's mode decides whose part is cut. Source: Upbit developer centre, self-match prevention."""
    async with running(config) as simulator:
        _, ticker = await simulator.get("/v1/ticker", markets="KRW-BTC")
        price = str(int(ticker[0]["trade_price"]))  # between the best bid and the best ask
        await simulator.signed("POST", "/v1/orders", BUY)  # something to sell
        socket = await opened(simulator, {"type": "myOrder"})
        maker = {**LOW, "price": price, "volume": "0.0002", "identifier": "maker"}
        taker = {**maker, "side": "ask", "volume": "0.0001", "identifier": "taker", "smp_type": mode}
        for order in (maker, taker):
            code, answer = await simulator.signed("POST", "/v1/orders", order)
            assert code == 201, answer
        messages = [await message(socket) for _ in told]

    assert sorted((one["identifier"], one["state"]) for one in messages) == sorted(told)
    assert [one["state"] for one in messages[:2]] == ["wait", "wait"]
    prevented = [one for one in messages if one["state"] == "prevented"]
    assert all(one["prevented_volume"] > 0 for one in prevented)
    assert all((one["trade_uuid"], one["is_maker"], one["trades_count"]) == (None, None, 0) for one in messages)


async def test_slow_cancel_is_told_when_it_takes_effect(tmp_path: Path) -> None:
    """Its answer shows the open order; the message and the freed won come later."""
    fault = Fault(kind="slow_cancel", for_ms=3_000)
    async with running(config_in(tmp_path, start_ms=START_MS + 10 * MINUTE_MS, faults=(fault,))) as simulator:
        socket = await opened(simulator, {"type": "myOrder"}, {"type": "myAsset"})
        await simulator.signed("POST", "/v1/orders", {**LOW, "identifier": "slow"})
        code, answer = await simulator.signed("DELETE", "/v1/order", query="identifier=slow")
        await simulator.clock(run=True)
        told = [await message(socket) for _ in range(4)]

    assert (code, answer["state"]) == (200, "wait")
    assert [(one["type"], one.get("state")) for one in told] == [
        ("myOrder", "wait"),
        ("myAsset", None),
        ("myOrder", "cancel"),
        ("myAsset", None),
    ]
    assert told[2]["timestamp"] == told[3]["timestamp"] == START_MS + 10 * MINUTE_MS + 3_000
    assert told[2]["locked"] == 100_050.0  # an ended order goes on showing what was left
    assert told[3]["assets"] == [{"currency": "KRW", "balance": 1_000_000.0, "locked": 0.0}]


async def test_order_is_told_once_though_it_was_asked_for_by_market_and_as_all(config: Any) -> None:
    """Clients that add up their wishes send both."""
    async with running(config) as simulator:
        socket = await opened(simulator, {"type": "myOrder", "codes": ["KRW-BTC"]}, {"type": "myOrder"})
        await simulator.signed("POST", "/v1/orders", {**LOW, "identifier": "once"})
        await simulator.signed("DELETE", "/v1/order", query="identifier=once")
        told = [await message(socket) for _ in range(2)]

    assert [one["state"] for one in told] == ["wait", "cancel"]


async def test_market_that_is_none_is_waited_for_in_vain_and_stops_nobody(config: Any) -> None:
    async with running(config) as simulator:
        socket = await opened(simulator, {"type": "myOrder", "codes": ["KRW-NONE", "KRW-BTC"]})
        await simulator.clock(run=True)
        await simulator.until(lambda status: status["market_ms"] > START_MS + 11 * MINUTE_MS)
        await simulator.signed("POST", "/v1/orders", LOW)
        told = await message(socket)

    assert told["state"] == "wait"


async def test_other_markets_are_not_told_of(config: Any) -> None:
    async with running(config) as simulator:
        socket = await opened(simulator, {"type": "myOrder", "codes": ["KRW-ETH"]})
        await simulator.signed("POST", "/v1/orders", BUY)
        answer = await listed(socket)

    assert answer["result"] == [{"type": "myOrder", "codes": ["KRW-ETH"]}]


async def test_balances_are_told_when_they_change(config: Any) -> None:
    """First what the lock took, then what the fills brought; only currencies that changed."""
    async with running(config) as simulator:
        socket = await opened(simulator, {"type": "myAsset"})
        await simulator.signed("POST", "/v1/orders", BUY)
        told = await message(socket)
        _, accounts = await simulator.signed("GET", "/v1/accounts")

    held = {one["currency"]: (float(one["balance"]), float(one["locked"])) for one in accounts}
    assert list(told) == ["type", "asset_uuid", "assets", "asset_timestamp", "timestamp", "stream_type"]
    assert {one["currency"]: (one["balance"], one["locked"]) for one in told["assets"]} == held
    assert set(held) == {"KRW", "BTC"}


async def test_balances_that_did_not_change_are_not_told(config: Any) -> None:
    """A lock and its end move won alone, though the account holds coins too."""
    async with running(config) as simulator:
        await simulator.signed("POST", "/v1/orders", BUY)
        _, accounts = await simulator.signed("GET", "/v1/accounts")
        won = next(float(one["balance"]) for one in accounts if one["currency"] == "KRW")
        socket = await opened(simulator, {"type": "myAsset"})
        await simulator.signed("POST", "/v1/orders", {**LOW, "identifier": "low"})
        await simulator.signed("DELETE", "/v1/order", query="identifier=low")
        locked, freed = [(await message(socket))["assets"] for _ in range(2)]

    assert locked == [{"currency": "KRW", "balance": pytest.approx(won - 100_050), "locked": 100_050.0}]
    assert freed == [{"currency": "KRW", "balance": won, "locked": 0.0}]


async def test_slow_news_of_balances_come_after_their_time(tmp_path: Path) -> None:
    fault = Fault(kind="slow_asset", for_ms=5_000)
    config = config_in(tmp_path, start_ms=START_MS + 10 * MINUTE_MS, faults=(fault,))
    async with running(config) as simulator:
        socket = await opened(simulator, {"type": "myAsset"})
        await simulator.signed("POST", "/v1/orders", BUY)
        await simulator.clock(run=True)
        told = await message(socket)

    assert told["timestamp"] - told["asset_timestamp"] == 5_000


async def test_news_of_balances_that_wait_for_a_fault_to_be_cleared_come_then(config: Any) -> None:
    async with running(config) as simulator:
        fault = {"kind": "slow_asset", "type": "myAsset"}
        async with simulator.http.post(simulator.url + "/control/faults", json=fault) as answer:
            assert answer.status == 200
        socket = await opened(simulator, {"type": "myAsset"}, {"type": "myOrder"})
        await simulator.signed("POST", "/v1/orders", LOW)
        first = await message(socket)
        await simulator.clock(run=True)
        await simulator.until(lambda status: status["market_ms"] > START_MS + 12 * MINUTE_MS)
        async with simulator.http.delete(simulator.url + "/control/faults") as answer:
            assert answer.status == 200
        second = await message(socket)

    assert (first["type"], second["type"]) == ("myOrder", "myAsset")
    assert second["timestamp"] - second["asset_timestamp"] > 2 * MINUTE_MS


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ({"type": "myAsset", "codes": ["KRW-BTC"]}, "WRONG_FORMAT"),
        ({"type": "trade", "codes": ["KRW-BTC"]}, "INVALID_PARAM"),
        ({"codes": ["KRW-BTC"]}, "NO_TYPE"),
    ],
)
async def test_request_that_cannot_be_is_answered_by_an_error(config: Any, part: dict[str, Any], name: str) -> None:
    async with running(config) as simulator:
        token = simulator.token("")
        socket = await simulator.http.ws_connect(simulator.url + "/websocket/v1/private", headers=token)
        await socket.send_json([{"ticket": "t"}, part])
        answer = await message(socket)

    assert answer["error"]["name"] == name


async def test_short_format_has_the_short_names(config: Any) -> None:
    async with running(config) as simulator:
        socket = await simulator.http.ws_connect(simulator.url + "/websocket/v1/private", headers=simulator.token(""))
        await socket.send_json([{"ticket": "t"}, {"type": "myOrder"}, {"type": "myAsset"}, {"format": "SIMPLE_LIST"}])
        await socket.send_json([{"ticket": "t"}, {"method": "LIST_SUBSCRIPTIONS"}, {"format": "SIMPLE_LIST"}])
        await message(socket)
        await simulator.signed("POST", "/v1/orders", BUY)
        told = [(await message(socket))[0] for _ in range(4)]

    order = next(one for one in told if one["ty"] == "myOrder")
    asset = next(one for one in told if one["ty"] == "myAsset")
    short = "ty cd uid ab ot s tuid p ap v rv ev tc rsf rmf pf l ef tif tf im id smpt pv pl ttms otms tms st"
    assert list(order) == short.split()
    assert (order["s"], order["id"], order["p"]) == ("wait", "one", 50_000.0)
    assert list(asset) == ["ty", "astuid", "ast", "asttms", "tms", "st"]
    assert asset["ast"][0].keys() == {"cu", "b", "l"}
