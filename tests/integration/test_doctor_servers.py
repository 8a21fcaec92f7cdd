"""`tickloop doctor` of the profile `cluster` beside real servers: all is well, then one setting at a time is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from fakes import START_MS
from postgres_servers import PASSWORD, new_database, new_user
from s3_servers import ACCESS_KEY, SECRET_KEY, client_required, made_address
from servers import address_of
from shipping import trade_line
from simulated_exchange import running_simulator
from tickloop.adapters.local.segments import OpenSegment
from tickloop.bootstrap import open_app
from tickloop.domain.health import SERVERS, Check
from tickloop.services.doctor import checks
from tickloop.settings import load_settings, toml_value

if TYPE_CHECKING:
    from tickloop.adapters.postgres.connect import PostgresServer

pytestmark = pytest.mark.server

DEADLINE_S = 120.0
NOBODY = "http://127.0.0.1:9"

Values = Mapping[str, Mapping[str, Any]]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, postgres_address: str) -> Iterator[Values]:
    """Give the sections of the settings of a home that no other test shares: exchange, and four servers."""
    client_required()
    folder = tmp_path_factory.mktemp("servers")
    prefix = f"doctor-{uuid.uuid4().hex[:8]}"
    postgres = urlsplit(postgres_address)
    with (
        address_of("opensearch", folder / "opensearch") as opensearch,
        address_of("s3", folder / "s3") as s3,
        address_of("mlflow", folder / "mlflow") as mlflow,
        new_user(postgres_address) as user,
        new_database(postgres_address, user) as database,
        running_simulator(folder / "sim", speed=1.0) as exchange,
    ):
        yield {
            "": {"profile": "cluster", "clock": "shared"},
            "exchange": {"rest_url": exchange.rest_url, "websocket_url": exchange.websocket_url},
            "opensearch": {"url": opensearch, "index_prefix": prefix},
            "postgres": {
                "host": postgres.hostname,
                "port": postgres.port,
                "database": database.database,
                "user": user,
                "password": PASSWORD,
            },
            "s3": {
                "endpoint": s3,
                "bucket": made_address(s3).bucket,
                "access_key": ACCESS_KEY,
                "secret_key": SECRET_KEY,
            },
            "mlflow": {"url": mlflow, "prefix": prefix},
            "sim": {"clock": str(exchange.clock_path)},
        }


def home_of(folder: Path, values: Values, **changed: Mapping[str, Any]) -> Path:
    """Make a home on the simulator's clock; a section of `changed` alters what it names."""
    (folder / "sim").mkdir(parents=True)
    (folder / "sim" / "clock.json").symlink_to(values["sim"]["clock"])
    lines = []
    for section in ("", "exchange", *SERVERS):
        lines += [f"[{section}]"] if section else []
        section_values = {**values[section], **changed.get(section, {})}
        lines += [f"{name} = {toml_value(value)}" for name, value in section_values.items()]
    (folder / "tickloop.toml").write_text("\n".join(lines), encoding="utf-8")
    return folder


def tickloop(home: Path, *args: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TICKLOOP_")}
    command = [sys.executable, "-m", "tickloop", *args, "--home", str(home)]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, env=kept, check=False)


def report_of(home: Path) -> dict[str, Check]:
    with open_app(load_settings(home)) as app:
        return {check.name: check for check in checks(app.probes(lambda: "candles"))}


def told(report: Mapping[str, Check]) -> str:
    return "\n".join(f"{check.figure} {check.remedy}" for check in report.values())


def deliver(home: Path) -> None:
    """Collect a trade of 2024-01-22 and deliver it."""
    segment = OpenSegment(home / "journal", "collector", START_MS * 1_000_000)
    segment.write(trade_line(1, START_MS))
    segment.close()
    done = tickloop(home, "ship", "--once")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def delivered(good: Values, tmp_path_factory: pytest.TempPathFactory) -> Values:
    """The same, once something was delivered: OpenSearch has our template."""
    deliver(home_of(tmp_path_factory.mktemp("delivered") / "home", good))
    return good


