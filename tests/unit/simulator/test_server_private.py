"""The order endpoints over a loopback port: lists, replacements, batches, tests, budgets, a full disk."""

from __future__ import annotations

import contextlib
import sqlite3
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from running_simulator import MINUTE_MS, START_MS, Simulator, config_in, running

from tickloop.errors import DataError, SchemaTooNewError
from tickloop.simulator.account.state import Store

WHOLE = {"start_ms": START_MS + 20 * MINUTE_MS, "speed": 100_000.0}


def limit(identifier: str, price: int = 131_000_000, **fields: str) -> dict[str, str]:
    base = {"market": "KRW-BTC", "side": "bid", "ord_type": "limit", "price": str(price), "volume": "0.001"}
    return base | {"identifier": identifier} | fields


async def placed(simulator: Simulator, *identifiers: str) -> list[str]:
    """Place resting buys; give their uuids."""
    return [(await simulator.signed("POST", "/v1/orders", limit(name)))[1]["uuid"] for name in identifiers]


def name_of(answer: tuple[int, Any]) -> tuple[int, str]:
    return answer[0], answer[1]["error"]["name"]


async def test_orders_are_listed_by_ids_of_either_kind(tmp_path: Path) -> None:
    """The newest first unless asked otherwise; unknown ones are left out; both kinds at once are refused."""
    async with running(config_in(tmp_path, **WHOLE)) as simulator:
        first, second = await placed(simulator, "a", "b")
        query = f"uuids[]={first}&uuids[]={second}&uuids[]=nobody"
        _, by_uuid = await simulator.signed("GET", "/v1/orders/uuids", query=query)
        _, by_name = await simulator.signed(
            "GET", "/v1/orders/uuids", query="identifiers[]=a&identifiers[]=b&order_by=asc"
        )
        _, elsewhere = await simulator.signed("GET", "/v1/orders/uuids", query=f"market=KRW-ETH&uuids[]={first}")
        both = await simulator.signed("GET", "/v1/orders/uuids", query=f"uuids[]={first}&identifiers[]=a")
        none = await simulator.signed("GET", "/v1/orders/uuids", query="market=KRW-BTC")

    assert [one["uuid"] for one in by_uuid] == [second, first]
    assert [one["identifier"] for one in by_name] == ["a", "b"]
    assert elsewhere == []
    assert all("trades" not in one for one in by_uuid)
    assert [name_of(one) for one in (both, none)] == [(400, "validation_error")] * 2


async def test_old_list_address_answers_a_form_body_as_pyupbit_sends_it(tmp_path: Path) -> None:
    """By state, page and limit; `state=done` shows the ended ones."""
    form = "market=KRW-BTC&state=wait&page=1&limit=2&order_by=desc"
    async with running(config_in(tmp_path, **WHOLE)) as simulator:
        uuids = await placed(simulator, "a", "b", "c")
        await simulator.signed(
            "POST", "/v1/orders", {"market": "KRW-BTC", "side": "bid", "ord_type": "price", "price": "6000"}
        )
        headers = {"Content-Type": "application/x-www-form-urlencoded", **simulator.token(form)}
        async with simulator.http.get(simulator.url + "/v1/orders", data=form, headers=headers) as answer:
            page = await answer.json()
        _, second = await simulator.signed("GET", "/v1/orders", query="market=KRW-BTC&page=2&limit=2")
        _, ended = await simulator.signed("GET", "/v1/orders", query="states[]=done&states[]=cancel")
        _, watched = await simulator.signed("GET", "/v1/orders/open", query="states[]=watch")
        wrong = await simulator.signed("GET", "/v1/orders", query="state=open")

    assert [one["uuid"] for one in page] == [uuids[2], uuids[1]]
    assert [one["uuid"] for one in second] == [uuids[0]]
    assert [one["ord_type"] for one in ended] == ["price"]
    assert watched == []
    assert name_of(wrong) == (400, "validation_error")


