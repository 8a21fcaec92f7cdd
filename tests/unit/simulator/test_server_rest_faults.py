"""Trouble on REST that was ordered, as clients meet it, and the hand that orders it."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import make_mocked_request
from running_simulator import MINUTE_MS, START_MS, Simulator, config_in, running

from tickloop.errors import DataError, UsageError
from tickloop.simulator.control.api import ControlApi
from tickloop.simulator.control.fault_orders import fault_of_json, fault_of_text
from tickloop.simulator.control.gapfile import GapFile
from tickloop.simulator.faults.board import Fault, FaultBoard
from tickloop.simulator.prices.gaps import Gap

WHOLE = {"start_ms": START_MS + 20 * MINUTE_MS, "speed": 100_000.0}
CANDLE = "/v1/candles/minutes/1?market=KRW-BTC"
LIMIT = {"market": "KRW-BTC", "side": "bid", "ord_type": "limit", "price": "131000000", "volume": "0.001"}


async def raw(simulator: Simulator, path: str) -> tuple[int, str, Any]:
    async with simulator.http.get(simulator.url + path) as answer:
        return answer.status, await answer.text(), answer.headers


async def order_fault(simulator: Simulator, **fault: Any) -> tuple[int, Any]:
    async with simulator.http.post(simulator.url + "/control/faults", json=fault) as answer:
        return answer.status, await answer.json()


async def clear(simulator: Simulator, query: str = "") -> tuple[int, Any]:
    async with simulator.http.delete(simulator.url + "/control/faults" + query) as answer:
        return answer.status, await answer.json()


async def test_rate_limited_comes_in_text_and_json_and_then_is_over(tmp_path: Path) -> None:
    """On the paths that it names, as often as it says, with the budget in the header."""
    text = Fault(kind="rate_limited", path="/v1/candles")
    json = Fault(kind="rate_limited", path="/v1/candles", form="json", count=2)
    async with running(config_in(tmp_path, **WHOLE, faults=(text, json))) as simulator:
        ticker = await raw(simulator, "/v1/ticker?markets=KRW-BTC")
        answers = [await raw(simulator, CANDLE) for _ in range(4)]
        _, listed = await simulator.get("/control/faults")

    assert ticker[0] == 200
    assert [status for status, _, _ in answers] == [429, 429, 429, 200]
    assert answers[0][1] == "Too many API requests."
    assert answers[1][1] == '{"error":{"name":"too_many_requests","message":"Too many API requests."}}'
    assert all(headers["Remaining-Req"].startswith("group=candles; ") for _, _, headers in answers)
    assert [(one["kind"], one["number"], one["struck"]) for one in listed["faults"]] == [
        ("rate_limited", 1, 1),
        ("rate_limited", 2, 2),
    ]


async def test_locked_out_blocks_every_path_for_its_time(tmp_path: Path) -> None:
    """418 with the seconds left, until market time has passed it."""
    async with running(config_in(tmp_path, start_ms=START_MS + MINUTE_MS, speed=2_000.0)) as simulator:
        await order_fault(simulator, kind="locked_out", for_ms=30_000)
        status, body, headers = await raw(simulator, CANDLE)
        other, _, _ = await raw(simulator, "/v1/market/all")
        await simulator.clock(run=True)
        await simulator.until(lambda state: state["market_ms"] > START_MS + 2 * MINUTE_MS)
        await simulator.clock(run=False)
        after, _, _ = await raw(simulator, CANDLE)

    assert (status, body) == (418, "Too many API requests. Blocked for 30 seconds.")
    assert headers["Retry-After"] == "30"
    assert (other, after) == (418, 200)


async def test_locked_out_without_a_time_lasts_until_it_is_cleared(tmp_path: Path) -> None:
    """`for_ms` 0 is until then, in JSON when told so."""
    async with running(config_in(tmp_path, **WHOLE)) as simulator:
        _, ordered = await order_fault(simulator, kind="locked_out", form="json")
        before = [await raw(simulator, CANDLE) for _ in range(2)]
        cleared = await clear(simulator, f"?number={ordered['number']}")
        after, _, _ = await raw(simulator, CANDLE)

    assert [status for status, _, _ in before] == [418, 418]
    assert '"name":"too_many_requests"' in before[0][1]
    assert (cleared, after) == ((200, {"cleared": 1}), 200)


async def test_server_error_and_maintenance_have_the_exchanges_names(tmp_path: Path) -> None:
    """500 on any path; maintenance refuses orders alone, until it is cleared."""
    async with running(config_in(tmp_path, **WHOLE)) as simulator:
        await order_fault(simulator, kind="server_error", path="/v1/accounts")
        error = await simulator.signed("GET", "/v1/accounts")
        await order_fault(simulator, kind="maintenance")
        closed = await simulator.signed("POST", "/v1/orders", LIMIT)
        accounts, _ = await simulator.signed("GET", "/v1/accounts")
        candles, _, _ = await raw(simulator, CANDLE)
        await clear(simulator)
        opened, _ = await simulator.signed("POST", "/v1/orders", LIMIT)

    assert (error[0], error[1]["error"]["name"]) == (500, "internal_server_error")
    assert (closed[0], closed[1]["error"]["name"]) == (403, "market_offline")
    assert (accounts, candles, opened) == (200, 200, 201)


async def test_lost_answer_leaves_an_order_that_was_taken(tmp_path: Path) -> None:
    """The connection breaks; a second attempt is a duplicate; a question by its identifier finds it."""
    order = LIMIT | {"identifier": "lost"}
    fault = Fault(kind="answer_lost", path="/v1/orders", method="POST")
    async with running(config_in(tmp_path, **WHOLE, faults=(fault,))) as simulator:
        listed, _ = await simulator.signed("GET", "/v1/orders/open")
        with pytest.raises(aiohttp.ClientConnectionError):
            await simulator.signed("POST", "/v1/orders", order)
        again = await simulator.signed("POST", "/v1/orders", order)
        found = await simulator.signed("GET", "/v1/order", query="identifier=lost")

    assert listed == 200
    assert (again[0], again[1]["error"]["name"]) == (400, "duplicated_identifier")
    assert (found[0], found[1]["state"]) == (200, "wait")


async def test_slow_answer_waits_before_it_is_carried_out(tmp_path: Path) -> None:
    """A client that gives up earlier finds nothing: it was not taken."""
    order = LIMIT | {"identifier": "slow"}
    async with running(config_in(tmp_path, **WHOLE)) as simulator:
        await order_fault(simulator, kind="slow_answer", path="/v1/orders", delay_ms=60_000)
        headers = simulator.token("&".join(f"{name}={value}" for name, value in order.items()))
        timeout = aiohttp.ClientTimeout(total=0.05)
        with pytest.raises(TimeoutError):
            await simulator.http.post(simulator.url + "/v1/orders", json=order, headers=headers, timeout=timeout)
        missing, _ = await simulator.signed("GET", "/v1/order", query="identifier=slow")
        late, _ = await simulator.signed("POST", "/v1/orders", order)

    assert (missing, late) == (404, 201)


async def test_date_header_is_market_time_off_by_the_skew(tmp_path: Path) -> None:
    """Of answers and of errors; a client can measure the skew by it."""
    async with running(config_in(tmp_path, start_ms=START_MS + MINUTE_MS)) as simulator:
        _, _, right = await raw(simulator, CANDLE)
        await order_fault(simulator, kind="clock_skew", offset_ms=-5_000)
        _, _, wrong = await raw(simulator, "/v1/nothing")

    stated = [int(parsedate_to_datetime(one["Date"]).timestamp() * 1000) for one in (right, wrong)]
    assert stated == [START_MS + MINUTE_MS, START_MS + MINUTE_MS - 5_000]


async def test_slow_cancel_shows_its_effect_when_market_time_has_passed(tmp_path: Path) -> None:
    """Answered `wait`, still open, and `cancel` later without a trade in between."""
    fault = Fault(kind="slow_cancel", for_ms=2_000)
    async with running(config_in(tmp_path, start_ms=START_MS + MINUTE_MS, faults=(fault,))) as simulator:
        _, order = await simulator.signed("POST", "/v1/orders", LIMIT)
        query = f"uuid={order['uuid']}"
        _, answer = await simulator.signed("DELETE", "/v1/order", query=query)
        _, before = await simulator.signed("GET", "/v1/order", query=query)
        await simulator.clock(run=True)
        await simulator.until(lambda state: state["account"]["open"] == 0)
        _, after = await simulator.signed("GET", "/v1/order", query=query)

    assert [one["state"] for one in (answer, before, after)] == ["wait", "wait", "cancel"]


async def test_gap_that_is_ordered_while_it_runs_is_known_to_the_truth_and_survives_a_restart(tmp_path: Path) -> None:
    """One market's trades from the next millisecond on are withheld; another start goes on with the gap."""
    config = config_in(tmp_path, start_ms=START_MS + 2 * MINUTE_MS)
    window = {"start": START_MS, "end": START_MS + 60 * MINUTE_MS}
    async with running(config) as simulator:
        _, before = await simulator.get("/control/truth", **window)
        status, _ = await order_fault(simulator, kind="gap", market="KRW-BTC", for_ms=90_000, is_refused_by_rest=True)
        _, during = await simulator.get("/control/truth", **window)
    async with running(config) as simulator:
        _, after = await simulator.get("/control/truth", **window)

    def hours(answer: Any, market: str) -> list[tuple[int, list[int]]]:
        return [(hour["withheld"], hour["candle"]) for hour in answer["markets"][market]["hours"]]

    minutes = [START_MS + 2 * MINUTE_MS, START_MS + 3 * MINUTE_MS]
    assert status == 200
    assert hours(before, "KRW-BTC") == [(0, [])]
    [(withheld, candle)] = hours(during, "KRW-BTC")
    assert (withheld > 0, candle) == (True, minutes)
    assert hours(after, "KRW-BTC") == hours(during, "KRW-BTC")
    assert hours(during, "KRW-ETH") == [(0, [])]


