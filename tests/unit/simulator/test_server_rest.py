"""REST over a loopback port, as clients meet it."""

from __future__ import annotations

import asyncio
import socket
from decimal import Decimal
from pathlib import Path

import pytest
from running_simulator import (
    HOLE,
    MINUTE_MS,
    MINUTES,
    START_MS,
    config_in,
    running,
    small_recording,
)
from yarl import URL

from tickloop.domain.window import to_datetime
from tickloop.errors import HomeBusyError, PortInUseError, SettingsError, UsageError
from tickloop.simulator.server import serve

WHOLE = {"start_ms": START_MS + 59 * MINUTE_MS, "speed": 100_000.0}


async def test_candles_paged_over_http_equal_the_recording(tmp_path: Path) -> None:
    """Newest first, `to` exclusive, the hole stays a hole; price and volume are the recording's to the last digit."""
    expected = small_recording().frames["KRW-BTC"]
    got = []
    async with running(config_in(tmp_path, **WHOLE)) as simulator:
        to = "2026-03-04T05:59:00Z"
        for _ in range(20):
            status, page = await simulator.get("/v1/candles/minutes/1", market="KRW-BTC", count="7", to=to)
            assert status == 200
            if not page:
                break
            got += page
            to = page[-1]["candle_date_time_utc"]

    fields = ("opening_price", "high_price", "low_price", "trade_price", "candle_acc_trade_volume")
    rows = [(candle["candle_date_time_utc"], *(candle[name] for name in fields)) for candle in reversed(got)]
    wanted = [
        (f"{to_datetime(ts):%Y-%m-%dT%H:%M:%S}", *prices)
        for ts, *prices in expected.select("ts_open", "open", "high", "low", "close", "volume").iter_rows()
    ]
    assert rows == wanted[:-1]
    assert len(rows) == MINUTES["KRW-BTC"] - 2
    assert all(not row[0].endswith(f"05:{HOLE}:00") for row in rows)


@pytest.mark.parametrize(
    "to",
    ["2026-03-04T05:06:00Z", "2026-03-04T05:06:00.000Z", "2026-03-04T14:06:00+09:00", "2026-03-04 05:06:00"],
)
async def test_every_form_of_to_names_the_same_moment(tmp_path: Path, to: str) -> None:
    """`Z`, milliseconds, offset and naive UTC with a space."""
    async with running(config_in(tmp_path, **WHOLE)) as simulator:
        _, page = await simulator.get("/v1/candles/minutes/1", market="KRW-BTC", to=to)

    assert [candle["candle_date_time_utc"] for candle in page] == ["2026-03-04T05:05:00"]


async def test_public_refusals_have_the_status_as_their_name(tmp_path: Path) -> None:
    """Status, integer name and message as measured; the budget is in the header of errors too."""
    cases = {
        "/v1/candles/minutes/1": (400, "Missing request parameter error. Check the required parameters!"),
        "/v1/candles/minutes/1?market=KRW-NONE": (404, "Code not found"),
        "/v1/candles/minutes/2?market=KRW-BTC": (400, "specified unit is not valid."),
        "/v1/candles/minutes/1?market=KRW-BTC&count=x": (400, "Type mismatch error. Check the parameters type!"),
        "/v1/candles/minutes/1?market=KRW-BTC&to=2026-03-04T14:06:00+09:00": (
            400,
            "Invalid parameter. Check the given value!",
        ),
        "/v1/ticker?markets=KRW-BTC,KRW-NONE": (404, "Code not found"),
        "/v1/trades/ticks?market=KRW-BTC&days_ago=8": (400, "Invalid parameter. Check the given value!"),
    }
    async with running(config_in(tmp_path)) as simulator:
        for path, (status, message) in cases.items():
            async with simulator.http.get(URL(simulator.url + path, encoded=True)) as answer:
                body = await answer.json()
            assert (answer.status, body) == (status, {"error": {"name": status, "message": message}}), path
            assert answer.headers["Remaining-Req"].startswith("group=")