def test_doctor_tries_every_server_and_leaves_nothing(delivered: Values, tmp_path: Path) -> None:
    """Exit code 0; a server without tables stays without, and no file of a laptop appears in the home."""
    home = home_of(tmp_path / "home", delivered)

    done = tickloop(home, "doctor", "--json")

    report = {one["name"]: one for one in json.loads(done.stdout)["checks"]}
    assert done.returncode == 0, done.stdout
    assert {name: report[name]["state"] for name in SERVERS} == dict.fromkeys(SERVERS, "ok")
    assert "no tables yet" in report["postgres"]["figure"]
    assert report["ledger"]["figure"] == "there is no warehouse yet"
    assert report["registry"]["figure"] == "KRW-BTC none, KRW-ETH none"
    assert "warehouse" not in report
    assert {path.name for path in home.iterdir()} <= {"sim", "tickloop.toml", "run"}
    assert PASSWORD not in done.stdout
    assert SECRET_KEY not in done.stdout


def test_doctor_reads_the_ledger_where_it_is(delivered: Values, postgres: PostgresServer, tmp_path: Path) -> None:
    """From PostgreSQL, once there are tables; the row that it writes there is gone."""
    from tickloop.adapters.postgres.connect import open_plain

    home = home_of(tmp_path / "home", delivered, postgres={"database": postgres.database, "user": postgres.user})

    report = report_of(home)

    assert report["postgres"].figure.endswith("writes and reads")
    assert report["ledger"].figure == "no minute of the last seven days is in the ledger"
    assert report["pipeline"].figure == "no hour has been run yet"
    with closing(open_plain(postgres)) as connection:
        assert connection.execute("SELECT count(*) FROM repair").fetchone() == (0,)


WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "another address of OpenSearch": ("opensearch", {"url": NOBODY}, "opensearch.url"),
    "a prefix without template": ("opensearch", {"index_prefix": "nobody"}, "opensearch.index_prefix"),
    "a user where none is asked for": ("opensearch", {"user": "somebody"}, "opensearch.password"),
    "another port of PostgreSQL": ("postgres", {"port": 9}, "postgres.port"),
    "a wrong password": ("postgres", {"password": "wrong"}, "postgres.password"),
    "an unknown database": ("postgres", {"database": "nowhere"}, "postgres.database"),
    "another address of S3": ("s3", {"endpoint": NOBODY}, "s3.endpoint"),
    "a missing bucket": ("s3", {"bucket": "nowhere-at-all"}, "s3.bucket"),
    "a wrong access key": ("s3", {"access_key": "nobody"}, "s3.access_key"),
    "a wrong secret key": ("s3", {"secret_key": "wrong"}, "s3.secret_key"),
    "another address of MLflow": ("mlflow", {"url": NOBODY}, "mlflow.url"),
}


@pytest.mark.parametrize("case", WRONG, ids=lambda name: name.replace(" ", "_"))
def test_doctor_names_the_setting_at_fault(delivered: Values, tmp_path: Path, case: str) -> None:
    """One failure, on its own line; the other servers are tried all the same, and no secret is told."""
    server, changed, setting = WRONG[case]

    report = report_of(home_of(tmp_path / "home", delivered, **{server: changed}))

    assert {name for name, check in report.items() if check.state == "fail"} == {server}
    assert setting in report[server].figure
    assert report[server].remedy
    assert {report[name].state.value for name in SERVERS if name != server} == {"ok"}
    assert PASSWORD not in told(report)
    assert SECRET_KEY not in told(report)


def test_doctor_tells_a_server_of_another_kind(delivered: Values, tmp_path: Path) -> None:
    """The address of S3 stands where MLflow's should."""
    report = report_of(home_of(tmp_path / "home", delivered, mlflow={"url": delivered["s3"]["endpoint"]}))

    assert report["mlflow"].state == "fail"
    assert "mlflow.url" in report["mlflow"].figure


def test_doctor_finds_an_index_that_was_made_without_our_template(delivered: Values, tmp_path: Path) -> None:
    """As a shipper does that writes before the template is there."""
    from tickloop.adapters.opensearch.connect import open_server

    prefix = f"doctor-{uuid.uuid4().hex[:8]}"
    server = open_server(delivered["opensearch"]["url"])
    home = home_of(tmp_path / "home", delivered, opensearch={"index_prefix": prefix})
    server.ask("PUT", f"/{prefix}-2024.01.21/_doc/1", {"code": "KRW-BTC"})
    try:
        deliver(home)

        check = report_of(home)["opensearch"]

        assert check.state == "fail"
        assert f"index {prefix}-2024.01.21 was made without our template" in check.figure
        assert "remedy" in check.figure
    finally:
        server.ask("DELETE", f"/{prefix}-2024.01.21")
        server.close()
