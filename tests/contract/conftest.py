"""Each store port with each of its adapters. A server joins a suite as one more name in its fixture's params."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fakes import FixedClock, MemoryLake, MemoryRegistry, MemoryWarehouse, MemoryWindowLock
from s3_servers import client_required, made_address
from servers import address_of
from tickloop.adapters.local.lake import ParquetLake
from tickloop.adapters.local.lock import FileWindowLock
from tickloop.adapters.local.warehouse import SqliteWarehouse
from tickloop.adapters.mlflow.place import FilePlace
from tickloop.adapters.mlflow.registry import MlflowRegistry
from tickloop.adapters.mlflow.server import ServerPlace
from tickloop.ports import Lake, ModelRegistry, Warehouse, WindowLock

if TYPE_CHECKING:
    from tickloop.adapters.postgres.connect import PostgresServer


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.server)])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Warehouse]:
    if request.param == "postgres":
        store = request.getfixturevalue("postgres_warehouse")
    else:
        store = MemoryWarehouse() if request.param == "memory" else SqliteWarehouse(tmp_path / "warehouse.sqlite")
    yield store
    store.close()


@pytest.fixture(params=["memory", "folder", pytest.param("s3", marks=pytest.mark.server)])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lake]:
    if request.param == "s3":
        store = request.getfixturevalue("s3_lake")
    else:
        store = MemoryLake() if request.param == "memory" else ParquetLake(tmp_path / "lake")
    yield store
    store.close()


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    client_required()
    with address_of("s3", tmp_path_factory.mktemp("s3")) as endpoint:
        yield endpoint


@pytest.fixture
def s3_lake(s3_endpoint: str) -> Lake:
    from tickloop.adapters.s3.bucket import Bucket
    from tickloop.adapters.s3.lake import S3Lake

    return S3Lake(Bucket(made_address(s3_endpoint)), "lake")


@pytest.fixture
def postgres_warehouse(emptied_postgres: PostgresServer) -> Warehouse:
    from tickloop.adapters.postgres.warehouse import PostgresWarehouse

    return PostgresWarehouse(emptied_postgres)


@pytest.fixture
def postgres_lock(emptied_postgres: PostgresServer) -> Iterator[WindowLock]:
    from tickloop.adapters.postgres.lock import PostgresWindowLock

    lock = PostgresWindowLock(emptied_postgres)
    yield lock
    lock.close()


@pytest.fixture(params=["memory", "file", pytest.param("postgres", marks=pytest.mark.server)])
def window_lock(request: pytest.FixtureRequest, tmp_path: Path) -> WindowLock:
    if request.param == "postgres":
        lock: WindowLock = request.getfixturevalue("postgres_lock")
        return lock
    return MemoryWindowLock() if request.param == "memory" else FileWindowLock(tmp_path / "locks")


@pytest.fixture(params=["memory", "mlflow", pytest.param("mlflow-server", marks=pytest.mark.server)])
def registry(request: pytest.FixtureRequest, clock: FixedClock) -> ModelRegistry:
    if request.param == "memory":
        return MemoryRegistry(clock)
    name = "mlflow_registry" if request.param == "mlflow" else "mlflow_server_registry"
    fixture: MlflowRegistry = request.getfixturevalue(name)
    return fixture


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new MLflow file, made once: it takes two seconds."""
    path = tmp_path_factory.mktemp("mlflow") / "empty.sqlite"
    FilePlace(path, path.parent).open()
    return path


@pytest.fixture
def mlflow_registry(tmp_path: Path, empty_mlflow: Path, clock: FixedClock) -> MlflowRegistry:
    database = tmp_path / "mlflow.sqlite"
    # Not a copy of the file: what was written last may still lie in the log beside it.
    with closing(sqlite3.connect(empty_mlflow)) as source, closing(sqlite3.connect(database)) as copy:
        source.backup(copy)
    return MlflowRegistry(FilePlace(database, tmp_path / "artifacts"), clock)


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with address_of("mlflow", tmp_path_factory.mktemp("mlflow-server")) as address:
        yield address


@pytest.fixture
def mlflow_server_registry(mlflow_server: str, clock: FixedClock) -> MlflowRegistry:
    """A registry under names of its own: MLflow never gives the name of a deleted experiment back."""
    return MlflowRegistry(ServerPlace(mlflow_server), clock, f"test-{uuid.uuid4().hex}")


@pytest.fixture(scope="session")
def opensearch_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One server for all tests; each takes an index prefix of its own."""
    with address_of("opensearch", tmp_path_factory.mktemp("opensearch")) as url:
        yield url


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
