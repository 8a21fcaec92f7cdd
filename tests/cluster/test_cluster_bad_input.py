"""What an operator can get wrong, through the whole program: setting, server and remedy are named, nothing is lost."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cluster_journal import play
from cluster_world import LIVE, NOW_MS, Place, Servers, app_of, command, make_home, new_place, ship_once, trades_of

from postgres_servers import admin
from s3_servers import SECRET_KEY
from simulated_exchange import running_simulator
from tickloop.domain.tables import TRADE
from tickloop.services.chain import run_window

pytestmark = pytest.mark.server

MARKET = "KRW-BTC"
NOBODY = "http://127.0.0.1:9"


@dataclass(frozen=True)
class Home:
    folder: Path
    place: Place
    trades: int

    def call(self, what: str, **variables: str) -> tuple[int, str]:
        """Run `ship`, or a step of both hours; give the exit code and what was said."""
        arguments = ("ship", "--once") if what == "ship" else ("run", what, "--window", str(LIVE))
        done = command(self.folder, *arguments, **{f"TICKLOOP_{name}": value for name, value in variables.items()})
        return done.returncode, done.stderr


@dataclass(frozen=True)
class Case:
    """Something wrong: in the settings, or at a server for as long as a block lasts.

    Attributes:
        what: `ship`, or the step that meets it.
        said: parts of the message; {postgres}, {s3}, {mlflow} and {opensearch} stand for addresses.
        settings: variables without TICKLOOP_, values as above.
        trouble: makes the trouble at a server, and ends it.
    """

    what: str
    said: tuple[str, ...]
    settings: dict[str, str] = field(default_factory=dict)
    trouble: Callable[[Home], AbstractContextManager[None]] = lambda _home: nullcontext()


@pytest.fixture(scope="module")
def home(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Two hours of one market in the journal and delivered; no step has run."""
    folder = tmp_path_factory.mktemp("bad-input")
    with running_simulator(folder / "sim", start_ms=NOW_MS, is_held=True) as simulator, new_place(servers) as place:
        trades = trades_of(simulator, [MARKET], LIVE)
        play(folder / "journal", trades, 7)
        made = make_home(folder / "home", folder / "sim", simulator.rest_url, folder / "journal", place, [MARKET])
        ship_once(made)
        yield Home(made, place, len(trades))


@contextmanager
def newer_schema(home: Home) -> Iterator[None]:
    with app_of(home.folder) as app:
        assert app.warehouse.read(TRADE).is_empty()  # which makes the tables
    with admin(home.place.servers.postgres, home.place.database.database) as connection:
        row = connection.execute("SELECT version FROM tickloop_schema").fetchone()
        assert row is not None
        connection.execute("UPDATE tickloop_schema SET version = 99")
        try:
            yield
        finally:
            connection.execute("UPDATE tickloop_schema SET version = %s", row)


def locked_index(block: str) -> Callable[[Home], AbstractContextManager[None]]:
    """Lock the day of the journal, which is delivered anew."""

    @contextmanager
    def locked(home: Home) -> Iterator[None]:
        index = f"{home.place.servers.opensearch}/{home.place.name}-*/_settings"
        positions = home.folder / "ship" / "positions.json"
        kept = positions.read_bytes()
        put(index, {f"index.blocks.{block}": True})
        positions.unlink()
        try:
            yield
            assert not positions.exists()
        finally:
            put(index, {f"index.blocks.{block}": None})
            positions.write_bytes(kept)

    return locked


def put(address: str, body: dict[str, Any]) -> None:
    request = urllib.request.Request(
        address, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="PUT"
    )
    with urllib.request.urlopen(request, timeout=30):
        pass


