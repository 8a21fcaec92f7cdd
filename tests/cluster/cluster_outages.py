"""A replay on servers of its own that go away for a while: nobody is restarted but they, and nothing is lost.

Away for TICKLOOP_OUTAGE_S, ten seconds if not said, which are forty minutes of the market; a minute is two hours.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cluster_world import MARKETS, Place, Servers, app_of, plan_history, toml_section

import postgres_servers
import s3_servers
from collecting import Collecting
from fakes import START_MS, read_whole
from servers import Server, running
from tickloop.adapters.local.status import StatusBoard
from tickloop.bootstrap import App
from tickloop.domain.schedule import Cadence
from tickloop.domain.tables import LEDGER, RUN, TRADE
from tickloop.domain.window import HOUR_MS, MINUTE_MS, Window, to_ms
from tickloop.errors import StoreAwayError
from tickloop.services.due_step import catch_up
from tickloop.services.pipeline import ensure_history

OUTAGE_S = float(os.environ.get("TICKLOOP_OUTAGE_S", "10"))
SPEED = min(240.0, 7_200 / OUTAGE_S)
NAMES = ("opensearch", "postgres", "s3", "mlflow")

_FIRST_MINUTES, _LEAST_MINUTES = 150, 270  # before the first outage, and with all of them: two slots are trained

RECOVERY_S = 240.0
"""Real seconds; MLflow's server takes half a minute to start on a busy machine."""

TRAINING = {"slot_hours": 2, "training_hours": 24, "gate_hours": 6, "families": ["ridge"]}


@dataclass
class Steps:
    """What the scheduler's tasks do, over and over: catch up on one cadence of one market, each time anew."""

    home: Path
    troubles: list[str] = field(default_factory=list)
    crash: BaseException | None = None
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join(RECOVERY_S)
        assert self.crash is None, self.crash

    def _run(self) -> None:
        try:
            while not self._stop.wait(0.2):
                for cadence in Cadence:
                    for market in MARKETS:
                        self._catch_up(market, cadence)
        except BaseException as exc:  # told by the test, whose thread this is not
            self.crash = exc

    def _catch_up(self, market: str, cadence: Cadence) -> None:
        try:
            with app_of(self.home) as app:
                self.troubles += catch_up(app, market, cadence).failures
        except StoreAwayError as exc:
            self.troubles.append(str(exc))


@dataclass
class Replay:
    """A market at high speed, its collector and shipper, and servers of their own."""

    collecting: Collecting
    servers: dict[str, Server]
    steps: Steps
    shipper: subprocess.Popen[bytes]

    def outage(self, names: Sequence[str]) -> None:
        """Take servers away for OUTAGE_S and start them again at the same addresses; the journal grows meanwhile."""
        for name in names:
            self.servers[name].stop()
        before = self.journal_bytes()
        self.pass_minutes(OUTAGE_S * SPEED / 60)
        assert self.journal_bytes() > before
        for name in names:
            self.servers[name].start()  # not in a thread, with whose end the server would end too

    def pass_minutes(self, minutes: float) -> None:
        at_ms = self.collecting.clock.now_ms() + minutes * MINUTE_MS
        self.collecting.run_to((at_ms - START_MS) / MINUTE_MS)

    def journal_bytes(self) -> int:
        return sum(path.stat().st_size for path in (self.collecting.home / "journal").glob("*.jsonl"))

    def until(self, holds: Callable[[], bool], what: str) -> None:
        waited = threading.Event()
        for _ in range(int(RECOVERY_S / 0.2)):
            assert self.steps.crash is None, self.steps.crash
            if holds():
                return
            waited.wait(0.2)
        status = StatusBoard(self.collecting.home / "run").read("shipper")
        raise AssertionError(f"{what} was not reached; {status}; {self.steps.troubles[-5:]}")

    def until_recovered(self) -> None:
        """Wait until steps are done that ended after now, and the shipper has nothing to complain of."""
        since_ms = self.collecting.clock.now_ms()
        self.until(lambda: self._is_done_since(since_ms), "a step that is done again")
        self.until(lambda: self.shipper_state() == "ready", "a shipper that is ready")

    def shipper_state(self) -> str:
        status = StatusBoard(self.collecting.home / "run").read("shipper")
        return "none" if status is None else status.state

    def is_through(self, window: Window) -> bool:
        """Tell whether the features of each hour of a window are done, for all markets."""
        with app_of(self.collecting.home) as app:
            runs = app.warehouse.read(RUN)
        done = {
            (row["market"], to_ms(row["window_start"]))
            for row in runs.to_dicts()
            if row["step"] == "features" and row["state"] == "done"
        }
        return all((market, hour.start_ms) in done for market in MARKETS for hour in window.hours())

    def _is_done_since(self, since_ms: int) -> bool:
        with app_of(self.collecting.home) as app:
            runs = app.warehouse.read(RUN)
        return any(to_ms(row["finished_at"]) > since_ms and row["state"] == "done" for row in runs.to_dicts())


