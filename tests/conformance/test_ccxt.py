"""ccxt 4.5.90, unchanged but for the address: REST, private REST and both sockets of ccxt.pro."""

from __future__ import annotations

from typing import Any

import pytest

from conformance_truth import candles_of, get
from simulated_exchange import RunningSimulator

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def rest(run_client: Any) -> dict[str, Any]:
    return run_client("ccxt", "ccxt_rest.py")


@pytest.fixture(scope="module")
def streams(run_client: Any) -> dict[str, Any]:
    return run_client("ccxt", "ccxt_streams.py")


def test_markets_and_tickers_are_those_on_offer(rest: dict[str, Any], simulator: RunningSimulator) -> None:
    on_offer = sorted("/".join(reversed(row["market"].split("-"))) for row in get(simulator, "/v1/market/all"))

    assert rest["markets"] == rest["tickers"] == rest["two_tickers"] == on_offer == ["BTC/KRW", "ETH/KRW"]
    assert rest["ticker"]["last"] > 0


def test_candles_paged_forwards_are_the_exchanges_own(rest: dict[str, Any], simulator: RunningSimulator) -> None:
    """Two pages of 200, by `since`: every minute that has a candle, once, in order."""
    first, last = rest["candles"][0][0], rest["candles"][-1][0]
    own = candles_of(simulator, "KRW-BTC", first, last + 60_000)

    assert [row[0] for row in rest["candles"]] == [row["ts"] for row in own]
    assert [row[1:] for row in rest["candles"]] == [row["ohlcv"] for row in own]
    assert len(rest["candles"]) > 350


@pytest.mark.parametrize("unit", ["1s", "15m", "4h", "1d", "1w", "1M"])
def test_candles_of_every_period_come_oldest_first(rest: dict[str, Any], unit: str) -> None:
    rows = rest[f"candles_{unit}"]

    assert rows
    assert [row[0] for row in rows] == sorted({row[0] for row in rows})
    assert all(low <= opening <= high and low <= close <= high for _, opening, high, low, close, _ in rows)


def test_book_and_trades_read_as_the_clients_own_forms(rest: dict[str, Any]) -> None:
    book, trades = rest["book"], rest["trades"]

    assert len(book["bids"]) == len(book["asks"]) == 5
    assert book["bids"][0][0] < book["asks"][0][0]
    assert len(trades) == 200
    assert len({trade["id"] for trade in trades}) == 200
    assert {trade["side"] for trade in trades} == {"buy", "sell"}


def test_account_and_fee_are_readable(rest: dict[str, Any]) -> None:
    assert rest["balance"]["KRW"] > 0
    assert (rest["fee"]["maker"], rest["fee"]["taker"]) == (0.0005, 0.0005)


def test_limit_order_is_placed_found_replaced_and_cancelled(rest: dict[str, Any]) -> None:
    """`edit_order` is the exchange's cancel_and_new: another id, and one open order before and after."""
    placed = rest["limit"]["id"]

    assert rest["limit_again"]["status"] == "open"
    assert [order["id"] for order in rest["open"]] == [placed]
    assert len(rest["open_after_edit"]) == 1
    assert rest["open_after_edit"][0]["id"] != placed
    assert rest["open_after_edit"][0]["amount"] == 0.002
    assert placed in {order["id"] for order in rest["canceled"]}
    assert rest["post_only"]["timeInForce"] == "POST_ONLY"
    assert "id" in rest["cancel_post_only"]


def test_market_orders_fill_and_read_as_the_exchange_ends_them(rest: dict[str, Any]) -> None:
    """A filled market buy ends `cancel` on Upbit, which this client calls canceled; the sale of all of it ends done."""
    assert rest["bought"]["status"] == "canceled"
    assert 0 < rest["bought"]["cost"] <= 50_000
    assert rest["bought"]["trades"]
    assert rest["sold"]["status"] == "closed"
    assert rest["sold"]["filled"] == rest["bought"]["filled"]
    assert rest["sold"]["id"] in {order["id"] for order in rest["closed"]}


def test_order_test_checks_and_leaves_nothing(rest: dict[str, Any]) -> None:
    assert rest["test"]["id"]
    assert rest["test"]["id"] not in {order["id"] for order in rest["canceled"] + rest["closed"]}


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("no_such_order", "OrderNotFound"),
        ("too_dear", "InsufficientFunds"),
        ("twice", "ExchangeError"),
        ("wrong_key", "AuthenticationError"),
        ("limited", "RateLimitExceeded"),
        ("locked_out", "DDoSProtection"),
    ],
)
def test_refusals_become_the_clients_own_errors(rest: dict[str, Any], call: str, error: str) -> None:
    assert rest[call]["error"] == error, rest[call]


def test_public_streams_come_through_one_socket(streams: dict[str, Any]) -> None:
    assert streams["ticker"]["symbol"] == "BTC/KRW"
    assert streams["tickers"].keys() <= {"BTC/KRW", "ETH/KRW"}
    assert streams["trades"][0]["price"] > 0
    assert streams["book"]["bids"][0][0] < streams["book"]["asks"][0][0]
    assert streams["second_book"]["timestamp"] >= streams["book"]["timestamp"]
    assert len(streams["candles"]) == 6  # it gives the last candle alone


def test_private_streams_tell_of_an_order_its_fill_and_the_balance(streams: dict[str, Any]) -> None:
    bought = streams["buy"]["id"]

    assert bought in {order["id"] for order in streams["orders"]}
    assert {trade["order"] for trade in streams["my_trades"]} == {bought}
    assert streams["balance"]["total"].keys() & {"KRW", "BTC"}
