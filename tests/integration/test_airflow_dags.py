"""The DAGs against the laptop's loop: the same home through both gives the same tables, objects and models."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "airflow"))

from environment import airflow, interpreter, script, variables
from home import LIVE, LOST, MARKETS, copy_of, digests_of, make_base, run_laptop_loop

from fakes import START_MS
from simulated_exchange import running_simulator
from tickloop.bootstrap import open_app
from tickloop.domain.tables import REPAIR, TRIAL
from tickloop.domain.window import HOUR_MS, MINUTE_MS
from tickloop.entrypoints.dags.windows import asked_search
from tickloop.services.sweep_run import run_sweep
from tickloop.settings import load_settings

pytestmark = pytest.mark.server

SEARCH = {
    "job": {"market": MARKETS[0], "window": "2024-01-20T22..2024-01-21T22", "strategy": "sma_cross"},
    "axes": ["fast=2:30", "slow=40:200"],
    "method": "random",
    "trials": 70,
}
"""Of three units: 32, 32 and 6 settings."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with history and a journal, on a simulator whose clock stands at 01:00."""
    folder = tmp_path_factory.mktemp("airflow") / "base"
    with running_simulator(folder / "sim", start_ms=START_MS + HOUR_MS, is_held=True) as simulator:
        yield make_base(folder, simulator.rest_url)


@pytest.fixture(scope="module")
def dag_runs(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """Every DAG run of the suite in one process on a home of its own: the home, and what became of each."""
    python = interpreter()
    folder = tmp_path_factory.mktemp("dags")
    home = copy_of(base, folder / "home")
    environment = variables(folder / "airflow", home)
    airflow(python, environment, "db", "migrate")
    first, last = (str(hour) for hour in LIVE.hours())
    wanted = [
        {"dag": "collect_hour", "conf": {"window": first}},
        {"dag": "collect_hour", "conf": {"window": last}},
        {"dag": "train_and_promote", "conf": {"window": str(LIVE)}},
        {"dag": "repair", "conf": {}},
        {"dag": "collect_hour", "conf": {"window": "2024-01-21T22:30"}},
        {"dag": "collect_hour", "conf": {}},
        {"dag": "report", "conf": {"window": str(LIVE)}},
        {"dag": "janitor", "conf": {}},
        {"dag": "history", "conf": {}},
        {"dag": "sweep", "conf": SEARCH},
        {"dag": "sweep", "conf": SEARCH},
        {"dag": "sweep", "conf": {**SEARCH, "axes": ["speed=1:9"]}},
    ]
    return home, json.loads(script(python, environment, "run_dags.py", json.dumps(wanted)))


def test_dags_give_what_the_laptop_loop_gives(
    base: Path, dag_runs: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    """Tables, lake objects, bytes of models, metrics, decisions: all of it."""
    by_loop = copy_of(base, tmp_path / "loop")
    run_laptop_loop(by_loop)
    by_dags, runs = dag_runs

    assert [run["state"] for run in runs[:3]] == ["success"] * 3
    expected, found = digests_of(by_loop), digests_of(by_dags)
    assert found == expected
    assert len(found["KRW-BTC"]["models"]["versions"]) == 3
    with open_app(load_settings(by_dags)) as app:
        assert app.warehouse.read(REPAIR)["minute"].dt.epoch("ms").to_list() == lost_minutes()


def lost_minutes() -> list[int]:
    return list(range(LOST.start_ms, LOST.end_ms, MINUTE_MS))


def test_hour_that_ends_a_slot_announces_it(dag_runs: tuple[Path, list[dict[str, Any]]]) -> None:
    """The other one skips, so that no training is asked for."""
    _, runs = dag_runs

    assert [run["tasks"]["slots[-1]"] for run in runs[:2]] == ["skipped", "success"]


def test_repair_skips_where_nothing_is_due(dag_runs: tuple[Path, list[dict[str, Any]]]) -> None:
    """Both cadences of both markets; a skip is no failure."""
    _, runs = dag_runs

    assert {state for name, state in runs[3]["tasks"].items() if name[0] in "hs"} == {"skipped"}
    assert runs[3]["state"] == "success"


def test_nonsense_window_fails_and_touches_nothing(dag_runs: tuple[Path, list[dict[str, Any]]]) -> None:
    """A window that is none, and none at all: the first step fails without a retry."""
    _, runs = dag_runs

    for run in runs[4:6]:
        assert run["tasks"]["chain.extract[0]"] == "failed"
        assert run["tasks"]["chain.features[0]"] == "upstream_failed"


def test_report_janitor_and_history_end_well(dag_runs: tuple[Path, list[dict[str, Any]]]) -> None:
    """The history is there and nothing is old enough to go: both have nothing to do, and that is no failure."""
    _, runs = dag_runs

    assert [run["state"] for run in runs[6:9]] == ["success"] * 3
    assert runs[6]["tasks"]["report[0]"] == runs[6]["tasks"]["report[1]"] == "success"


def test_sweep_gives_the_trials_of_the_process_pool(
    base: Path, dag_runs: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    """A mapped task per unit, row for row; run again nothing is left to run, and nonsense fails before any unit."""
    by_pool = copy_of(base, tmp_path / "pool")
    with open_app(load_settings(by_pool)) as app:
        run_sweep(app, asked_search(SEARCH), workers=2)
        expected = app.warehouse.read(TRIAL)
    by_dags, runs = dag_runs
    first, again, wrong = runs[9:]

    with open_app(load_settings(by_dags)) as app:
        assert app.warehouse.read(TRIAL).equals(expected)
    assert expected.height == 70
    assert [first["state"], again["state"], wrong["state"]] == ["success", "success", "failed"]
    assert [first["tasks"][f"sweep_unit[{unit}]"] for unit in range(3)] == ["success"] * 3
    assert [state for name, state in again["tasks"].items() if name.startswith("sweep_unit[")] == ["skipped"]
    assert again["tasks"]["sweep_summary[-1]"] == "success"
    assert wrong["tasks"]["sweep_unit_list[-1]"] == "failed"
