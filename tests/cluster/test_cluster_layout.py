"""The cluster's processes as the manifests declare them, on real servers: one replay from collector to API answer.

Left out: fluentd, which cannot be installed here (`tickloop ship` stands in), the pods of the KubernetesExecutor
(training runs by the LocalExecutor), OpenSearch's TLS and users.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import threading
import urllib.request
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "airflow"))
sys.path.insert(0, str(Path(__file__).parents[1] / "deploy"))

from cluster_world import LIVE, MARKETS, NOW_MS, PAST
from deploy_manifests import ROOT, known_secrets
from environment import DAGS, interpreter
from manifest_layout import DEADLINE_S, Layout, ask, closing_all, free_port, workload_of

from postgres_servers import client_required
from servers import required, running
from simulated_exchange import ACCESS_KEY, SECRET_KEY, RunningSimulator, running_simulator
from tickloop.bootstrap import open_app
from tickloop.services.pipeline import ensure_history
from tickloop.services.run_ledger import HISTORY
from tickloop.services.steps import RunRow, record_runs
from tickloop.settings import load_settings

pytestmark = pytest.mark.server

SPEED = 600.0
PASSWORDS = ("tickloop", "mlflow", "airflow")


def test_one_replay_goes_from_collector_to_champion_to_api_answer(
    layout: Layout, exchange: RunningSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up_stores(layout)
    collect(layout, exchange)
    deliver(layout)
    fetch_history(layout, monkeypatch)
    api, token = start_api(layout)
    assert [one["champion"] for one in live(api, token)] == ["persistence-1", "persistence-1"]

    run_airflow(layout)

    champions = {}
    for market in MARKETS:
        versions = ask(f"{api}/v1/models?market={market}", token=token)
        assert len(versions) > 1, market
        (champions[market],) = (version["name"] for version in versions if "champion" in version["aliases"])
    layout.until(lambda: {one["market"]: one["champion"] for one in live(api, token)} == champions, "api")
    control(exchange, run=True)
    layout.until_probe("api", "readinessProbe", urlsplit(api).port or 0)
    answered = forecasts(api, token)
    assert {market: one["model_version"] for market, one in answered.items()} == champions
    assert all(one["price"] > 0 for one in answered.values())
    assert "tickloop_forecasts_total" in text(f"{api}/metrics")
    start_pages_and_bot(layout, api)
    for name in ("collector", "bot", "dashboard", "api"):
        assert layout.stop(name) == 0, layout.log(name)


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[RunningSimulator]:
    """Real candles; the clock is held where the live hours begin."""
    with running_simulator(tmp_path / "sim", SPEED, LIVE.start_ms, is_held=True) as simulator:
        yield simulator


@pytest.fixture
def layout(tmp_path: Path, exchange: RunningSimulator) -> Iterator[Layout]:
    client_required()
    for name in ("postgres", "opensearch", "s3", "mlflow"):
        required(name)
    python = interpreter()
    made = made_secrets()
    with ExitStack() as stack:
        servers = {name: stack.enter_context(running(name, tmp_path / name)) for name in ("postgres", "opensearch")}
        postgres = urlsplit(servers["postgres"].address)
        (certificate := tmp_path / "ca").mkdir()
        shutil.copy(servers["postgres"].folder / "data" / "server.crt", certificate / "ca.pem")
        made["tickloop-ca"] = {"ca.pem": (certificate / "ca.pem").read_text()}
        made["postgres-admin"]["POSTGRES_PASSWORD"] = postgres.password or ""
        made["exchange-keys"] = {
            "TICKLOOP_EXCHANGE__ACCESS_KEY": ACCESS_KEY,
            "TICKLOOP_EXCHANGE__SECRET_KEY": SECRET_KEY,
        }
        addresses = {name: f"http://127.0.0.1:{free_port()}" for name in ("s3", "mlflow", "airflow-api-server", "api")}
        addresses["opensearch"] = servers["opensearch"].address
        mlflow_port = str(urlsplit(addresses["mlflow"]).port)
        changes: dict[str, str | None] = {
            # The exchange, and a small world.
            "TICKLOOP_CLOCK": "shared",
            "TICKLOOP_EXCHANGE__REST_URL": exchange.rest_url,
            "TICKLOOP_EXCHANGE__WEBSOCKET_URL": exchange.websocket_url,
            "TICKLOOP_EXCHANGE__IS_PATH_INVENTED": "true",
            "TICKLOOP_TRAINING__SLOT_HOURS": "2",
            "TICKLOOP_TRAINING__TRAINING_HOURS": "24",
            "TICKLOOP_TRAINING__GATE_HOURS": "6",
            # Where the servers of tests are: a port that is not the usual one, no TLS and users of OpenSearch.
            "TICKLOOP_POSTGRES__PORT": str(postgres.port),
            "PGPORT": str(postgres.port),
            "TICKLOOP_OPENSEARCH__CA_FILE": None,
            "TICKLOOP_OPENSEARCH__USER": None,
            "TICKLOOP_OPENSEARCH__PASSWORD": None,
            # No cluster makes pods here.
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "TICKLOOP_AIRFLOW__TRAIN_EXECUTOR": None,
            "TICKLOOP_AIRFLOW__TRAIN_POD_TEMPLATE": None,
            "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": str(free_port()),
        }
        replaced = {
            "@postgres/": f"@127.0.0.1:{postgres.port}/",
            "/opt/tickloop/dags": str(DAGS),
            "/etc/tickloop/ca.pem": str(certificate / "ca.pem"),
            ":5000": f":{mlflow_port}",
        }
        programs = {
            "tickloop": [sys.executable, "-m", "tickloop"],
            "airflow": [str(python), "-m", "airflow"],
            "mlflow": [str(mlflow_python()), "-c", "from mlflow.cli import cli; cli()"],
            "psql": ["psql"],
            "/usr/local/bin/versitygw": [str(versitygw())],
        }
        yield stack.enter_context(closing_all(Layout(tmp_path, made, addresses, programs, changes, replaced)))


def made_secrets() -> dict[str, dict[str, str]]:
    """Give values for all keys that start.sh makes, as it makes them."""
    found = {name: {key: secrets.token_hex(24) for key in keys} for name, keys in known_secrets().items()}
    passwords = {name: secrets.token_hex(12) for name in PASSWORDS}
    tls = "sslmode=verify-full&sslrootcert=/etc/tickloop/ca.pem"
    found["postgres-admin"]["passwords.toml"] = "".join(f'{name} = "{value}"\n' for name, value in passwords.items())
    found["tickloop-stores"]["TICKLOOP_POSTGRES__PASSWORD"] = passwords["tickloop"]
    found["mlflow-secrets"]["MLFLOW_BACKEND_STORE_URI"] = (
        f"postgresql+psycopg://mlflow:{passwords['mlflow']}@postgres/mlflow?{tls}"
    )
    for key, driver in (("", "psycopg"), ("_ASYNC", "psycopg_async")):
        found["airflow-secrets"][f"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN{key}"] = (
            f"postgresql+{driver}://airflow:{passwords['airflow']}@postgres/airflow?{tls}"
        )
    found["airflow-secrets"]["AIRFLOW__CORE__FERNET_KEY"] = urlsafe_b64encode(secrets.token_bytes(32)).decode()
    return found


def set_up_stores(layout: Layout) -> None:
    """Run what the Jobs run, and start the stores that manifests have commands for."""
    layout.changes["TICKLOOP_POSTGRES__HOST"] = "127.0.0.1"
    layout.run("postgres-setup", "write")
    layout.run("postgres-setup", "psql", PGHOST="127.0.0.1")
    layout.run("s3", "folders")
    port = str(urlsplit(layout.addresses["s3"]).port)
    layout.start("s3", {":7070": f"127.0.0.1:{port}"})
    layout.until_probe("s3", "readinessProbe", int(port))
    shutil.copytree(ROOT / "deploy/kubernetes/base/scripts", layout.folder / "volumes/s3-setup-scripts")
    layout.run("s3-setup", VERSITYGW=str(versitygw()))
    layout.run("airflow-migrate")
    mlflow_port = str(urlsplit(layout.addresses["mlflow"]).port)
    where = {"0.0.0.0": "127.0.0.1", "5000": mlflow_port}
    layout.start("mlflow", where)
    layout.until_probe("mlflow", "readinessProbe", int(mlflow_port))


def collect(layout: Layout, exchange: RunningSimulator) -> None:
    """Let the collector record the live hours and the one after, until the clock is held again."""
    link_clock(layout, "collector")
    layout.run("collector", "index-template")
    layout.start("collector")
    layout.until(lambda: layout.is_ready_by_file("collector"), "collector")
    control(exchange, run=True)
    layout.until(lambda: exchange.clock.now_ms() >= NOW_MS, "collector")
    control(exchange, run=False)


def deliver(layout: Layout) -> None:
    """Deliver the journal as fluentd would: it cannot be installed here."""
    workload = workload_of("collector")
    environment = layout.environment(workload, workload.main)
    line = [*layout.programs["tickloop"], "ship", "--once", "--json"]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["delivered"] > 1_000


def fetch_history(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetch the two days that training needs; the DAG `history` would fetch fourteen."""
    scheduler = workload_of("airflow-scheduler")
    with monkeypatch.context() as patched:
        for name, value in layout.environment(scheduler, scheduler.main).items():
            if name.startswith("TICKLOOP_"):
                patched.setenv(name, value)
        with open_app(load_settings()) as app:
            record_runs(app, [RunRow(HISTORY, market, PAST, "due", {}) for market in MARKETS])
            ensure_history(app, app.settings.history, lambda *_a, **_k: None, threading.Event())


