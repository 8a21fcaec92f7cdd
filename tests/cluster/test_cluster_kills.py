"""A step that is killed at any of its writes is run again: the same bits as undisturbed, nothing doubled."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cluster_journal import play
from cluster_kills import DELETED, HOUR_KILLS, SLOT_KILLS, VERSION, Kill
from cluster_world import (
    COMMAND_DEADLINE_S,
    LIVE,
    NOW_MS,
    Place,
    Servers,
    app_of,
    command,
    make_home,
    minute,
    new_place,
    plan_history,
    trades_of,
)

from digests import home_digests, stable_names, table_digests
from simulated_exchange import running_simulator
from tickloop.adapters.mlflow.client import find_experiment, find_runs
from tickloop.adapters.mlflow.server import ServerPlace
from tickloop.adapters.postgres.connect import PostgresServer
from tickloop.bootstrap import App
from tickloop.domain.schedule import Cadence
from tickloop.domain.tables import RUN
from tickloop.domain.window import Window
from tickloop.entrypoints.shipper import run_shipper
from tickloop.services.chain import STEPS, run_window, step_named
from tickloop.services.due_step import catch_up
from tickloop.services.pipeline import ensure_history
from tickloop.services.promote import ensure_champion

pytestmark = pytest.mark.server

MARKET = "KRW-BTC"
LOST = Window(minute(70), minute(72))
SCRIPT = Path(__file__).parent / "killed_run.py"

HOUR_STEPS = [step.name for step in STEPS if step.cadence is Cadence.HOUR]
SLOT_STEPS = [step.name for step in STEPS if step.cadence is Cadence.SLOT]
TABLE_OF = {"load": "trade", "bars": "bar_1m", "features": "feature", "backtest": "backtest"}
"""What a step replaces in one transaction; before it or after it, nothing in between can be seen."""


@dataclass(frozen=True)
class Undisturbed:
    """What a run without kills left behind, and databases to begin from.

    Attributes:
        after: step -> digests of the tables after its first run.
        made: digests of all at the end.
        versions: how many there are at the end.
        decisions: the same.
        history: database with the history only.
        hours: database with all hour steps done.
    """

    rest_url: str
    folder: Path
    after: dict[str, dict[str, str]]
    made: dict[str, Any]
    versions: int
    decisions: int
    history: PostgresServer
    hours: PostgresServer

    def home(self, folder: Path, place: Place) -> Path:
        return make_home(folder, self.folder / "sim", self.rest_url, self.folder / "journal", place, [MARKET])


@pytest.fixture(scope="module")
def undisturbed(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Undisturbed]:
    folder = tmp_path_factory.mktemp("kills")
    with (
        running_simulator(folder / "sim", start_ms=NOW_MS, is_held=True) as simulator,
        new_place(servers) as history,
    ):
        play(folder / "journal", trades_of(simulator, [MARKET], LIVE), 3, is_lost=lambda one: one.ts_event_ms in LOST)
        home = make_home(folder / "history", folder / "sim", simulator.rest_url, folder / "journal", history, [MARKET])
        plan_history(home)
        with app_of(home) as app:
            ensure_history(app, app.settings.history, lambda *_a, **_k: None, threading.Event())
        with new_place(servers, history.database) as hours:
            rest_url = simulator.rest_url
            home = make_home(folder / "hours", folder / "sim", rest_url, folder / "journal", hours, [MARKET])
            with app_of(home) as app:
                deliver(app)
                after = {step: tables_after(app, step) for step in HOUR_STEPS}
                catch_up(app, MARKET, Cadence.HOUR)
                lake = made_by(app)["lake"]
            with new_place(servers, hours.database) as whole:
                home = make_home(folder / "whole", folder / "sim", rest_url, folder / "journal", whole, [MARKET])
                with app_of(home) as app:
                    ensure_champion(app.registry, MARKET, app.clock)
                    after |= {step: tables_after(app, step) for step in SLOT_STEPS}
                    made = made_by(app) | {"lake": lake}
                    decisions = len(list(app.registry.decisions(MARKET)))
                    versions = app.registry.versions(MARKET)
            assert any("previous" in one.aliases for one in versions)  # there was a promotion to be killed in
            yield Undisturbed(rest_url, folder, after, made, len(versions), decisions, history.database, hours.database)


def deliver(app: App) -> None:
    run_shipper(app, threading.Event(), once=True)


def tables_after(app: App, step: str) -> dict[str, str]:
    run_window(app, step, MARKET, LIVE)
    return tables_of(app)


def tables_of(app: App) -> dict[str, str]:
    return table_digests(app.warehouse, MARKET, names=stable_names(app.registry, MARKET))


def made_by(app: App) -> dict[str, Any]:
    found: dict[str, Any] = home_digests(app.warehouse, app.lake, app.registry, [MARKET], LIVE)[MARKET]
    return found


@contextmanager
def home_before(step: str, undisturbed: Undisturbed, servers: Servers, folder: Path) -> Iterator[Path]:
    """Give a home on which everything before a step is done."""
    is_hour = step_named(step).cadence is Cadence.HOUR
    with new_place(servers, undisturbed.history if is_hour else undisturbed.hours) as place:
        home = undisturbed.home(folder / "home", place)
        with app_of(home) as app:
            if is_hour:
                deliver(app)
            else:
                ensure_champion(app.registry, MARKET, app.clock)
            for name in HOUR_STEPS if is_hour else SLOT_STEPS:
                if name == step:
                    break
                run_window(app, name, MARKET, LIVE)
        yield home


def arguments_of(home: Path, step: str) -> list[str]:
    return ["run", step, "--window", str(LIVE), "--market", MARKET, "--home", str(home)]


def killed(home: Path, kill: Kill) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, str(SCRIPT), kill.when, kill.target, str(kill.number), *arguments_of(home, kill.step)]
    return subprocess.run(line, capture_output=True, text=True, timeout=COMMAND_DEADLINE_S, check=False)


def rerun(home: Path, step: str) -> None:
    done = command(home, "run", step, "--window", str(LIVE), "--market", MARKET)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kill", HOUR_KILLS, ids=str)
def test_hour_step_that_is_killed_gives_the_same_rows_when_run_again(
    kill: Kill, undisturbed: Undisturbed, servers: Servers, tmp_path: Path
) -> None:
    """Nothing half done is ever seen, and the scheduler brings the rest to the same end."""
    with home_before(kill.step, undisturbed, servers, tmp_path) as home:
        with app_of(home) as app:
            before = tables_of(app)

        assert killed(home, kill).returncode == -signal.SIGKILL

        check_whole(home, kill.step, before, undisturbed.after[kill.step])
        rerun(home, kill.step)
        with app_of(home) as app:
            assert not catch_up(app, MARKET, Cadence.HOUR).failures
            found = made_by(app)
            assert set(app.warehouse.read(RUN, MARKET)["state"]) == {"done"}
        tables = undisturbed.made["tables"]
        assert found["tables"] == tables | {"backtest": found["tables"]["backtest"]}
        assert found["lake"] == undisturbed.made["lake"]


@pytest.mark.parametrize("kill", SLOT_KILLS, ids=str)
def test_slot_step_that_is_killed_gives_the_same_models_when_run_again(
    kill: Kill, undisturbed: Undisturbed, servers: Servers, tmp_path: Path
) -> None:
    """The same files, one run and one version a candidate, one decision, the same champion."""
    with home_before(kill.step, undisturbed, servers, tmp_path) as home:
        with app_of(home) as app:
            before = tables_of(app)

        assert killed(home, kill).returncode == -signal.SIGKILL

        check_whole(home, kill.step, before, undisturbed.after[kill.step])
        rerun(home, kill.step)
        with app_of(home) as app:
            assert not catch_up(app, MARKET, Cadence.SLOT).failures
            found = made_by(app)
            assert len(list(app.registry.decisions(MARKET))) == undisturbed.decisions
            assert len(app.registry.versions(MARKET)) == undisturbed.versions
            prefix = app.settings.mlflow.prefix
        assert found["models"] == undisturbed.made["models"]
        assert found["tables"] == undisturbed.made["tables"]
        assert runs_at(servers.mlflow, prefix) == ["FINISHED"] * undisturbed.versions


def check_whole(home: Path, step: str, before: dict[str, str], after: dict[str, str]) -> None:
    """Pass a table that is as it was or as it will be."""
    if step not in TABLE_OF:
        return
    table = TABLE_OF[step]
    with app_of(home) as app:
        assert tables_of(app)[table] in (before[table], after[table])


def runs_at(url: str, prefix: str) -> list[str]:
    """Give the status of every run of the market's experiment: candidates, whoever logged them."""
    client = ServerPlace(url).open()
    found = find_runs(client, find_experiment(client, f"{prefix}.{MARKET}"), "")
    return [str(run.info.status) for run in found]


