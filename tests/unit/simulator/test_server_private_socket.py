"""The private socket: what happens to the account, in the exchange's words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from running_simulator import DEADLINE_S, MINUTE_MS, START_MS, Simulator, config_in, running

from tickloop.simulator.faultboard import Fault
from tickloop.simulator.wire import SHORT

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
    assert told["type"] == "myAsset"
    assert {one["currency"]: (one["balance"], one["locked"]) for one in told["assets"]} == held


async def test_slow_news_of_balances_come_after_their_time(tmp_path: Path) -> None:
    fault = Fault(kind="slow_asset", for_ms=5_000)
    config = config_in(tmp_path, start_ms=START_MS + 10 * MINUTE_MS, faults=(fault,))
    async with running(config) as simulator:
        socket = await opened(simulator, {"type": "myAsset"})
        await simulator.signed("POST", "/v1/orders", BUY)
        await simulator.clock(run=True)
        told = await message(socket)

    assert told["timestamp"] - told["asset_timestamp"] == 5_000


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
    assert list(order) == [SHORT[name] for name in FIELDS]
    assert (order["s"], order["id"], order["p"]) == ("wait", "one", 50_000.0)
    assert asset["ast"][0].keys() == {"cu", "b", "l"}