async def test_replacement_answers_with_the_old_order_and_the_new_names(tmp_path: Path) -> None:
    """201, `wait`, and the new one open with the rest of the old."""
    async with running(config_in(tmp_path, **WHOLE)) as simulator:
        [old] = await placed(simulator, "a")
        wanted = {
            "prev_order_identifier": "a",
            "new_ord_type": "limit",
            "new_price": "130000000",
            "new_volume": "remain_only",
            "new_identifier": "b",
        }
        status, answer = await simulator.signed("POST", "/v1/orders/cancel_and_new", wanted)
        _, opened = await simulator.signed("GET", "/v1/orders/open")
        _, ended = await simulator.signed("GET", "/v1/order", query=f"uuid={old}")

    assert (status, answer["uuid"], answer["state"], answer["new_order_identifier"]) == (201, old, "wait", "b")
    assert [(one["uuid"], one["price"], one["volume"]) for one in opened] == [
        (answer["new_order_uuid"], "130000000", "0.001")
    ]
    assert ended["state"] == "cancel"


async def test_test_order_has_its_own_group_and_leaves_nothing(tmp_path: Path) -> None:
    """201 with an object that cannot be asked for."""
    async with running(config_in(tmp_path, **WHOLE)) as simulator:
        body = limit("t")
        headers = simulator.token("&".join(f"{name}={value}" for name, value in body.items()))
        async with simulator.http.post(simulator.url + "/v1/orders/test", json=body, headers=headers) as answer:
            status, made, group = answer.status, await answer.json(), answer.headers["Remaining-Req"]
        missing = await simulator.signed("GET", "/v1/order", query=f"uuid={made['uuid']}")
        poor = await simulator.signed("POST", "/v1/orders/test", limit("u", volume="1"))
        real, _ = await simulator.signed("POST", "/v1/orders", body)

    assert (status, made["state"], made["identifier"]) == (201, "wait", "t")
    assert group.startswith("group=order-test; min=480; ")
    assert name_of(missing) == (404, "order_not_found")
    assert name_of(poor) == (400, "insufficient_funds_bid")
    assert real == 201


async def test_batch_cancels_take_the_query_only(tmp_path: Path) -> None:
    """A body is refused by name; more than twenty ids, too; the answer names success and failure."""
    async with running(config_in(tmp_path, **WHOLE)) as simulator:
        first, second = await placed(simulator, "a", "b")
        body = await simulator.signed("DELETE", "/v1/orders/uuids", {"uuids": first})
        many = "&".join(f"uuids[]=x{n}" for n in range(21))
        too_many = await simulator.signed("DELETE", "/v1/orders/uuids", query=many)
        _, done = await simulator.signed("DELETE", "/v1/orders/uuids", query=f"uuids[]={first}&uuids[]=nobody")
        status, rest = await simulator.signed(
            "DELETE", "/v1/orders/open", query="pairs=KRW-BTC,KRW-ETH&cancel_side=bid"
        )

    assert name_of(body) == (400, "QUERY_PARAMETER_NOT_SUPPORTED")
    assert name_of(too_many) == (400, "validation_error")
    assert done == {
        "success": {"count": 1, "orders": [{"uuid": first, "market": "KRW-BTC", "identifier": "a"}]},
        "failed": {"count": 1, "orders": [{"uuid": "nobody"}]},
    }
    assert (status, [one["uuid"] for one in rest["success"]["orders"]]) == (200, [second])


async def test_cancel_of_all_open_orders_is_once_in_two_seconds(tmp_path: Path) -> None:
    """In a group of its own; its parameters are checked."""
    async with running(config_in(tmp_path, speed=0.001, start_ms=WHOLE["start_ms"])) as simulator:
        wrong = await simulator.signed("DELETE", "/v1/orders/open", query="pairs=KRW-BTC&quote_currencies=KRW")
        async with simulator.http.delete(simulator.url + "/v1/orders/open", headers=simulator.token("")) as answer:
            status, group = answer.status, answer.headers["Remaining-Req"]

    assert name_of(wrong) == (400, "validation_error")
    assert (status, group) == (429, "group=order-cancel-all; min=30; sec=0")


