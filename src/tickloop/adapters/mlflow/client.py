"""What both places share of the MLflow client: its import, look-ups and pages."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any, TypeVar

from tickloop.errors import MissingExtraError

T = TypeVar("T")

_PAGE = 1_000


def import_quietly(load: Callable[[], T]) -> T:
    """Give what the import of MLflow gives: telemetry is off before it, and MLflow's own log is silent after it.

    Raises:
        MissingExtraError: MLflow, or what it needs, is not installed.
    """
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # read once, while it is imported
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"  # a bar for a file of some kilobytes is noise
    try:
        loaded = load()
    except ImportError as exc:
        raise MissingExtraError("the model registry", "registry") from exc
    # Each logs an error, MLflow with its traceback, before raising it; we say it once, in our words.
    for name in ("mlflow", "alembic", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return loaded


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


def made_or_there(make: Callable[[], object]) -> None:
    """Make something that has a name; another process may make it at the same moment."""
    from mlflow.exceptions import MlflowException

    try:
        make()
    except MlflowException as exc:
        if exc.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def find_experiment(client: Any, name: str) -> str | None:
    found = client.get_experiment_by_name(name)
    return None if found is None else str(found.experiment_id)


def the_experiment(client: Any, name: str, artifacts: str | None) -> str:
    """Give the id of an experiment, made when it is not there; `artifacts` None: the server knows where."""
    found = find_experiment(client, name)
    if found is None:
        made_or_there(lambda: client.create_experiment(name, artifact_location=artifacts))
        found = find_experiment(client, name)
    return str(found)


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