@pytest.mark.parametrize("step", ["load", "train"])
def test_second_runner_of_a_window_yields_and_a_killed_one_leaves_it_free(
    step: str, undisturbed: Undisturbed, servers: Servers, tmp_path: Path
) -> None:
    """While one is at its step another says busy and does nothing; when the one is killed the next goes."""
    target = DELETED if step == "load" else VERSION
    with home_before(step, undisturbed, servers, tmp_path) as home:
        line = [sys.executable, str(SCRIPT), "hold", target, "1", *arguments_of(home, step)]
        first = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            assert first.stdout is not None
            assert first.stdout.readline() == b"held\n"

            second = command(home, "run", step, "--window", str(LIVE), "--market", MARKET)

            assert second.returncode == 0
            assert f"{step} {MARKET} {LIVE} busy" in second.stdout
            with app_of(home) as app:
                assert step not in app.warehouse.read(RUN, MARKET)["step"].to_list()
        finally:
            first.kill()
            first.communicate(timeout=COMMAND_DEADLINE_S)
        third = command(home, "run", step, "--window", str(LIVE), "--market", MARKET)
        assert third.returncode == 0
        assert f"{step} {MARKET} {LIVE} done" in third.stdout
        with app_of(home) as app:
            assert tables_of(app) == undisturbed.after[step]