@pytest.mark.parametrize("per_s", [8, 12])
async def test_order_budget_is_the_configured_one(tmp_path: Path, per_s: int) -> None:
    """8 a second, 12 since 2026-08-21; an order that is refused for its form counts as well."""
    config = config_in(tmp_path, speed=0.001, start_ms=WHOLE["start_ms"], order_limit_per_s=per_s)
    statuses = []
    async with running(config) as simulator:
        for n in range(per_s + 1):
            headers = simulator.token(f"identifier={n}")
            body = {"identifier": str(n)}
            async with simulator.http.post(simulator.url + "/v1/orders", json=body, headers=headers) as answer:
                statuses.append((answer.status, answer.headers["Remaining-Req"]))
        default, _ = await simulator.signed("GET", "/v1/accounts")

    assert [status for status, _ in statuses] == [400] * per_s + [429]
    assert statuses[0][1] == f"group=order; min={per_s * 60}; sec={per_s - 1}"
    assert default == 200


async def test_private_budget_of_thirty_a_second_is_one_for_the_account(tmp_path: Path) -> None:
    """The 31st is refused in plain text, whatever address it asks for."""
    statuses = []
    async with running(config_in(tmp_path, speed=0.001)) as simulator:
        for n in range(31):
            path = ("/v1/accounts", "/v1/orders/open")[n % 2]
            async with simulator.http.get(simulator.url + path, headers=simulator.token("")) as answer:
                statuses.append(answer.status)
                text, group = await answer.text(), answer.headers["Remaining-Req"]

    assert statuses == [200] * 30 + [429]
    assert (text, group) == ("Too many API requests.", "group=default; min=1800; sec=0")


async def test_order_on_a_full_disk_is_a_server_error_and_was_not_taken(tmp_path: Path, monkeypatch: Any) -> None:
    """500 with the exchange's name; the balances are those of before, and reading goes on."""
    connect, opened = sqlite3.connect, []

    def remember(*values: Any, **options: Any) -> sqlite3.Connection:
        opened.append(connect(*values, **options))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", remember)
    async with running(config_in(tmp_path, **WHOLE)) as simulator:
        [database] = opened
        database.execute("create table filler (bytes blob)")
        pages = database.execute("pragma page_count").fetchone()[0]
        database.execute(f"pragma max_page_count = {pages}")
        refused = []
        for n in range(60):
            answer = await simulator.signed("POST", "/v1/orders", limit(f"{n:064d}"))
            refused += [answer] if answer[0] != 201 else []
            if refused:
                break
        _, accounts = await simulator.signed("GET", "/v1/accounts")
        _, missing = await simulator.signed("GET", "/v1/order", query=f"identifier={n:064d}")

    assert name_of(refused[0]) == (500, "internal_server_error")
    assert "cannot be written" in refused[0][1]["error"]["message"]
    assert missing["error"]["name"] == "order_not_found"
    assert Decimal(accounts[0]["locked"]) == n * Decimal("131065.5")


def test_account_of_an_earlier_release_is_read(tmp_path: Path) -> None:
    """Schema 1 had no cancels on their way; its balance and orders stay."""
    path = tmp_path / "account.sqlite"
    with contextlib.closing(Store(path, Decimal(5))):
        pass
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.executescript("drop table cancel; pragma user_version = 1")

    with contextlib.closing(Store(path, Decimal(9))) as store:
        store.keep_cancel("one", b"{}")
        found = store.account().holding("KRW").available, store.cancels()

    assert found == (Decimal(5), [b"{}"])


@pytest.mark.parametrize("is_newer", [False, True])
def test_account_that_cannot_be_opened_is_let_go(tmp_path: Path, monkeypatch: Any, is_newer: bool) -> None:
    """No database, or a newer one: the error says so and the connection is closed."""
    path, connect, opened = tmp_path / "account.sqlite", sqlite3.connect, []
    if is_newer:
        with contextlib.closing(connect(path)) as database:
            database.execute("pragma user_version = 99")
    else:
        path.write_bytes(b"no database at all, but long enough to be read as one" * 9)
    monkeypatch.setattr(
        sqlite3, "connect", lambda *values, **named: opened.append(connect(*values, **named)) or opened[0]
    )

    with pytest.raises(SchemaTooNewError if is_newer else DataError):
        Store(path, Decimal(1))

    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        opened[0].execute("select 1")