CASES = {
    "wrong password": Case(
        "load", ("{postgres}", "postgres.password", "valid:"), {"POSTGRES__PASSWORD": "not-the-password"}
    ),
    "unknown user": Case("load", ("{postgres}", "postgres.password", "valid:"), {"POSTGRES__USER": "nobody"}),
    "unknown database": Case("load", ("{postgres}", "postgres.database", "valid:"), {"POSTGRES__DATABASE": "none"}),
    "no PostgreSQL there": Case("load", ("127.0.0.1:9", "postgres.host", "postgres.port"), {"POSTGRES__PORT": "9"}),
    "PostgreSQL without our authority": Case(
        "load", ("{postgres}", "postgres.ca_file"), {"POSTGRES__SSLMODE": "verify-full", "POSTGRES__CA_FILE": "/no"}
    ),
    "newer schema": Case("load", ("{postgres}", "schema version 99", "upgrade Tickloop"), trouble=newer_schema),
    "missing bucket": Case("extract", ("{s3}", "s3.bucket", "create-bucket"), {"S3__BUCKET": "not-there"}),
    "wrong secret key": Case("extract", ("{s3}", "s3.secret_key", "valid:"), {"S3__SECRET_KEY": "not-the-secret"}),
    "wrong access key": Case("extract", ("{s3}", "s3.access_key", "valid:"), {"S3__ACCESS_KEY": "not-the-access"}),
    "no S3 there": Case("extract", (NOBODY, "s3.endpoint"), {"S3__ENDPOINT": NOBODY}),
    "another server for S3": Case("extract", ("{opensearch}", "s3."), {"S3__ENDPOINT": "{opensearch}"}),
    "no OpenSearch to read": Case("extract", (NOBODY, "opensearch.url", "valid:"), {"OPENSEARCH__URL": NOBODY}),
    "no OpenSearch to deliver to": Case("ship", (NOBODY, "opensearch.url", "valid:"), {"OPENSEARCH__URL": NOBODY}),
    "another server to read from": Case("extract", ("{mlflow}", "opensearch.url"), {"OPENSEARCH__URL": "{mlflow}"}),
    "another server to deliver to": Case("ship", ("{s3}", "opensearch.url"), {"OPENSEARCH__URL": "{s3}"}),
    "TLS where OpenSearch speaks none": Case(
        "extract", ("opensearch.url", "speaks no TLS", "http://"), {"OPENSEARCH__URL": "{opensearch_tls}"}
    ),
    "read-only index": Case("ship", ("{opensearch}", "locked", "index.blocks.write"), trouble=locked_index("write")),
    "disk of OpenSearch too full": Case(
        "ship",
        ("{opensearch}", "disk is too full", "opensearch.keep_days"),
        trouble=locked_index("read_only_allow_delete"),
    ),
    "no MLflow there": Case("train", (NOBODY, "mlflow.url", "valid:"), {"MLFLOW__URL": NOBODY}),
    "another server for MLflow": Case(
        "train", ("{opensearch}", "mlflow.url", "valid:"), {"MLFLOW__URL": "{opensearch}"}
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_message_names_setting_server_and_remedy(home: Home, name: str) -> None:
    """One line for a person, no traceback, no secret; exit code 1."""
    case, words = CASES[name], addresses_of(home.place)

    with case.trouble(home):
        settings = {key: value.format(**words) for key, value in case.settings.items()}
        code, said = home.call(case.what, **settings)

    assert code == 1, said
    for part in case.said:
        assert part.format(**words) in said
    assert "Traceback" not in said
    for secret in (home.place.database.password, SECRET_KEY, "not-the-password", "not-the-secret"):
        assert str(secret) not in said


def test_nothing_was_lost_by_any_of_them(home: Home) -> None:
    """With the settings right again every line is delivered and every trade comes through."""
    with app_of(home.folder) as app:
        for step in ("extract", "load"):
            run_window(app, step, MARKET, LIVE)
        stored = app.warehouse.read(TRADE, MARKET)
    figures = ship_once(home.folder)

    assert stored["trade_id"].n_unique() == stored.height == home.trades
    assert (figures["refused"], figures["behind_bytes"]) == (0, 0)


def addresses_of(place: Place) -> dict[str, str]:
    servers = place.servers
    return {
        "postgres": f"{place.database.host}:{place.database.port}",
        "s3": servers.s3,
        "mlflow": servers.mlflow,
        "opensearch": servers.opensearch,
        "opensearch_tls": servers.opensearch.replace("http:", "https:"),
    }
