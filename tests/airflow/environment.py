"""Airflow's own environment, and an AIRFLOW_HOME that no one else uses."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
DAGS = ROOT / "src" / "tickloop" / "entrypoints" / "dags"

DEADLINE_S = 600.0


def interpreter() -> Path:
    """Give the Python of Airflow's environment; skip where it was not made, or fail where servers are required."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(os.environ.get("TICKLOOP_ENVS") or cache / "tickloop" / "envs") / "airflow"
    pins, wanted = folder / "pins.txt", ROOT / "constraints-airflow.txt"
    if (folder / "key.txt").is_file() and pins.is_file() and pins.read_bytes() == wanted.read_bytes():
        return folder / "bin" / "python"
    reason = "Airflow's environment is not there, or not of these versions: sh scripts/airflow_env.sh"
    if os.environ.get("TICKLOOP_TEST_REQUIRE_SERVERS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def variables(airflow_home: Path, home: Path) -> dict[str, str]:
    """Give the environment of a process of Airflow: nothing of the machine's own Airflow, and our home."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "TICKLOOP_"))}
    return {
        **kept,
        "AIRFLOW_HOME": str(airflow_home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(airflow_home / "logs"),
        "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT / 'tests'}",
        "TICKLOOP_HOME": str(home),
    }


def airflow(python: Path, environment: dict[str, str], *arguments: str) -> str:
    """Run a command of Airflow; give what it printed."""
    command = [str(python), "-m", "airflow", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0, f"airflow {arguments}: {done.stderr[-4000:]}{done.stdout[-2000:]}"
    return done.stdout


def script(python: Path, environment: dict[str, str], name: str, given: str = "", **more: Any) -> str:
    """Run a script of this folder in Airflow's environment; give what it printed."""
    done = subprocess.run(
        [str(python), str(HERE / name)],
        env=environment,
        input=given,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        **more,
    )
    assert done.returncode == 0, f"{name}: {done.stderr[-6000:]}"
    return done.stdout
