"""Parity: one journal through the laptop's profile and through the cluster's gives the same bits, to the forecasts."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "airflow"))

from cluster_journal import Played, play
from cluster_world import (
    LIVE,
    MARKETS,
    NOW_MS,
    Place,
    Servers,
    app_of,
    make_home,
    minute,
    new_place,
    plan_history,
    run_until_nothing_is_due,
    ship_once,
    trades_of,
)
from environment import airflow, interpreter, script, variables

from digests import digest, home_digests, renamed_in, stable_names
from serving import ScriptedFeed
from simulated_exchange import running_simulator
from tickloop.bootstrap import App
from tickloop.domain.market import Trade
from tickloop.domain.tables import FORECAST, REPAIR, RUN
from tickloop.domain.window import HOUR_MS, Window, parse_window
from tickloop.entrypoints.api.app import create_app
from tickloop.entrypoints.api.runtime import ServingRuntime
from tickloop.ports import Disconnected
from tickloop.services.chain import run_hours

pytestmark = pytest.mark.server

SEED = 5
LOST = Window(minute(10), minute(13))
"""Minutes of KRW-BTC that the stream never gave: verify fetches them, and the chain goes back."""

API_ADDRESSES = (
    "/v1/forecasts?last=20",
    "/v1/models",
    "/v1/decisions?market=KRW-BTC",
    "/v1/decisions?market=KRW-ETH",
    "/v1/bars?market=KRW-BTC&last=150",
    "/v1/ledger?market=KRW-BTC&last=200",
    "/v1/backtests?last=50",
)


@dataclass(frozen=True)
class World:
    """A simulator whose clock stands, and a journal of what it traded."""

    folder: Path
    rest_url: str
    played: Played

    def home(self, name: str, place: Place | None) -> Path:
        return make_home(self.folder / name, self.folder / "sim", self.rest_url, self.folder / "journal", place)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Real candles of two days and two live hours, with the trades that the simulator makes of them."""
    folder = tmp_path_factory.mktemp("parity")
    with running_simulator(folder / "sim", start_ms=NOW_MS, is_held=True) as simulator:
        trades = trades_of(simulator, MARKETS, LIVE)
        refused = [trades[len(trades) // 3].trade_id, trades[len(trades) // 2].trade_id]
        played = play(folder / "journal", trades, SEED, is_lost=is_lost, refused=refused)
        yield World(folder, simulator.rest_url, played)


def is_lost(trade: Trade) -> bool:
    return trade.market == MARKETS[0] and trade.ts_event_ms in LOST


@pytest.fixture(scope="module")
def laptop(world: World) -> dict[str, Any]:
    """What the laptop makes of the journal, and what its API says."""
    home = world.home("laptop", None)
    plan_history(home)
    run_until_nothing_is_due(home)
    return all_of(home)


@pytest.fixture(scope="module")
def places(servers: Servers) -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_fixture_holds_what_makes_streams_hard(world: World) -> None:
    """Repeats, tickers in between, refused lines; the rest of this file proves little without them."""
    played = world.played

    assert played.trades > 1_000
    assert min(played.repeats, played.tickers) > 10
    assert played.refused == 2


def test_cluster_by_the_loop_equals_the_laptop(
    world: World, laptop: dict[str, Any], servers: Servers, places: ExitStack
) -> None:
    """Journal, shipper, OpenSearch, steps, S3, PostgreSQL, MLflow's server, champion, API."""
    home = world.home("cluster", places.enter_context(new_place(servers)))
    shipped = ship_once(home)
    plan_history(home)
    run_until_nothing_is_due(home)

    played = world.played
    assert (shipped["refused"], shipped["known"]) == (played.refused, played.repeats)
    assert shipped["delivered"] == played.trades + played.tickers - played.repeats
    assert_equal(all_of(home), laptop)


def test_cluster_by_airflow_equals_the_laptop(
    world: World, laptop: dict[str, Any], servers: Servers, places: ExitStack, tmp_path: Path
) -> None:
    """The same by the DAGs: history, both hours, the slot that ends with them."""
    python = interpreter()
    home = world.home("airflow", places.enter_context(new_place(servers)))
    ship_once(home)
    plan_history(home)
    environment = variables(tmp_path / "airflow", home)
    airflow(python, environment, "db", "migrate")
    wanted = [
        {"dag": "history", "conf": {}},
        *({"dag": "collect_hour", "conf": {"window": str(hour)}} for hour in LIVE.hours()),
        {"dag": "train_and_promote", "conf": {"window": str(LIVE)}},
    ]

    runs = json.loads(script(python, environment, "run_dags.py", json.dumps(wanted)))

    assert [run["state"] for run in runs] == ["success"] * len(wanted)
    assert_equal(all_of(home), laptop)


def test_window_that_is_run_again_after_a_repair_gives_the_same_rows(world: World, laptop: dict[str, Any]) -> None:
    """On the home that the loop of the cluster has made: all hour steps once more, after the repair of its minutes."""
    home = world.folder / "cluster"
    with app_of(home) as app:
        for market in MARKETS:
            results = run_hours(app, market, LIVE)
            assert not [one for one in results if one.detail.get("fetched")]
        found = made_by(app, LIVE)

    assert found["KRW-BTC"]["tables"] == laptop["made"]["KRW-BTC"]["tables"]
    assert found["KRW-ETH"]["lake"] == laptop["made"]["KRW-ETH"]["lake"]


REAL_HOURS = parse_window("2026-05-12T06..T10")
"""Of the recorded trades; its first hour lies before the recording and has none at all."""


def test_real_trades_with_ties_and_an_hour_without_any(tmp_path: Path, servers: Servers, places: ExitStack) -> None:
    """Recorded trades of May 2026, thousands within the same milliseconds: equal tables and lake from both profiles."""
    simulator_folder, now_ms = tmp_path / "sim", REAL_HOURS.end_ms + HOUR_MS
    with running_simulator(simulator_folder, start_ms=now_ms, recording="bursts", is_held=True) as simulator:
        trades = trades_of(simulator, MARKETS, REAL_HOURS)
        played = play(tmp_path / "journal", trades, SEED)
        world = World(tmp_path, simulator.rest_url, played)
        homes = [world.home("laptop", None), world.home("cluster", places.enter_context(new_place(servers)))]
        ship_once(homes[1])
        found = []
        for home in homes:
            with app_of(home) as app:
                for market in MARKETS:
                    run_hours(app, market, REAL_HOURS)
                found.append(made_by(app, REAL_HOURS))

    times = [trade.ts_event_ms for trade in trades]
    assert len(times) - len(set(times)) > 1_000
    assert played.repeats > 0
    assert found[1] == found[0]
    assert len(found[0]["KRW-BTC"]["lake"]) == 4


def all_of(home: Path) -> dict[str, Any]:
    """Give digests of all that the steps made, and what an API on this home answers at the standing clock."""
    with app_of(home) as app:
        answers = asyncio.run(api_answers(app))
        made = made_by(app, LIVE)
        names = {market: stable_names(app.registry, market) for market in MARKETS}
        for market in MARKETS:
            versions = app.registry.versions(market)
            made[market]["params"] = {names[market][one.name]: dict(one.params) for one in versions}
    return {"made": made, "answers": {address: stable(answer, names) for address, answer in answers.items()}}


def stable(answer: Any, names: Mapping[str, Mapping[str, str]]) -> Any:
    """Give an answer of the API with names of versions that do not depend on which fit ended first, in any order."""
    if not isinstance(answer, list):
        return answer
    rows = [renamed_in(names[row["market"]], json.dumps(row, sort_keys=True)) for row in answer]
    return [json.loads(row) for row in sorted(rows)]


def made_by(app: App, window: Window) -> dict[str, Any]:
    """Give `home_digests`, and of a home whose clock stands also its repairs, forecasts and which runs were done."""
    found = home_digests(app.warehouse, app.lake, app.registry, MARKETS, window)
    for market in MARKETS:
        names = stable_names(app.registry, market)
        forecasts = app.warehouse.read(FORECAST, market).with_columns(pl.col("model_version").replace(names))
        found[market]["tables"] |= {
            "repair": digest(app.warehouse.read(REPAIR, market)),
            "forecast": digest(forecasts.sort("target_minute", "model_version")),
        }
        runs = app.warehouse.read(RUN, market).select("step", "window_start", "window_end", "state")
        found[market]["runs"] = sorted(map(str, runs.iter_rows()))
    return found


async def api_answers(app: App) -> dict[str, Any]:
    """Give what the API answers: its models forecast the next minutes and store them, then each list is asked for."""
    feed = ScriptedFeed([Disconnected(None, NOW_MS, "first connection")])
    runtime = ServingRuntime(
        clock=app.clock,
        feed=feed,
        decode=feed.decode,
        market_data=app.market_data,
        warehouse=app.warehouse,
        registry=app.registry,
        forecasters=[app.forecaster(market, is_stored=True) for market in app.markets],
    )
    reading = asyncio.create_task(runtime.read_feed())
    await asyncio.sleep(0)
    reading.cancel()
    await runtime.prepare()
    for ahead in range(3):
        await runtime.forecast_minute(NOW_MS + ahead * 60_000)
    await runtime.store_waiting()
    transport = httpx.ASGITransport(app=create_app(runtime, None))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        asked = await client.post("/v1/forecasts", json={"markets": list(MARKETS)})
        lists = {address: (await client.get(address)).json() for address in API_ADDRESSES}
    assert asked.status_code == 200, asked.text
    return {"asked": asked.json(), **lists}


def assert_equal(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Compare part by part, so that a difference is named, and see that there was something to compare."""
    assert found["made"] == expected["made"]
    for address, answer in expected["answers"].items():
        assert found["answers"][address] == answer, address
    versions = expected["made"]["KRW-BTC"]["models"]["versions"]
    assert len(versions) >= 3
    aliases = {alias for one in versions.values() for alias in one["aliases"]}
    assert aliases == {"champion", "previous"}  # there was a promotion
    assert expected["answers"]["/v1/ledger?market=KRW-BTC&last=200"]["counts"]["repaired"] >= 3
    assert all(one["price"] for one in expected["answers"]["asked"])
    assert len(expected["answers"]["/v1/forecasts?last=20"]) > len(MARKETS)
