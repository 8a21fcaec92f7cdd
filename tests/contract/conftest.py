"""Each store port with each of its adapters. A server joins a suite as one more name in its fixture's params."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fakes import FixedClock, MemoryLake, MemoryRegistry, MemoryWarehouse, MemoryWindowLock
from tickloop.adapters.local.lake import ParquetLake
from tickloop.adapters.local.lock import FileWindowLock
from tickloop.adapters.local.warehouse import SqliteWarehouse
from tickloop.adapters.mlflow.client import open_client
from tickloop.adapters.mlflow.registry import MlflowRegistry
from tickloop.ports import Lake, ModelRegistry, Warehouse, WindowLock


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture(params=["memory", "sqlite"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Warehouse]:
    store = MemoryWarehouse() if request.param == "memory" else SqliteWarehouse(tmp_path / "warehouse.sqlite")
    yield store
    store.close()


@pytest.fixture(params=["memory", "folder"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    return MemoryLake() if request.param == "memory" else ParquetLake(tmp_path / "lake")


@pytest.fixture(params=["memory", "file"])
def window_lock(request: pytest.FixtureRequest, tmp_path: Path) -> WindowLock:
    return MemoryWindowLock() if request.param == "memory" else FileWindowLock(tmp_path / "locks")


@pytest.fixture(params=["memory", "mlflow"])
def registry(request: pytest.FixtureRequest, clock: FixedClock) -> ModelRegistry:
    if request.param == "memory":
        return MemoryRegistry(clock)
    fixture: MlflowRegistry = request.getfixturevalue("mlflow_registry")
    return fixture


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new MLflow file, made once: it takes two seconds."""
    path = tmp_path_factory.mktemp("mlflow") / "empty.sqlite"
    open_client(path)
    return path


@pytest.fixture
def mlflow_registry(tmp_path: Path, empty_mlflow: Path, clock: FixedClock) -> MlflowRegistry:
    database = tmp_path / "mlflow.sqlite"
    # Not a copy of the file: what was written last may still lie in the log beside it.
    with closing(sqlite3.connect(empty_mlflow)) as source, closing(sqlite3.connect(database)) as copy:
        source.backup(copy)
    return MlflowRegistry(database, tmp_path / "artifacts", clock)


@pytest.fixture
def start_python() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `python -c script arguments...` in a process of its own, killed at the end if it still runs."""
    started: list[subprocess.Popen[str]] = []

    def start(script: str, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", script, *map(str, arguments)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate(timeout=30)
