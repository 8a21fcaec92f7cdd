"""See that an image works: smoke.py app | airflow | mlflow. Runs inside it (run.sh), and prints one line a finding.

Exit code 1 and the reason when something does not hold. Everything it starts ends with it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

DEADLINE_S = 300.0
"""A first start compiles the rules; on a busy machine that takes minutes."""

SIMULATOR = 9000
MLFLOW_HOST = "0.0.0.0"  # noqa: S104 (as the image does; there is no network but its loopback)
BUILD_TOOLS = ("cc", "gcc", "g++", "make", "ld", "git", "curl", "wget", "pip", "pip3")

processes: dict[str, subprocess.Popen[bytes]] = {}


def main() -> None:
    {"app": app, "airflow": airflow, "mlflow": mlflow}[sys.argv[1]]()


def common() -> None:
    """User, root, tools and bill: what holds for every image of ours."""
    check(os.getuid() == os.getgid() == 10001, f"runs as user {os.getuid()}, group {os.getgid()}")
    for folder in ("/opt", "/usr", "/etc", "/"):
        try:
            Path(folder, "written").touch()
        except OSError:
            continue
        check(False, f"{folder} can be written")
    say("the root cannot be written")
    # The stand-in base is Debian's own, in which Python brings no pip.
    there = [name for name in BUILD_TOOLS for folder in os.environ["PATH"].split(":") if Path(folder, name).exists()]
    check(not there, f"no build tools inside ({', '.join(there) or 'looked for ' + ', '.join(BUILD_TOOLS)})")
    bill = json.loads(Path("/usr/share/sbom/sbom.cdx.json").read_text(encoding="utf-8"))
    kinds = [one["purl"].split("/")[0] for one in bill["components"]]
    check(bill["bomFormat"] == "CycloneDX" and {"pkg:pypi", "pkg:deb"} <= set(kinds), "it carries its bill")
    say(f"{kinds.count('pkg:pypi')} distributions of Python, {kinds.count('pkg:deb')} packages of Debian")


def app() -> None:
    common()
    os.environ |= {
        "TICKLOOP_CLOCK": "shared",
        "TICKLOOP_EXCHANGE__REST_URL": f"http://127.0.0.1:{SIMULATOR}",
        "TICKLOOP_EXCHANGE__WEBSOCKET_URL": f"ws://127.0.0.1:{SIMULATOR}/websocket/v1",
    }
    started("tickloop", "sim", "--port", str(SIMULATOR))
    until("the simulator", lambda: answer(f"http://127.0.0.1:{SIMULATOR}/v1/market/all"))
    serving = started("tickloop", "serve")
    found = until("the API", lambda: answer("http://127.0.0.1:8000/healthz"))
    check(found[0] == 200, f"/healthz answers {found[0]} {found[1][:60]}")
    found = answer("http://127.0.0.1:8000/readyz") or (0, "")
    check(found[0] == 503, f"/readyz without a champion answers {found[0]} {found[1][:80]}")
    doctor()
    serving.send_signal(signal.SIGTERM)
    check(serving.wait(60) == 0, "the API ends with 0 at SIGTERM")


def doctor() -> None:
    told = subprocess.run(["tickloop", "doctor", "--json"], capture_output=True, text=True, check=False)  # noqa: S607
    check(told.returncode in (0, 3) and told.stdout.startswith("{"), f"tickloop doctor answers ({told.returncode})")
    checks = {one["name"]: one for one in json.loads(told.stdout)["checks"]}
    for name, one in checks.items():
        say(f"  doctor: {one['state']:5} {name}: {one['figure']}"[:120])
    for name in ("settings", "home", "exchange"):
        check(name in checks and checks[name]["state"] == "ok", f"doctor finds {name} in order")


def airflow() -> None:
    common()
    os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = "sqlite:////tmp/airflow.db"
    os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC"] = "sqlite+aiosqlite:////tmp/airflow.db"
    check(run("airflow", "db", "migrate").returncode == 0, "airflow db migrate")
    check(run("airflow", "db", "check").returncode == 0, "airflow db check, the image's own health check")
    told = run("airflow", "dags", "list-import-errors", "--local", "--output", "json")
    check("[]" in told.stdout or "No data found" in told.stdout, f"DAG files import: {told.stdout[-300:].strip()}")
    told = run("airflow", "dags", "list", "--local", "--output", "json")
    start = told.stdout.find("[{")
    names = sorted(one["dag_id"] for one in json.loads(told.stdout[start:])) if start >= 0 else []
    wanted = ["collect_hour", "history", "janitor", "repair", "report", "sweep", "train_and_promote"]
    check(names == wanted, f"DAGs: {', '.join(names)}")
    check(Path("/opt/tickloop/train-pod.yaml").is_file(), "the pod template is there")
    check(run("tickloop", "--version").returncode == 0, "the tickloop command is there too")


def mlflow() -> None:
    common()
    os.environ["MLFLOW_BACKEND_STORE_URI"] = "sqlite:////tmp/mlflow.sqlite"
    serving = started(
        *("mlflow", "server", "--host", MLFLOW_HOST, "--port", "5000", "--workers", "1", "--serve-artifacts"),
        *("--artifacts-destination", str(Path.cwd() / "artifacts"), "--allowed-hosts", "mlflow:5000,127.0.0.1:5000"),
    )
    found = until("MLflow", lambda: answer("http://127.0.0.1:5000/health"))
    check(found[0] == 200, f"/health answers {found[0]}")
    serving.send_signal(signal.SIGTERM)
    serving.wait(60)


def run(*command: str) -> subprocess.CompletedProcess[str]:
    told = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if told.returncode:
        say(f"{' '.join(command)} ended with {told.returncode}: {(told.stdout + told.stderr)[-2000:]}")
    return told


def started(*command: str) -> subprocess.Popen[bytes]:
    """Start a process; all of them end with this one, whose namespace they are in."""
    processes[command[1]] = subprocess.Popen(command)  # noqa: S603
    return processes[command[1]]


def answer(url: str) -> tuple[int, str] | None:
    """Give status and text of an address, or None when nobody listens there."""
    try:
        with urllib.request.urlopen(url, timeout=10) as found:  # noqa: S310 (http, and ours)
            return found.status, found.read().decode()
    except urllib.error.HTTPError as exc:
        return exc.code, exc.read().decode()
    except OSError:
        return None


def until(what: str, look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        ended = [name for name, process in processes.items() if process.poll() is not None]
        if ended:
            sys.exit(f"{', '.join(ended)} ended before {what} answered")
        found = look()
        if found is not None:
            return found
        time.sleep(0.2)
    sys.exit(f"{what} did not answer within {DEADLINE_S:.0f} s")


def check(holds: bool, what: str) -> None:
    if not holds:
        sys.exit(f"does not hold: {what}")
    say(what)


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