@pytest.fixture
def replay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Replay]:
    s3_servers.client_required()
    postgres_servers.client_required()
    with ExitStack() as stack:
        servers = {name: stack.enter_context(running(name, tmp_path / name)) for name in NAMES[:3]}
        # MLflow's records and files lie on these: when they are away, its server is too.
        monkeypatch.setenv("TICKLOOP_TEST_POSTGRES", servers["postgres"].address)
        monkeypatch.setenv("TICKLOOP_TEST_S3", servers["s3"].address)
        servers["mlflow"] = stack.enter_context(running("mlflow", tmp_path / "mlflow"))
        monkeypatch.setenv("TICKLOOP_PROFILE", "cluster")
        settings = place_of(servers).settings() + toml_section("training", TRAINING)
        collecting = stack.enter_context(Collecting(tmp_path, tmp_path / "home", settings, speed=SPEED))
        make_history(collecting.home)
        with (tmp_path / "shipper.log").open("ab") as log:
            command = [sys.executable, "-m", "tickloop", "ship", "--home", str(collecting.home)]
            shipper = subprocess.Popen(command, stdout=log, stderr=log)
        stack.callback(shipper.wait, RECOVERY_S)
        stack.callback(shipper.kill)
        steps = Steps(collecting.home)
        stack.enter_context(steps.running())
        yield Replay(collecting, servers, steps, shipper)


def place_of(servers: dict[str, Server]) -> Place:
    database = postgres_servers.server_at(servers["postgres"].address, "postgres")
    bucket = s3_servers.made_address(servers["s3"].address).bucket
    return Place(Servers(*(servers[name].address for name in NAMES)), database, bucket, "outage")


def make_history(home: Path) -> None:
    plan_history(home, Window(START_MS - 48 * HOUR_MS, START_MS))
    with app_of(home) as app:
        ensure_history(app, app.settings.history, lambda *_a, **_k: None, threading.Event())


def lose_nothing(replay: Replay, outages: Sequence[Sequence[str]]) -> None:
    """See that the collector goes on, delivery and steps recover by themselves, and all counts equal the tape."""
    replay.pass_minutes(max(_FIRST_MINUTES, _LEAST_MINUTES - len(outages) * OUTAGE_S * SPEED / 60))
    for names in outages:
        replay.outage(names)
        replay.until_recovered()
    now_ms = replay.collecting.clock.now_ms()
    whole = Window(START_MS, now_ms - now_ms % HOUR_MS)
    replay.pass_minutes((whole.end_ms + HOUR_MS - now_ms) / MINUTE_MS + 2)
    replay.until(lambda: replay.is_through(whole), f"the end of {whole}")
    replay.collecting.stop_collector()
    replay.until(lambda: is_delivered(replay.collecting.home), "the end of the journal")
    replay.collecting.hold()
    replay.until(lambda: is_promoted(replay.collecting.home, whole), "the promotion of the newest slot")

    with app_of(replay.collecting.home) as app:
        for market in MARKETS:
            check_against_tape(app, replay.collecting, market, whole)
            check_models(app, market)
    assert len({trouble.split(" at ")[0] for trouble in replay.steps.troubles}) > 1  # the outages were met
    assert replay.shipper.poll() is None


def is_delivered(home: Path) -> bool:
    status = StatusBoard(home / "run").read("shipper")
    return status is not None and status.state == "ready" and status.detail["behind_bytes"] == 0


def is_promoted(home: Path, whole: Window) -> bool:
    """Tell whether the newest slot of the window was decided, for all markets."""
    start_ms = whole.end_ms - whole.end_ms % (2 * HOUR_MS) - 2 * HOUR_MS
    with app_of(home) as app:
        return all(any(one.slot_start_ms >= start_ms for one in app.registry.decisions(market)) for market in MARKETS)


def check_against_tape(app: App, collecting: Collecting, market: str, window: Window) -> None:
    """Compare every trade of the exchange with OpenSearch and PostgreSQL, and see that no minute stayed open."""
    path = f"/control/tape?market={market}&start={window.start_ms}&end={window.end_ms}"
    tape: list[dict[str, Any]] = collecting.control("GET", path)["trades"]
    expected = sorted((row["id"], row["ts"], row["price"], row["qty_e8"], row["side"]) for row in tape)
    for stored in (app.warehouse.read(TRADE, market, window), read_whole(app.raw, market, window).trades):
        rows = stored.select("trade_id", "ts_event", "price", "qty_e8", "side").to_dicts()
        found = sorted(
            (row["trade_id"], to_ms(row["ts_event"]), row["price"], row["qty_e8"], str(row["side"])) for row in rows
        )
        assert found == expected
    states = set(app.warehouse.read(LEDGER, market, window)["state"].cast(str))
    assert states <= {"verified", "repaired", "no_trade"}, states


def check_models(app: App, market: str) -> None:
    """One version a slot, one decision a slot: nothing was registered or decided twice."""
    slots = [version.params.get("slot_start_ms") for version in app.registry.versions(market)]
    decided = [one.slot_start_ms for one in app.registry.decisions(market)][1:]
    assert len(slots) == len(set(slots)) > 1, json.dumps(slots)
    assert len(decided) == len(set(decided)), decided
