"""The exchange's own SDK 1.1.0, unchanged but for the address: every market and order call, and its sockets."""

from __future__ import annotations

from typing import Any

import pytest

from conformance_truth import candles_of, utc_ms
from simulated_exchange import RunningSimulator

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def done(run_client: Any) -> dict[str, Any]:
    return run_client("upbit-sdk", "sdk_calls.py")


def test_no_call_failed_but_the_one_that_should(done: dict[str, Any]) -> None:
    failed = {name for name, value in done.items() if isinstance(value, dict) and set(value) == {"error", "text"}}

    assert failed == {"no_such_order"}, {name: done[name] for name in failed}
    assert done["no_such_order"]["error"] == "NotFoundError"


def test_markets_with_details(done: dict[str, Any]) -> None:
    assert [row["market"] for row in done["markets"]] == ["KRW-BTC", "KRW-ETH"]
    assert done["markets"][0]["market_event"]["warning"] is False


def test_candles_are_the_exchanges_own(done: dict[str, Any], simulator: RunningSimulator) -> None:
    rows = done["candles"][:0:-1]  # the newest was still open
    own = candles_of(
        simulator,
        "KRW-BTC",
        utc_ms(rows[0]["candle_date_time_utc"]),
        utc_ms(rows[-1]["candle_date_time_utc"]) + 60_000,
    )

    assert [utc_ms(row["candle_date_time_utc"]) for row in rows] == [row["ts"] for row in own]
    assert len(rows) == 199


@pytest.mark.parametrize("unit", ["seconds", "days", "weeks", "months", "years"])
def test_candles_of_every_period(done: dict[str, Any], unit: str) -> None:
    rows = done[f"candles_{unit}"]

    assert rows
    assert all(row["low_price"] <= row["opening_price"] <= row["high_price"] for row in rows)


def test_books_have_levels_that_the_instruments_list(done: dict[str, Any]) -> None:
    assert [book["market"] for book in done["books"]] == ["KRW-BTC", "KRW-ETH"]
    assert all(len(book["orderbook_units"]) == 5 for book in done["books"])
    assert float(done["instruments"][0]["tick_size"]) == 1_000
    assert float(done["levelled_book"][0]["level"]) == 10_000


def test_order_lives_through_replacement_and_cancel(done: dict[str, Any]) -> None:
    """`remain_only` keeps what was not executed; the answer is the order before, with the new one's name."""
    assert done["limit_again"]["state"] == "wait"
    assert [order["identifier"] for order in done["by_ids"]] == ["sdk-1"]
    assert "sdk-1" in {order["identifier"] for order in done["open"]}
    assert done["cancel_and_new"]["new_order_identifier"] == "sdk-2"
    assert done["second"]["remaining_volume"] == "0.001"
    assert done["cancel"]["state"] == "wait"


def test_batch_cancels_tell_what_they_did(done: dict[str, Any]) -> None:
    assert done["cancel_by_ids"]["success"]["count"] == 1
    assert done["cancel_by_ids"]["failed"]["count"] == 1
    assert done["cancel_open"]["success"]["count"] == 2
    assert {"sdk-2", "sdk-3", "sdk-4", "sdk-5"} <= {order["identifier"] for order in done["closed"]}


def test_market_buy_ends_as_the_exchange_ends_it(done: dict[str, Any]) -> None:
    assert done["bought"]["state"] == "cancel"
    assert float(done["bought"]["executed_volume"]) > 0


@pytest.mark.parametrize(
    ("name", "kind"), [("ticker", "ticker"), ("trade", "trade"), ("orderbook", "orderbook"), ("candle", "candle.1m")]
)
def test_public_streams_give_a_snapshot_then_what_happens(done: dict[str, Any], name: str, kind: str) -> None:
    frames = done[f"stream_{name}"]

    assert [frame["type"] for frame in frames] == [kind] * 2
    assert frames[0]["stream_type"] == "SNAPSHOT"


@pytest.mark.parametrize("form", ["SIMPLE", "JSON_LIST", "SIMPLE_LIST"])
def test_other_formats_are_read(done: dict[str, Any], form: str) -> None:
    first = done[f"stream_{form}"][0]
    frame = first[0] if form.endswith("LIST") else first

    assert frame["ty" if form.startswith("SIMPLE") else "type"] == "trade"


def test_private_streams_tell_of_an_order(done: dict[str, Any]) -> None:
    assert done["stream_my_order"][0]["identifier"] == "sdk-my-order"
    assert {asset["currency"] for asset in done["stream_my_asset"][0]["assets"]} <= {"KRW", "BTC"}
