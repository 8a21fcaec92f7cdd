"""The API in process, over fakes: answers, errors, readiness, and the runtime behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import polars as pl
import pytest

from serving import MARKET, NEVER_LEFT, NOW_MIN, OTHER, World, at, candles, promote, trade, world
from tickloop.domain.bars import bars_from_candles, candle_frame
from tickloop.domain.tables import BAR_1M, FORECAST, LEDGER
from tickloop.domain.window import MINUTE_MS, Window, to_datetime
from tickloop.entrypoints.api.live import TickerNote


@pytest.fixture
async def ready() -> AsyncIterator[tuple[World, httpx.AsyncClient]]:
    """A world that is ready, with one trade in the open minute."""
    made = world([NEVER_LEFT, trade(1, at(NOW_MIN) + 1_000, 51_000_000.0)])
    await made.prepare()
    async with made.client() as client:
        yield made, client


def iso(minute: int) -> str:
    return to_datetime(at(minute)).isoformat().replace("+00:00", "Z")


def only_error(response: httpx.Response) -> dict[str, Any]:
    errors: list[dict[str, Any]] = response.json()["errors"]
    assert len(errors) == 1
    assert set(errors[0]) == {"field", "value", "valid", "message"}
    return errors[0]


Ready = tuple[World, httpx.AsyncClient]


async def test_forecasts_of_several_markets_are_a_list_in_the_order_asked(ready: Ready) -> None:
    """One item per market, by its champion, for the minute under way."""
    _, client = ready

    answer = await client.post("/v1/forecasts", json={"markets": [OTHER, MARKET]})

    assert answer.status_code == 200
    assert [item["market"] for item in answer.json()] == [OTHER, MARKET]
    item = answer.json()[1]
    last = candles(NOW_MIN)[-1].close
    assert (item["target_minute"], item["last_bar"]) == (iso(NOW_MIN), iso(NOW_MIN - 1))
    assert (item["model_version"], item["last_price"], item["reason"]) == ("ridge-2", last, None)
    assert item["price"] == pytest.approx(last * 1.0010005, rel=1e-6)


async def test_new_champion_answers_the_next_request(ready: Ready) -> None:
    """The alias moves; the same bars are forecast by another model."""
    made, client = ready
    await client.post("/v1/forecasts", json={"markets": [MARKET]})

    promote(made.registry, "persistence-1", "ridge-2")
    await made.runtime.prepare()
    answer = await client.post("/v1/forecasts", json={"markets": [MARKET]})

    assert answer.json()[0]["model_version"] == "persistence-1"


async def test_bars_in_the_request_are_forecast_instead_of_the_servers(ready: Ready) -> None:
    """Rows of `GET /v1/bars` can be sent back as they are."""
    made, client = ready
    rows = (await client.get("/v1/bars", params={"market": MARKET, "last": NOW_MIN})).json()
    earlier = [row for row in rows if row["is_closed"]][:-10]

    answer = await client.post("/v1/forecasts", json={"markets": [MARKET], "bars": {MARKET: earlier}})

    assert answer.status_code == 200
    assert answer.json()[0]["target_minute"] == iso(NOW_MIN - 10)
    assert answer.json()[0]["last_price"] == candles(NOW_MIN - 10)[-1].close
    assert made.warehouse.read(FORECAST).is_empty()


@pytest.mark.parametrize(
    ("body", "status", "field", "value", "valid"),
    [
        ('{"markets": ["KRW-NONE"]}', 404, "markets", "KRW-NONE", [MARKET, OTHER]),
        ('{"markets": ["KRW-BTC"], "strategy": "vote"}', 422, "strategy", "vote", ["champion"]),
        ('{"markets": []}', 422, "markets", "[]", "List should have at least 1 item after validation, not 0"),
        ('{"markets": ["KRW-BTC"], "bar": 1}', 422, "bar", 1, "Extra inputs are not permitted"),
        ('{"markets": ["KRW-BTC"], "bars": {"KRW-ETH": []}}', 422, "bars.KRW-ETH", "[]", None),
        ('{"markets": ["\\ud800"]}', 404, "markets", "?", [MARKET, OTHER]),
        ("no json", 422, "0", None, None),
    ],
)
async def test_wrong_request_is_told_field_value_and_what_is_valid(
    ready: Ready, body: str, status: int, field: str, value: object, valid: object
) -> None:
    """Every error has one form."""
    _, client = ready

    answer = await client.post("/v1/forecasts", content=body, headers={"content-type": "application/json"})

    error = only_error(answer)
    assert answer.status_code == status
    assert error["field"] == field
    assert value is None or error["value"] == value
    assert valid is None or error["valid"] == valid


BAR = {"ts_open": "2024-01-22T00:00:00Z", "open": 2.0, "high": 3.0, "low": 1.0, "close": 2.0, "volume": 1.0}


@pytest.mark.parametrize(
    ("bars", "field"),
    [
        ([{**BAR, "open": "NaN"}], "bars.KRW-BTC.0.open"),
        ([{**BAR, "close": -1.0}], "bars.KRW-BTC.0.close"),
        ([{**BAR, "ts_open": "2024-01-22T00:00:01Z"}], "bars.KRW-BTC.0.ts_open"),
        ([{**BAR, "ts_open": "2024-01-22T00:00:00"}], "bars.KRW-BTC.0.ts_open"),
        ([BAR, BAR], "bars"),
        ([{**BAR, "high": 1.5}], "bars.KRW-BTC"),
    ],
)
async def test_bars_that_cannot_be_are_refused(ready: Ready, bars: list[dict[str, Any]], field: str) -> None:
    """No model is asked about a price that is not one."""
    _, client = ready

    answer = await client.post("/v1/forecasts", json={"markets": [MARKET], "bars": {MARKET: bars}})

    assert answer.status_code == 422
    assert only_error(answer)["field"] == field


async def test_too_few_bars_in_the_request_are_answered_with_a_reason(ready: Ready) -> None:
    """No forecast is an answer, not an error."""
    _, client = ready

    answer = await client.post("/v1/forecasts", json={"markets": [MARKET], "bars": {MARKET: [BAR]}})

    assert answer.status_code == 200
    assert answer.json()[0]["price"] is None
    assert "too few bars" in answer.json()[0]["reason"]


async def test_stale_bars_give_no_forecast() -> None:
    """Ten minutes without a trade: the list says why there is no price."""
    made = world()
    await made.prepare()
    made.clock.advance(10 * MINUTE_MS)
    await made.runtime.forecast_minute(at(NOW_MIN + 10))

    async with made.client() as client:
        answer = await client.post("/v1/forecasts", json={"markets": [MARKET]})

    assert answer.json()[0]["price"] is None
    assert answer.json()[0]["target_minute"] == iso(NOW_MIN + 10)


async def test_each_minute_is_forecast_by_champion_and_shadow_and_stored_once() -> None:
    """A repeated minute, as after a restart, changes nothing that is stored."""
    made = world()
    await made.prepare()
    await made.runtime.store_waiting()
    made.clock.advance(5_000)
    await made.runtime.forecast_minute(at(NOW_MIN))
    await made.runtime.store_waiting()

    rows = made.warehouse.read(FORECAST, MARKET)
    assert rows["model_version"].to_list() == ["persistence-1", "ridge-2"]
    assert set(rows["target_minute"].to_physical()) == {at(NOW_MIN)}
    assert set(rows["made_at"].to_physical()) == {at(NOW_MIN) + 2_000}
    async with made.client() as client:
        answer = await client.get("/v1/forecasts", params={"market": MARKET, "last": 1})
    assert [row["model_version"] for row in answer.json()] == ["ridge-2"]


async def test_bars_are_stored_ones_then_live_ones_then_the_open_minute(ready: Ready) -> None:
    """A stored bar stands before the live one of its minute; the last is not closed."""
    made, client = ready
    stored = bars_from_candles(candle_frame(candles(NOW_MIN)[-2:-1])).with_columns(volume=pl.lit(9.0))
    made.warehouse.replace(BAR_1M, MARKET, Window(at(NOW_MIN - 2), at(NOW_MIN - 1)), stored)

    rows = (await client.get("/v1/bars", params={"market": MARKET, "last": 3})).json()

    assert [row["ts_open"] for row in rows] == [iso(NOW_MIN - 2), iso(NOW_MIN - 1), iso(NOW_MIN)]
    assert [row["volume"] for row in rows] == [9.0, 2.0, 1.0]
    assert [row["is_closed"] for row in rows] == [True, True, False]
    assert rows[2]["close"] == 51_000_000.0
    assert list(rows[0]) == [*BAR_1M.columns, "is_closed"]


async def test_ledger_counts_minutes_and_lists_those_not_verified(ready: Ready) -> None:
    """A person sees at once what is not whole."""
    made, client = ready
    states = ["verified", "verified", "repaired", "candle"]
    rows = pl.DataFrame(
        {
            "market": [MARKET] * 4,
            "minute": [at(minute) for minute in range(4)],
            "state": states,
            "reason": [None, None, None, "gone"],
            "our_volume": [1.0] * 4,
            "candle_volume": [1.0] * 4,
            "trades": [3] * 4,
            "is_rounded": [False] * 4,
        },
        schema=LEDGER.columns,
    )
    made.warehouse.replace(LEDGER, MARKET, Window(at(0), at(4)), rows)

    body = (await client.get("/v1/ledger", params={"market": MARKET})).json()

    assert body["counts"] == {"verified": 2, "repaired": 1, "candle": 1}
    assert [(row["minute"], row["state"], row["reason"]) for row in body["minutes"]] == [
        (iso(2), "repaired", None),
        (iso(3), "candle", "gone"),
    ]


async def test_models_and_decisions_say_who_serves_and_why(ready: Ready) -> None:
    """Aliases and the reason come from the registry."""
    _, client = ready

    models = (await client.get("/v1/models", params={"market": MARKET})).json()
    decisions = (await client.get("/v1/decisions", params={"market": MARKET})).json()

    assert [(row["name"], row["aliases"], row["is_serving"]) for row in models] == [
        ("persistence-1", ["previous"], True),
        ("ridge-2", ["champion"], True),
    ]
    assert [(row["champion"], row["reason"], row["slot_start"]) for row in decisions] == [
        ("ridge-2", "in a test", iso(0))
    ]


@pytest.mark.parametrize("path", ["orders", "equity", "backtests", "forecasts"])
async def test_tables_without_rows_are_empty_lists(ready: Ready, path: str) -> None:
    """Nothing yet is not an error."""
    _, client = ready

    answer = await client.get(f"/v1/{path}")

    assert (answer.status_code, answer.json()) == (200, [])


@pytest.mark.parametrize(
    ("path", "status", "field"),
    [
        ("/v1/bars", 422, "market"),
        ("/v1/bars?market=KRW-NONE", 404, "market"),
        ("/v1/orders?market=KRW-NONE", 404, "market"),
        ("/v1/ledger?market=", 404, "market"),
        ("/v1/bars?market=KRW-BTC&last=0", 422, "last"),
        ("/v1/bars?market=KRW-BTC&last=many", 422, "last"),
        ("/v1/nothing", 404, "request"),
    ],
)
async def test_wrong_address_is_answered_in_the_same_form(ready: Ready, path: str, status: int, field: str) -> None:
    """Reads tell field, value and what is valid too."""
    _, client = ready

    answer = await client.get(path)

    assert answer.status_code == status
    assert only_error(answer)["field"] == field


async def test_ready_process_says_so_and_shows_its_state(ready: Ready) -> None:
    """Health, readiness, status and figures of a process that serves."""
    _, client = ready

    health, readiness = await client.get("/healthz"), await client.get("/readyz")
    status = (await client.get("/v1/status")).json()
    figures = (await client.get("/metrics")).text

    assert (health.status_code, readiness.status_code) == (200, 200)
    assert (status["is_ready"], status["market_time"]) == (True, iso(NOW_MIN).replace("00Z", "02Z"))
    market = status["markets"][0]
    assert (market["stream"], market["champion"], market["shadows"]) == ("open", "ridge-2", ["persistence-1"])
    assert (market["last_price"], market["last_bar"]) == (51_000_000.0, iso(NOW_MIN - 1))
    assert 'tickloop_forecasts_total{market="KRW-BTC"} 2.0' in figures
    assert 'tickloop_request_seconds_count{route="/v1/status",status="200"} 1.0' in figures
    assert 'route="other"' not in figures


async def test_process_without_champion_stream_or_history_says_what_is_missing() -> None:
    """The reasons of the 503 name market and cause."""
    made = world(script=(), is_promoted=False)

    async with made.client() as client:
        answer = await client.get("/readyz")

    assert answer.status_code == 503
    reasons = [reason for reason in answer.json()["reasons"] if reason.startswith(MARKET)]
    assert [any(word in reason for reason in reasons) for word in ("champion", "subscribed", "start-up bars")] == [
        True
    ] * 3


@pytest.mark.parametrize(("silent_min", "status"), [(5, 200), (6, 503)])
async def test_market_without_trades_is_stale(silent_min: int, status: int) -> None:
    """Market minutes count, from the receipt of the newest trade."""
    made = world([NEVER_LEFT, *(trade(1, at(NOW_MIN) + 1_000, market=market) for market in (MARKET, OTHER))])
    await made.prepare()
    made.clock.set(at(NOW_MIN + silent_min) + 1_000)

    async with made.client() as client:
        answer = await client.get("/readyz")

    assert answer.status_code == status
    if status == 503:
        assert answer.json()["reasons"][0] == "KRW-BTC: no trade for 6.0 market minutes; valid: at most 5"


async def test_market_that_has_ended_is_no_alarm() -> None:
    """Where a recording ends its stream ends: status says so, readiness holds for it."""
    made = world([NEVER_LEFT, TickerNote(OTHER, has_ended=True)])
    await made.prepare()
    made.clock.advance(60 * MINUTE_MS)

    async with made.client() as client:
        reasons = (await client.get("/readyz")).json()["reasons"]
        status = (await client.get("/v1/status")).json()["markets"]

    assert [reason.split(":")[0] for reason in reasons] == [MARKET]
    assert [market["stream"] for market in status] == ["open", "ended"]
    assert "no alarm" in status[1]["message"]


async def test_with_a_token_every_v1_address_asks_for_it() -> None:
    """Health and figures stay open: they tell nothing of the account."""
    made = world()
    await made.prepare()

    async with made.client(token="secret-of-the-test") as client:
        paths = ("/v1/status", "/v1/nothing", "/healthz", "/metrics")
        without = [(await client.get(path)).status_code for path in paths]
        wrong = await client.get("/v1/status", headers={"Authorization": "Bearer other"})
        right = await client.get("/v1/status", headers={"Authorization": "Bearer secret-of-the-test"})

    assert without == [401, 401, 200, 200]
    assert (wrong.status_code, right.status_code) == (401, 200)
    assert only_error(wrong)["field"] == "Authorization"


async def test_openapi_describes_rows_by_the_tables(ready: Ready) -> None:
    """The page is made from the same column lists as the warehouse."""
    _, client = ready

    schema = (await client.get("/openapi.json")).json()

    assert set(schema["components"]["schemas"]["Bar"]["properties"]) == {*BAR_1M.columns, "is_closed"}
    assert all(operation.get("summary") for path in schema["paths"].values() for operation in path.values())
