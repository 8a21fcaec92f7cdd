"""Real clients against the simulator: each runs in an environment of its own, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from simulated_exchange import ACCESS_KEY, SECRET_KEY, RunningSimulator, running_simulator

HERE = Path(__file__).parent
DEADLINE_S = 180

# Limits are counted in market time: at this speed no client meets one that the test does not order.
SPEED = 120.0

NOON_MS = 1_705_924_800_000
"""2024-01-22T12:00Z: half a day of trades lies behind it."""

RunClient = Callable[[str, str], dict[str, Any]]


@pytest.fixture(scope="session")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSimulator]:
    with running_simulator(tmp_path_factory.mktemp("conformance"), SPEED, NOON_MS) as running:
        yield running


@pytest.fixture(scope="session")
def run_client(simulator: RunningSimulator) -> RunClient:
    """Give a function that runs a script in a client's environment and gives the results of its calls by name."""
    done: dict[str, dict[str, Any]] = {}

    def run(environment: str, script: str) -> dict[str, Any]:
        if script not in done:
            command = [python_of(environment), HERE / "clients" / script, simulator.rest_url, ACCESS_KEY, SECRET_KEY]
            ended = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
            assert ended.returncode == 0, ended.stderr[-4000:]
            done[script] = json.loads(ended.stdout.splitlines()[-1])
        return done[script]

    return run


def python_of(environment: str) -> Path:
    """Give the interpreter of a client's environment; without it the test is skipped, or fails where CI needs it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(os.environ.get("TICKLOOP_ENVS") or cache / "tickloop" / "envs") / environment
    pins = HERE.parent / "envs" / f"{environment}.txt"
    made_of = folder / "pins.txt"
    if made_of.is_file() and made_of.read_bytes() == pins.read_bytes():
        return folder / "bin" / "python"
    reason = f"the environment of {environment} is not there: run `make clients`"
    if os.environ.get("TICKLOOP_TEST_REQUIRE_SERVERS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
