"""Homes on the cluster profile: each with a database, a bucket, indices and models of its own on real servers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fakes import START_MS
from postgres_servers import new_database, new_user
from s3_servers import ACCESS_KEY, SECRET_KEY, made_address
from simulated_exchange import RunningSimulator
from tickloop.adapters.postgres.connect import PostgresServer
from tickloop.adapters.upbit.public import UpbitPublic
from tickloop.adapters.upbit.rest import UpbitMarketData
from tickloop.bootstrap import App, open_app
from tickloop.domain.market import Trade
from tickloop.domain.window import HOUR_MS, MINUTE_MS, Window
from tickloop.services.pipeline import run_pipeline
from tickloop.services.run_ledger import HISTORY
from tickloop.services.steps import RunRow, record_runs
from tickloop.settings import SETTINGS_FILE, load_settings

MARKETS = ("KRW-BTC", "KRW-ETH")
NOW_MS = START_MS + HOUR_MS
LIVE = Window(START_MS - 2 * HOUR_MS, START_MS)
"""2024-01-21T22..2024-01-22T00: both hours closed at `NOW_MS`, one slot."""

PAST = Window(LIVE.start_ms - 48 * HOUR_MS, LIVE.start_ms)

COMMAND_DEADLINE_S = 120.0


@dataclass(frozen=True)
class Servers:
    """Addresses, as `tests/servers.py` gives them."""

    opensearch: str
    postgres: str
    s3: str
    mlflow: str


@dataclass(frozen=True)
class Place:
    """What a home of the cluster profile has to itself."""

    servers: Servers
    database: PostgresServer
    bucket: str
    name: str

    def settings(self, *, without: str = "") -> str:
        """Give its sections of tickloop.toml; one may be left to the test."""
        database = self.database
        sections = {
            "opensearch": {"url": self.servers.opensearch, "index_prefix": self.name},
            "postgres": {
                "host": database.host,
                "port": database.port,
                "database": database.database,
                "user": database.user,
                "password": database.password,
                "sslmode": "disable",
                "connect_timeout_s": 5,
            },
            "s3": {
                "endpoint": self.servers.s3,
                "bucket": self.bucket,
                "prefix": self.name,
                "access_key": ACCESS_KEY,
                "secret_key": SECRET_KEY,
            },
            "mlflow": {"url": self.servers.mlflow, "prefix": self.name},
        }
        return "".join(toml_section(name, values) for name, values in sections.items() if name != without)


def toml_section(name: str, values: Mapping[str, Any]) -> str:
    return f"\n[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())


@contextmanager
def new_place(servers: Servers, template: PostgresServer | None = None) -> Iterator[Place]:
    """Give a place without any data, or with that of a database that nobody is connected to."""
    bucket = made_address(servers.s3).bucket
    name = f"t{uuid.uuid4().hex[:12]}"
    if template is not None:
        with new_database(servers.postgres, template.user, template.database) as database:
            yield Place(servers, database, bucket, name)
        return
    with new_user(servers.postgres) as owner, new_database(servers.postgres, owner) as database:
        yield Place(servers, database, bucket, name)


def make_home(
    folder: Path,
    simulator: Path,
    rest_url: str,
    journal: Path,
    place: Place | None,
    markets: Sequence[str] = MARKETS,
) -> Path:
    """Make a home on the simulator whose state lies in a folder, with a copy of a journal; `place` None: a laptop's."""
    folder.mkdir(parents=True)
    (folder / ".tickloop-home").touch()
    (folder / "sim").symlink_to(simulator)
    shutil.copytree(journal, folder / "journal")
    (folder / SETTINGS_FILE).write_text(settings_text(rest_url, place, markets))
    return folder


def settings_text(rest_url: str, place: Place | None, markets: Sequence[str] = MARKETS) -> str:
    profile = "laptop" if place is None else "cluster"
    head = f'clock = "shared"\nmarkets = {json.dumps(list(markets))}\nprofile = "{profile}"\n'
    exchange = {
        "rest_url": rest_url,
        "websocket_url": rest_url.replace("http", "ws", 1) + "/websocket/v1",
        "is_path_invented": True,
    }
    training = {"slot_hours": 2, "training_hours": 24, "gate_hours": 6}
    own = "" if place is None else place.settings()
    return head + toml_section("exchange", exchange) + toml_section("training", training) + own


def plan_history(home: Path, past: Window = PAST) -> None:
    """Say in the run ledger where the history lies, which is not fetched yet, and the live hours begin."""
    with open_app(load_settings(home)) as app:
        record_runs(app, [RunRow(HISTORY, market, past, "due", {}) for market in app.markets])


def run_until_nothing_is_due(home: Path) -> None:
    """Fetch the history and run the laptop's scheduler, whatever profile the home has."""
    stop = threading.Event()

    def status(_state: str, message: str = "", **_detail: Any) -> None:
        if message.startswith("nothing is due"):
            stop.set()

    with open_app(load_settings(home)) as app:
        run_pipeline(app, app.settings.history, status, stop)


@contextmanager
def app_of(home: Path) -> Iterator[App]:
    with open_app(load_settings(home)) as app:
        yield app


def command(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `tickloop` as a user does."""
    line = [sys.executable, "-m", "tickloop", *arguments, "--home", str(home)]
    variables = {**os.environ, **environment}
    return subprocess.run(line, env=variables, capture_output=True, text=True, timeout=COMMAND_DEADLINE_S, check=False)


def ship_once(home: Path) -> dict[str, Any]:
    """Deliver the journal; give the figures. The exit code is 3 where a line was refused."""
    done = command(home, "ship", "--once", "--json")
    assert done.returncode in (0, 3), done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def trades_of(simulator: RunningSimulator, markets: Sequence[str], window: Window) -> list[Trade]:
    """Give what the exchange traded, all markets in order of time."""
    data = UpbitMarketData(UpbitPublic(simulator.rest_url, simulator.clock), simulator.clock)
    try:
        trades = [trade for market in markets for trade in data.trades(market, window)]
    finally:
        data.close()
    return sorted(trades, key=lambda trade: trade.ts_event_ms)


def minute(number: int) -> int:
    return LIVE.start_ms + number * MINUTE_MS
