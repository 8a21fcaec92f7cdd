"""The MLflow client on a SQLite file: opened quietly, its errors translated."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tickloop.adapters.local.sqlite import connect, opening
from tickloop.adapters.local.sqlite import translated as sqlite_translated
from tickloop.errors import DataError, MissingExtraError, OperatorError

T = TypeVar("T")

_PAGE = 1_000


def open_client(database: Path) -> Any:
    """Give an `MlflowClient` on the file, which is made first when it is not there.

    Raises:
        MissingExtraError: MLflow or what it needs for SQLite is not installed.
        HomeNotWritableError: the file cannot be written.
        DataError: the file is not a database.
    """
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    # SQLAlchemy 2.1 warns of what MLflow's tables use, once, while they are declared; nothing of ours causes it.
    with opening(database), sqlite_translated(database), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client_class = _client_class()
        # MLflow meets a file that cannot be opened with minutes of retries, and makes its tables without a lock:
        # so we open first, and hold the lock.
        connect(database).close()
        uri = f"sqlite:///{database.absolute()}"
        with translated(database):
            return client_class(tracking_uri=uri, registry_uri=uri)


def _client_class() -> Any:
    try:
        import alembic  # noqa: F401 (mlflow-skinny asks for it only when it makes the tables)
        import sqlalchemy  # noqa: F401
        from mlflow import MlflowClient
    except ImportError as exc:
        raise MissingExtraError("the model registry", "registry") from exc
    # MLflow logs each error with its traceback before raising it; we say it once, in our words.
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return MlflowClient


@contextmanager
def translated(database: Path) -> Iterator[None]:
    """Turn MLflow's errors into ours: `DataError` for a value that it refuses, else `OperatorError`."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as exc:
        line = str(exc).partition("\n")[0]
        if exc.error_code == "INVALID_PARAMETER_VALUE":
            raise DataError(f"the model registry refused a value: {line}") from exc
        raise OperatorError(f"the model registry in {database} failed: {line}") from exc


def or_none(look_up: Callable[[], T]) -> T | None:
    """Give what a look-up by valid name finds, None when it is not there."""
    from mlflow.exceptions import MlflowException

    try:
        return look_up()
    except MlflowException as exc:
        # An alias that is not set is reported as an invalid value.
        if exc.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def find_runs(client: Any, experiment: str | None, where: str, order: str = "attributes.start_time ASC") -> list[Any]:
    """Give all runs of an experiment that match; none when there is no experiment yet."""
    if experiment is None:
        return []
    return _all_pages(lambda token: client.search_runs([experiment], where, 1, _PAGE, [order], token))


def find_versions(client: Any, model: str, tags: dict[str, str]) -> list[Any]:
    """Give the versions of a registered model that carry the tags, oldest first, without their aliases."""
    where = " and ".join([f"name = '{model}'", *(f"tags.{key} = '{value}'" for key, value in tags.items())])
    found = _all_pages(lambda token: client.search_model_versions(where, _PAGE, page_token=token))
    return sorted(found, key=lambda version: int(version.version))


def _all_pages(page: Callable[[str | None], Any]) -> list[Any]:
    found: list[Any] = []
    token: str | None = None
    while True:
        rows = page(token)
        found += rows
        token = rows.token
        if not token or not rows:
            return found