def start_api(layout: Layout) -> tuple[str, str]:
    link_clock(layout, "api")
    shutil.copytree(ROOT / "deploy/kubernetes/base/scripts", layout.folder / "volumes/api-scripts")
    assert "left to" not in layout.run("api", "first-champion")
    address = layout.addresses["api"]
    layout.start("api", TICKLOOP_SERVE__HOST="127.0.0.1", TICKLOOP_SERVE__PORT=str(urlsplit(address).port))
    layout.until_probe("api", "livenessProbe", urlsplit(address).port or 0)
    token = layout.secrets["tickloop-api"]["TICKLOOP_SERVE__TOKEN"]
    layout.until(lambda: len(live(address, token)) == len(MARKETS), "api")
    return address, token


def live(address: str, token: str) -> list[Any]:
    """Give the markets whose bars and models are there."""
    markets = ask(f"{address}/v1/status", token=token)["markets"]
    return [one for one in markets if one["champion"] is not None]


def forecasts(address: str, token: str) -> dict[str, Any]:
    found = ask(f"{address}/v1/forecasts", {"markets": list(MARKETS)}, token)
    return {one["market"]: one for one in found}


def run_airflow(layout: Layout) -> None:
    """Back-fill both hours by the three processes of Airflow; the second ends a slot, which trains and promotes."""
    address = layout.addresses["airflow-api-server"]
    port = urlsplit(address).port or 0
    layout.run("airflow-api-server", "password")
    where = {"0.0.0.0": "127.0.0.1", "8080": str(port)}
    layout.start("airflow-api-server", where)
    layout.until_probe("airflow-api-server", "readinessProbe", port)
    layout.start("airflow-scheduler")
    layout.start("airflow-dag-processor")
    layout.until_probe(
        "airflow-scheduler",
        "readinessProbe",
        int(layout.changes["AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT"] or 0),
    )
    password = layout.secrets["airflow-admin"]["ADMIN_PASSWORD"]
    token = ask(f"{address}/auth/token", {"username": "admin", "password": password})["access_token"]
    dags = {"collect_hour", "train_and_promote"}
    layout.until(
        lambda: dags <= {one["dag_id"] for one in ask(f"{address}/api/v2/dags", token=token)["dags"]},
        "airflow-dag-processor",
    )
    for dag in dags:
        airflow(layout, "dags", "unpause", "-y", dag)
    first, last = (f"{window.start:%Y-%m-%dT%H:%M:%S}" for window in list(LIVE.hours()))
    dates = ("--from-date", first, "--to-date", last, "--max-active-runs", "1")
    airflow(layout, "backfill", "create", "--dag-id", "collect_hour", *dates)
    for dag, count in (("collect_hour", 2), ("train_and_promote", 1)):
        runs: list[dict[str, Any]] = []

        def are_done(dag: str = dag, count: int = count, runs: list[dict[str, Any]] = runs) -> bool:
            found = ask(f"{address}/api/v2/dags/{dag}/dagRuns?limit=100", token=token)["dag_runs"]
            runs[:] = [run for run in found if run["run_type"] != "scheduled"]  # that of the wall clock has no data
            return len(runs) >= count and all(run["state"] in ("success", "failed") for run in runs)

        layout.until(are_done, "airflow-scheduler", 600.0)
        assert {run["state"] for run in runs} == {"success"}, layout.log("airflow-scheduler")


