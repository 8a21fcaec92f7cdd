"""What all DAGs share: retries, time-outs, deadlines, assets, and which executor trains."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Asset, DeadlineAlert, DeadlineReference, SyncCallback

from tickloop.entrypoints.dags import bodies
from tickloop.settings import load_settings

SLOT = Asset("tickloop_slot")
"""A slot whose last hour is through the features; its partitions are slots."""

START = datetime(2024, 1, 1, tzinfo=UTC)
"""Nothing before it can be back-filled by Airflow."""

RETRIES: dict[str, Any] = {
    "retries": 6,
    "retry_delay": timedelta(seconds=20),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=10),
}
"""20 s, doubled up to 10 minutes: about 20 minutes in all, longer than a server needs to come back."""

HOUR_STEP_TIMEOUT = timedelta(minutes=20)
TRAIN_TIMEOUT = timedelta(hours=2)


def arguments(timeout: timedelta) -> dict[str, Any]:
    """Give the default arguments of the tasks of a DAG."""
    return {**RETRIES, "execution_timeout": timeout}


def deadline(interval: timedelta) -> DeadlineAlert:
    """Tell the operator when a run is not through so long after it was queued."""
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=interval,
        callback=SyncCallback(bodies.deadline_missed),
    )


def training() -> dict[str, Any]:
    """Give the arguments of tasks that train: the executor of the settings, and its pod."""
    airflow = load_settings().airflow
    found: dict[str, Any] = {"execution_timeout": TRAIN_TIMEOUT}
    if airflow.train_executor is not None:
        found["executor"] = airflow.train_executor
    if airflow.train_pod_template is not None:
        found["executor_config"] = {"pod_template_file": str(airflow.train_pod_template)}
    return found
