"""pyupbit 0.2.34, whose addresses are literals and are redirected: REST, orders, and its socket process."""

from __future__ import annotations

from typing import Any

import pytest

from conformance_truth import candles_of, kst_ms
from simulated_exchange import RunningSimulator

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def done(run_client: Any) -> dict[str, Any]:
    return run_client("pyupbit", "pyupbit_calls.py")


def test_every_answer_carries_the_budget_that_the_client_insists_on(done: dict[str, Any]) -> None:
    """Without a parsable `Remaining-Req` its calls raise or give None."""
    assert done["tickers"] == ["KRW-BTC", "KRW-ETH"]
    assert done["tickers_details"][1]["group"] == "market"


def test_candles_paged_backwards_are_the_exchanges_own(done: dict[str, Any], simulator: RunningSimulator) -> None:
    """400 candles in two pages, by `to` in naive UTC; the newest one was still open."""
    rows = done["candles"]
    own = candles_of(simulator, "KRW-BTC", kst_ms(rows[0][0]), kst_ms(rows[-1][0]))

    assert len(rows) == 400
    assert [kst_ms(row[0]) for row in rows[:-1]] == [row["ts"] for row in own]
    assert [row[1:6] for row in rows[:-1]] == [row["ohlcv"] for row in own]


@pytest.mark.parametrize("unit", ["minute60", "day", "week", "month"])
def test_longer_candles_are_there(done: dict[str, Any], unit: str) -> None:
    rows = done[f"candles_{unit}"]

    assert rows
    assert all(row[3] <= row[1] <= row[2] and row[3] <= row[4] <= row[2] for row in rows)


def test_prices_and_books_of_one_and_of_many(done: dict[str, Any]) -> None:
    """Many are asked for by a repeated parameter."""
    assert done["price"] > 0
    assert done["prices"].keys() == {"KRW-BTC", "KRW-ETH"}
    assert done["book"]["market"] == "KRW-BTC"
    assert len(done["book"]["orderbook_units"]) == 30
    assert [book["market"] for book in done["books"]] == ["KRW-BTC", "KRW-ETH"]


def test_account_and_chance_are_readable(done: dict[str, Any]) -> None:
    """`get_chance` sends its market as a form body of a GET."""
    assert done["balances"][0]["currency"] == "KRW"
    assert done["krw"] > 0
    assert done["chance"]["market"]["id"] == "KRW-BTC"


def test_limit_order_is_placed_found_and_cancelled(done: dict[str, Any]) -> None:
    """Lists come from the legacy address, cancels go out as a DELETE with a JSON body."""
    placed = done["limit"]["uuid"]

    assert done["limit_again"]["state"] == "wait"
    assert placed in {order["uuid"] for order in done["open"]}
    assert done["cancel"]["uuid"] == placed
    assert placed in {order["uuid"] for order in done["canceled"]}


def test_market_orders_fill(done: dict[str, Any]) -> None:
    assert done["bought"]["state"] == "cancel"
    assert done["bought"]["trades_count"] == len(done["bought"]["trades"]) > 0
    assert done["sold"]["state"] == "done"
    assert done["sold"]["executed_volume"] == done["bought"]["executed_volume"]
    assert done["sold"]["uuid"] in {order["uuid"] for order in done["done"]}


def test_refusals_read_as_none(done: dict[str, Any]) -> None:
    """The client prints the class of an error it knows and gives None."""
    assert done["no_such_order"] is None
    assert done["too_dear"] is None


@pytest.mark.parametrize("kind", ["ticker", "trade", "orderbook"])
def test_socket_process_gets_binary_frames(done: dict[str, Any], kind: str) -> None:
    """A text frame would kill its loop; in three messages none is the text of an error."""
    frames = done[f"stream_{kind}"]

    assert [frame["type"] for frame in frames] == [kind] * 3
    assert {frame["stream_type"] for frame in frames} == {"REALTIME"}