def airflow(layout: Layout, *arguments: str) -> None:
    workload = workload_of("airflow-scheduler")
    environment = layout.environment(workload, workload.main)
    line = [*layout.programs["airflow"], *arguments]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 0, done.stderr[-4000:]


def start_pages_and_bot(layout: Layout, api: str) -> None:
    port = free_port()
    layout.start(
        "dashboard",
        TICKLOOP_DASHBOARD__HOST="127.0.0.1",
        TICKLOOP_DASHBOARD__PORT=str(port),
        TICKLOOP_SERVE__HOST="127.0.0.1",
        TICKLOOP_SERVE__PORT=str(urlsplit(api).port),
    )
    link_clock(layout, "bot")
    layout.start("bot")
    layout.until_probe("dashboard", "readinessProbe", port)
    layout.until(lambda: layout.is_ready_by_file("bot"), "bot")


def link_clock(layout: Layout, name: str) -> None:
    """Put the simulator's clock into the home of a process."""
    workload = workload_of(name)
    home = Path(layout.mounts(workload, workload.main)["/var/lib/tickloop"])
    (home / ".tickloop-home").touch()
    (home / "sim").symlink_to(layout.folder / "sim")


def control(exchange: RunningSimulator, *, run: bool) -> None:
    ask(f"{exchange.rest_url}/control/clock", {"run": run})


def text(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())


def mlflow_python() -> Path:
    caches = os.environ.get("XDG_CACHE_HOME", str(Path("~/.cache").expanduser()))
    return Path(os.environ.get("TICKLOOP_ENVS", f"{caches}/tickloop/envs")) / "mlflow" / "bin" / "python"


def versitygw() -> Path:
    caches = os.environ.get("XDG_CACHE_HOME", str(Path("~/.cache").expanduser()))
    return max(Path(os.environ.get("TICKLOOP_SERVERS", f"{caches}/tickloop/servers")).glob("versitygw-*/versitygw"))