async def test_gap_of_no_market_is_one_of_every_market(tmp_path: Path) -> None:
    """What the file says is what the next start withholds."""
    async with running(config_in(tmp_path, start_ms=START_MS + 2 * MINUTE_MS)) as simulator:
        await order_fault(simulator, kind="gap", for_ms=1_000)

    first = START_MS + 2 * MINUTE_MS + 1
    assert GapFile(tmp_path / "gaps.json").gaps == (
        Gap("KRW-BTC", first, first + 1_000, False),
        Gap("KRW-ETH", first, first + 1_000, False),
    )


def test_gap_file_that_is_none_is_named(tmp_path: Path) -> None:
    """With what to do about it."""
    (tmp_path / "gaps.json").write_bytes(b"[{}]")

    with pytest.raises(DataError, match=r"gaps\.json is no list of gaps .* delete it"):
        GapFile(tmp_path / "gaps.json")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"kind": "nope"}, "valid kinds: rate_limited, locked_out"),
        ({"kind": "drop", "colour": "red"}, "colour.*valid names: kind, path, method"),
        ({"kind": "drop", "count": -1}, r"count.*valid names"),
        ({"kind": "gap"}, "for_ms 0 of a gap; valid: 1 or more"),
        ({"kind": "drop", "market": "KRW-NONE"}, "market 'KRW-NONE'; valid: KRW-BTC, KRW-ETH"),
    ],
)
async def test_fault_that_cannot_be_is_refused_by_field(tmp_path: Path, fault: dict[str, Any], message: str) -> None:
    """Nothing gets onto the board."""
    async with running(config_in(tmp_path)) as simulator:
        status, answer = await order_fault(simulator, **fault)
        _, listed = await simulator.get("/control/faults")

    assert (status, answer["error"]["name"]) == (400, "invalid_parameter")
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(answer["error"]["message"])
    assert listed == {"faults": []}


