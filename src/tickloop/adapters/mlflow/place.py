"""Where the registry lies: what a place must offer, and the laptop's, a SQLite file and a folder."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from tickloop.adapters.local.files import writing
from tickloop.adapters.local.sqlite import connect, opening
from tickloop.adapters.local.sqlite import translated as sqlite_translated
from tickloop.adapters.mlflow.client import import_quietly
from tickloop.errors import DataError, OperatorError


class Place(Protocol):
    """What differs between a file and a server."""

    @property
    def artifacts(self) -> str | None:
        """Give the location of a new experiment's files; None: the server's own."""

    def open(self) -> Any:
        """Give an `MlflowClient`, which is kept."""

    def translated(self) -> AbstractContextManager[None]:
        """Turn MLflow's errors into ours."""

    def writing(self) -> AbstractContextManager[object]:
        """Hold what keeps other writers out, if the place has such a thing."""


class FilePlace:
    """A SQLite file, made when it is not there, and a folder. One process writes at a time: the file's lock."""

    def __init__(self, database: Path, artifacts: Path) -> None:
        self._database = database
        self._folder = artifacts

    @property
    def artifacts(self) -> str:
        return self._folder.absolute().as_uri()

    def open(self) -> Any:
        """Give a client on the file.

        Raises:
            MissingExtraError: MLflow or what it needs for SQLite is not installed.
            HomeNotWritableError: the file cannot be written.
            DataError: the file is not a database.
        """
        database = self._database
        # SQLAlchemy 2.1 warns of what MLflow's tables use, once, while they are declared; nothing of ours causes it.
        with opening(database), sqlite_translated(database), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            client_class = import_quietly(_client_class)
            # MLflow meets a file that cannot be opened with minutes of retries, and makes its tables without a lock:
            # so we open first, and hold the lock.
            connect(database).close()
            uri = f"sqlite:///{database.absolute()}"
            with self.translated():
                return client_class(tracking_uri=uri, registry_uri=uri)

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn MLflow's errors into ours: `DataError` for a value that it refuses, else `OperatorError`."""
        from mlflow.exceptions import MlflowException

        try:
            yield
        except MlflowException as exc:
            line = str(exc).partition("\n")[0]
            if exc.error_code == "INVALID_PARAMETER_VALUE":
                raise DataError(f"the model registry refused a value: {line}") from exc
            raise OperatorError(f"the model registry in {self._database} failed: {line}") from exc

    @contextmanager
    def writing(self) -> Iterator[None]:
        with opening(self._database), writing(self._folder):
            yield


def _client_class() -> Any:
    import alembic  # noqa: F401 (mlflow-skinny asks for it only when it makes the tables)
    import sqlalchemy  # noqa: F401
    from mlflow import MlflowClient

    return MlflowClient
