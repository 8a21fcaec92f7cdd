"""The rest of the quotation side over a loopback port: longer candles, book levels, compression, budgets."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from running_simulator import MINUTE_MS, START_MS, Simulator, config_in, running

WHOLE = {"start_ms": START_MS + 59 * MINUTE_MS, "speed": 100_000.0}


async def raw(simulator: Simulator, path: str, **headers: str) -> tuple[int, bytes, Any]:
    async with simulator.http.get(simulator.url + path, headers=headers, auto_decompress=False) as answer:
        return answer.status, await answer.read(), answer.headers


async def test_candles_of_every_period_sum_up_the_minutes(tmp_path: Path) -> None:
    """2026-03-04 is a Wednesday: its week began on Monday the 2nd, its month on the 1st, its year on 1 January."""
    async with running(config_in(tmp_path, **WHOLE)) as simulator:
        _, minutes = await simulator.get("/v1/candles/minutes/1", market="KRW-BTC", count=200)
        found = {}
        for period in ("days", "weeks", "months", "years"):
            _, found[period] = await simulator.get(f"/v1/candles/{period}", market="KRW-BTC", count=200)

    assert {period: [row["candle_date_time_utc"] for row in rows] for period, rows in found.items()} == {
        "days": ["2026-03-04T00:00:00"],
        "weeks": ["2026-03-02T00:00:00"],
        "months": ["2026-03-01T00:00:00"],
        "years": ["2026-01-01T00:00:00"],
    }
    for period, [row] in found.items():
        assert row.get("first_day_of_period") == (None if period == "days" else row["candle_date_time_utc"][:10])
        assert (row["opening_price"], row["trade_price"]) == (minutes[-1]["opening_price"], minutes[0]["trade_price"])
        assert row["high_price"] == max(minute["high_price"] for minute in minutes)
        assert row["low_price"] == min(minute["low_price"] for minute in minutes)
        assert row["candle_acc_trade_volume"] == pytest.approx(
            sum(minute["candle_acc_trade_volume"] for minute in minutes), abs=1e-8
        )
        assert "unit" not in row


async def test_seconds_sum_up_to_their_minute(tmp_path: Path) -> None:
    """Only seconds with a trade are there; their volumes are the minute's."""
    async with running(config_in(tmp_path, **WHOLE)) as simulator:
        query = {"market": "KRW-BTC", "count": 200, "to": "2026-03-04T05:11:00Z"}
        _, seconds = await simulator.get("/v1/candles/seconds", **query)
        _, [minute] = await simulator.get("/v1/candles/minutes/1", **query | {"count": 1})

    inside = [row for row in seconds if row["candle_date_time_utc"] >= minute["candle_date_time_utc"]]
    assert 1 < len(inside) <= 60
    assert inside == sorted(inside, key=lambda row: row["candle_date_time_utc"], reverse=True)
    assert inside[0]["trade_price"] == minute["trade_price"]
    assert inside[-1]["opening_price"] == minute["opening_price"]
    total = sum(round(row["candle_acc_trade_volume"] * 1e8) for row in inside)
    assert total == round(minute["candle_acc_trade_volume"] * 1e8)


async def test_day_tells_its_change_and_its_price_in_krw_when_asked(tmp_path: Path) -> None:
    """Signed change against the close before; nothing is known before the first day, so its opening serves."""
    async with running(config_in(tmp_path, **WHOLE)) as simulator:
        _, [plain] = await simulator.get("/v1/candles/days", market="KRW-BTC")
        _, [converted] = await simulator.get("/v1/candles/days", market="KRW-BTC", converting_price_unit="KRW")

    assert plain["prev_closing_price"] == plain["opening_price"]
    assert plain["change_price"] == plain["trade_price"] - plain["opening_price"]
    assert plain["change_rate"] == pytest.approx(plain["change_price"] / plain["opening_price"], abs=1e-9)
    assert "converted_trade_price" not in plain
    assert converted["converted_trade_price"] == plain["trade_price"]


