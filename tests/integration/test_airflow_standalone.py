"""One real Airflow: scheduler, DAG processor, API server and workers take back-filled partitions to a champion."""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "airflow"))

from environment import airflow, interpreter
from home import LIVE, copy_of, digests_of, make_base, run_laptop_loop

from fakes import START_MS
from servers import running
from simulated_exchange import running_simulator
from tickloop.domain.window import HOUR_MS

pytestmark = pytest.mark.server

DEADLINE_S = 600.0
LOOK_S = 1.0

DAGS = ("collect_hour", "train_and_promote")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("standalone") / "base"
    with running_simulator(folder / "sim", start_ms=START_MS + HOUR_MS, is_held=True) as simulator:
        yield make_base(folder, simulator.rest_url)


def test_partitions_go_through_the_scheduler_to_a_champion(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two hours are back-filled; the second ends a slot, whose asset event starts the training. Data as by the loop."""
    python = interpreter()
    home, by_loop = copy_of(base, tmp_path / "home"), copy_of(base, tmp_path / "loop")
    monkeypatch.setenv("TICKLOOP_HOME", str(home))

    with running("airflow", tmp_path / "airflow") as server:
        environment = {**os.environ, **own_variables(server.folder)}
        for dag in DAGS:
            airflow(python, environment, "dags", "unpause", "-y", dag)
        airflow(
            python,
            environment,
            *("backfill", "create", "--dag-id", "collect_hour"),
            *("--from-date", f"{LIVE.start:%Y-%m-%dT%H:%M:%S}"),
            *("--to-date", f"{next(reversed(list(LIVE.hours()))).start:%Y-%m-%dT%H:%M:%S}"),
            *("--max-active-runs", "1"),
        )
        hours = until_done(server.address, "collect_hour", 2)
        slots = until_done(server.address, "train_and_promote", 1)

    assert {run["partition_key"]: run["state"] for run in hours} == {str(hour): "success" for hour in LIVE.hours()}
    assert [(run["partition_key"], run["state"]) for run in slots] == [(str(LIVE), "success")]
    run_laptop_loop(by_loop)
    assert digests_of(home) == digests_of(by_loop)


def own_variables(folder: Path) -> dict[str, str]:
    lines = (folder / "variables").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def until_done(address: str, dag: str, count: int) -> list[dict[str, Any]]:
    """Wait until a DAG has so many runs and all of them have ended; give them in order of their partitions."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        runs = runs_of(address, dag)
        if len(runs) >= count and all(run["state"] in ("success", "failed") for run in runs):
            return sorted(runs, key=lambda run: run["partition_key"] or "")
        assert time.monotonic() < deadline, f"{dag} did not end: {runs}"
        time.sleep(LOOK_S)


def runs_of(address: str, dag: str) -> list[dict[str, Any]]:
    """Give the runs of a DAG, but not that of the hour that the wall clock may just have closed: it has no data."""
    with urllib.request.urlopen(f"{address}/auth/token", timeout=10) as answer:
        token = json.load(answer)["access_token"]
    request = urllib.request.Request(
        f"{address}/api/v2/dags/{dag}/dagRuns?limit=100", headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        runs = json.load(answer)["dag_runs"]
    return [run for run in runs if run["run_type"] != "scheduled"]