async def test_lists_of_markets_are_taken_in_all_three_forms(tmp_path: Path) -> None:
    """A comma list, an encoded comma, and the parameter repeated; a doubled slash does not matter."""
    async with running(config_in(tmp_path, **WHOLE)) as simulator:
        for query in ("markets=KRW-BTC,KRW-ETH", "markets=KRW-BTC%2CKRW-ETH", "markets=KRW-BTC&markets=KRW-ETH"):
            for path in ("/v1/ticker", "//v1/orderbook"):
                _, body = await simulator.get(f"{path}?{query}")
                assert [entry["market"] for entry in body] == ["KRW-BTC", "KRW-ETH"]


async def test_eleventh_candle_request_of_a_second_is_refused_in_plain_text(tmp_path: Path) -> None:
    """Budgets are per group: tickers are still answered."""
    async with running(config_in(tmp_path, speed=0.001)) as simulator:
        answers = []
        for _ in range(11):
            async with simulator.http.get(simulator.url + "/v1/candles/minutes/1?market=KRW-BTC") as answer:
                answers.append((answer.status, await answer.text(), answer.headers["Remaining-Req"]))
        ticker, _ = await simulator.get("/v1/ticker", markets="KRW-BTC")

    assert [status for status, _, _ in answers] == [200] * 10 + [429]
    assert answers[0][2] == "group=candles; min=600; sec=9"
    assert answers[10][1:] == ("Too many API requests.", "group=candles; min=600; sec=0")
    assert ticker == 200


async def test_market_buy_and_sell_go_through_the_book_of_their_moment(tmp_path: Path) -> None:
    """Best ask is a tick above the last price, best bid a tick below; the reply says `wait`, the next look the end."""
    async with running(config_in(tmp_path, **WHOLE)) as simulator:
        _, [ticker] = await simulator.get("/v1/ticker", markets="KRW-BTC")
        buy = {"market": "KRW-BTC", "side": "bid", "ord_type": "price", "price": "50000", "identifier": "b-1"}
        placed, order = await simulator.signed("POST", "/v1/orders", buy)
        _, bought = await simulator.signed("GET", "/v1/order", query="identifier=b-1")
        sell = {"market": "KRW-BTC", "side": "ask", "volume": bought["executed_volume"], "ord_type": "market"}
        _, order2 = await simulator.signed("POST", "/v1/orders", sell)
        _, sold = await simulator.signed("GET", "/v1/order", query=f"uuid={order2['uuid']}")
        _, accounts = await simulator.signed("GET", "/v1/accounts")
        _, closed = await simulator.signed("GET", "/v1/orders/closed", query="states[]=done&states[]=cancel")

    last = Decimal(repr(ticker["trade_price"]))
    assert (placed, order["state"], "trades" in order) == (201, "wait", False)
    assert (bought["state"], Decimal(bought["trades"][0]["price"])) == ("cancel", last + 1000)
    assert (sold["state"], Decimal(sold["trades"][0]["price"])) == ("done", last - 1000)
    assert [entry["uuid"] for entry in closed] == [order2["uuid"], order["uuid"]]
    funds = [Decimal(one["trades"][0]["funds"]) for one in (bought, sold)]
    fees = [Decimal(one["paid_fee"]) for one in (bought, sold)]
    assert [entry["currency"] for entry in accounts] == ["KRW"]
    assert Decimal(accounts[0]["balance"]) == 1_000_000 - funds[0] + funds[1] - sum(fees)


