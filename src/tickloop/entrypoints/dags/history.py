"""Bars of the days before the first start, once: without them there is nothing to train on for two weeks."""

from __future__ import annotations

from airflow.sdk import DAG, task

from tickloop.entrypoints.dags import bodies
from tickloop.entrypoints.dags.common import START, TRAIN_TIMEOUT, arguments

with DAG(
    "history",
    description=__doc__,
    schedule="@once",
    start_date=START,
    catchup=False,
    max_active_runs=1,
    default_args=arguments(TRAIN_TIMEOUT),
    tags=["tickloop"],
):
    task(bodies.fill_history)()