async def test_book_levels_are_those_that_the_instrument_supports(tmp_path: Path) -> None:
    """A supported level sums the book up; any other gives an empty list; both listings say the same."""
    async with running(config_in(tmp_path, **WHOLE)) as simulator:
        _, [fine] = await simulator.get("/v1/orderbook", markets="KRW-BTC")
        _, [coarse] = await simulator.get("/v1/orderbook", markets="KRW-BTC", level="10000")
        _, unsupported = await simulator.get("/v1/orderbook", markets="KRW-BTC", level="12345")
        _, [short] = await simulator.get("/v1/orderbook", markets="KRW-BTC", count=5)
        _, instruments = await simulator.get("/v1/orderbook/instruments", markets="KRW-BTC,KRW-ETH")
        _, levels = await simulator.get("/v1/orderbook/supported_levels", markets="KRW-BTC")

    assert instruments[0] == {
        "market": "KRW-BTC",
        "quote_currency": "KRW",
        "tick_size": "1000",
        "supported_levels": ["0", "10000", "100000", "1000000", "10000000", "100000000"],
    }
    assert [one["market"] for one in instruments] == ["KRW-BTC", "KRW-ETH"]
    assert levels == [{"market": "KRW-BTC", "supported_levels": [0, 10_000, 100_000, 1e6, 1e7, 1e8]}]
    assert unsupported == []
    assert (fine["level"], coarse["level"], len(short["orderbook_units"])) == (0, 10_000, 5)
    assert coarse["total_ask_size"] == pytest.approx(fine["total_ask_size"])
    for unit in coarse["orderbook_units"]:
        assert (unit["ask_price"] % 10_000, unit["bid_price"] % 10_000) == (0, 0)
    best = coarse["orderbook_units"][0]
    assert best["ask_price"] >= fine["orderbook_units"][0]["ask_price"]
    assert best["bid_price"] <= fine["orderbook_units"][0]["bid_price"]


async def test_details_of_a_market_and_all_tickers_of_a_quote(tmp_path: Path) -> None:
    """Both spellings of the flag; five cautions; a quote without markets gives an empty list."""
    async with running(config_in(tmp_path, **WHOLE)) as simulator:
        _, bare = await simulator.get("/v1/market/all")
        _, snake = await simulator.get("/v1/market/all", is_details="true")
        _, camel = await simulator.get("/v1/market/all", isDetails="true")
        _, tickers = await simulator.get("/v1/ticker/all", quote_currencies="KRW,BTC")
        _, none = await simulator.get("/v1/ticker/all", quote_currencies="USDT")

    assert "market_event" not in bare[0]
    assert snake == camel
    assert (snake[0]["market_event"]["warning"], len(snake[0]["market_event"]["caution"])) == (False, 5)
    assert [one["market"] for one in tickers] == ["KRW-BTC", "KRW-ETH"]
    assert none == []


async def test_quotation_is_compressed_for_who_asks_and_the_private_side_never(tmp_path: Path) -> None:
    """The same bytes inside; a small answer is not worth it."""
    path = "/v1/candles/minutes/1?market=KRW-BTC&count=50"
    async with running(config_in(tmp_path, **WHOLE)) as simulator:
        _, plain, headers = await raw(simulator, path, **{"Accept-Encoding": "identity"})
        _, packed, packed_headers = await raw(simulator, path, **{"Accept-Encoding": "gzip, deflate"})
        _, _, small = await raw(simulator, "/v1/market/all", **{"Accept-Encoding": "gzip"})
        token = simulator.token("market=KRW-BTC") | {"Accept-Encoding": "gzip"}
        status, _, private = await raw(simulator, "/v1/orders/chance?market=KRW-BTC", **token)

    assert packed_headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed) == plain
    assert status == 200
    assert all("Content-Encoding" not in one for one in (headers, small, private))


async def test_browser_has_one_call_in_ten_seconds_on_the_quotation_side_only(tmp_path: Path) -> None:
    """An `Origin` header changes the group; the private side does not look at it."""
    async with running(config_in(tmp_path, speed=0.001)) as simulator:
        page = {"Origin": "http://localhost:3000"}
        answers = [await raw(simulator, f"/v1/{name}", **page) for name in ("market/all", "ticker?markets=KRW-BTC")]
        private = [await raw(simulator, "/v1/accounts", **page | simulator.token("")) for _ in range(2)]
        other, _, _ = await raw(simulator, "/v1/market/all")

    assert [status for status, _, _ in answers] == [200, 429]
    assert [headers["Remaining-Req"] for _, _, headers in answers] == ["group=origin; min=6; sec=0"] * 2
    assert ([status for status, _, _ in private], other) == ([200, 200], 200)


async def test_client_that_goes_on_after_refusals_is_blocked(tmp_path: Path) -> None:
    """Ten calls, thirty refusals, and then 418 with its time on every path of the public side."""
    async with running(config_in(tmp_path, speed=0.001)) as simulator:
        answers = [await raw(simulator, "/v1/candles/minutes/1?market=KRW-BTC") for _ in range(42)]
        other = await raw(simulator, "/v1/market/all")
        private, _ = await simulator.signed("GET", "/v1/accounts")

    assert [status for status, _, _ in answers] == [200] * 10 + [429] * 31 + [418]
    assert other[:2] == (418, b"Too many API requests. Blocked for 10 seconds.")
    assert other[2]["Retry-After"] == "10"
    assert other[2]["Remaining-Req"].startswith("group=market; ")
    assert private == 200