async def test_limit_order_rests_until_a_trade_prints_beyond_its_price(tmp_path: Path) -> None:
    """It is open at first, filled at its own price later, and nobody else sees it in the tape."""
    async with running(config_in(tmp_path, start_ms=START_MS + MINUTE_MS, speed=2000.0)) as simulator:
        fields = {"market": "KRW-BTC", "side": "bid", "ord_type": "limit", "price": "131248000", "volume": "0.001"}
        _, order = await simulator.signed("POST", "/v1/orders", fields)
        _, resting = await simulator.signed("GET", "/v1/orders/open", query="market=KRW-BTC")
        await simulator.clock(run=True)
        await simulator.until(lambda status: status["account"]["open"] == 0)
        await simulator.clock(run=False)
        _, filled = await simulator.signed("GET", "/v1/order", query=f"uuid={order['uuid']}")

    assert [entry["uuid"] for entry in resting] == [order["uuid"]]
    assert (filled["state"], filled["executed_volume"], filled["paid_fee"]) == ("done", "0.001", "65.624")
    assert filled["trades"][0]["price"] == "131248000"


async def test_parameters_come_in_query_form_or_json_as_each_client_sends_them(tmp_path: Path) -> None:
    """pyupbit sends a form body with GET and a JSON body with DELETE."""
    async with running(config_in(tmp_path, **WHOLE)) as simulator:
        fields = {"market": "KRW-BTC", "side": "bid", "ord_type": "limit", "price": "131000000", "volume": "0.001"}
        _, order = await simulator.signed("POST", "/v1/orders", fields)
        status, cancelled = await simulator.signed("DELETE", "/v1/order", {"uuid": order["uuid"]})
        _, gone = await simulator.signed("DELETE", "/v1/order", query=f"uuid={order['uuid']}")
        body = f"uuid={order['uuid']}"
        headers = {"Content-Type": "application/x-www-form-urlencoded", **simulator.token(body)}
        async with simulator.http.get(simulator.url + "/v1/order", data=body, headers=headers) as answer:
            by_form = await answer.json()
        unsigned, refused = await simulator.get("/v1/accounts")

    assert (status, cancelled["state"]) == (200, "wait")
    assert (by_form["uuid"], by_form["state"]) == (order["uuid"], "cancel")
    assert gone["error"]["name"] == "order_not_found"
    assert (unsigned, refused["error"]["name"]) == (401, "no_authorization_token")


async def test_restart_resumes_clock_account_and_identifiers(tmp_path: Path) -> None:
    """The second start stands where the first was stopped, and refuses an identifier of the first."""
    buy = {"market": "KRW-BTC", "side": "bid", "ord_type": "price", "price": "50000", "identifier": "b-1"}
    config = config_in(tmp_path, start_ms=START_MS + MINUTE_MS)
    async with running(config) as simulator:
        await simulator.clock(run=True)
        await simulator.until(lambda status: status["market_ms"] > START_MS + 3 * MINUTE_MS)
        stopped_ms = await simulator.clock(run=False)
        await simulator.signed("POST", "/v1/orders", buy)
        _, before = await simulator.signed("GET", "/v1/accounts")
    async with running(config) as simulator:
        _, clock = await simulator.get("/control/clock")
        _, after = await simulator.signed("GET", "/v1/accounts")
        status, again = await simulator.signed("POST", "/v1/orders", buy)

    assert (clock["market_ms"], clock["is_running"]) == (stopped_ms, False)
    assert after == before
    assert (status, again["error"]["name"]) == (400, "duplicated_identifier")


async def test_start_that_cannot_be_is_refused_with_its_remedy(tmp_path: Path) -> None:
    """A taken port, a folder in use, a start outside the recording, a speed of 0."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortInUseError, match=rf"port {port} on 127\.0\.0\.1 is in use .*--port"):
            await serve(config_in(tmp_path, port=port), print, asyncio.Event(), small_recording())
    async with running(config_in(tmp_path)):
        with pytest.raises(HomeBusyError, match="in use by another simulator"):
            await serve(config_in(tmp_path), print, asyncio.Event(), small_recording())
    with pytest.raises(UsageError, match="lies outside the recording"):
        await serve(config_in(tmp_path / "new", start_ms=1), print, asyncio.Event(), small_recording())
    with pytest.raises(SettingsError, match="speed 0"):
        config_in(tmp_path, speed=0)