async def test_start_with_a_fault_of_an_unknown_market_is_refused(tmp_path: Path) -> None:
    """Before anything is served."""
    fault = Fault(kind="drop", market="KRW-NONE")

    with pytest.raises(UsageError, match="fault drop: market 'KRW-NONE'; valid: KRW-BTC, KRW-ETH"):
        async with running(config_in(tmp_path, faults=(fault,))):
            raise AssertionError("it runs")


def test_fault_of_a_command_line_is_read_by_name() -> None:
    """Numbers and booleans come from their text; a wrong one is named with what is valid."""
    read = fault_of_text("kind=gap, market=KRW-BTC,for_ms=90000,is_refused_by_rest=true")

    assert read == Fault(kind="gap", market="KRW-BTC", for_ms=90_000, is_refused_by_rest=True)
    for text, message in [
        ("kind=gap,for_ms=soon", r"for_ms.*valid names: kind"),
        ("gap", "'gap' is not of the form name=value"),
        ("kind=gape", "valid kinds: rate_limited"),
        ("count=2", "kind"),
    ]:
        with pytest.raises(ValueError, match=message):
            fault_of_text(text)
    with pytest.raises(ValueError, match="valid names"):
        fault_of_json(b"[[[[")


async def test_number_of_a_fault_must_be_one(tmp_path: Path) -> None:
    """And clearing one that is not there clears nothing."""
    async with running(config_in(tmp_path)) as simulator:
        wrong, _ = await clear(simulator, "?number=first")
        none = await clear(simulator, "?number=7")

    assert (wrong, none) == (400, (200, {"cleared": 0}))


async def test_control_from_another_machine_is_refused() -> None:
    """Whoever is not on the loopback gets 403 and does nothing."""
    control = ControlApi(*[None] * 4, FaultBoard(), None)  # type: ignore[arg-type]
    for remote, status in [("192.0.2.7", 403), ("::1", 200), ("127.0.0.1", 200)]:
        request = make_mocked_request("GET", "/control/faults")
        answer = await control.answer(request.clone(remote=remote), "/control/faults")

        assert answer.status == status
