"""Journal segments and raw days that stand elsewhere and are old enough to go, once a day."""

from __future__ import annotations

from airflow.sdk import DAG, CronTriggerTimetable, task

from tickloop.entrypoints.dags import bodies
from tickloop.entrypoints.dags.common import START, TRAIN_TIMEOUT, arguments

with DAG(
    "janitor",
    description=__doc__,
    schedule=CronTriggerTimetable("35 3 * * *", timezone="UTC"),
    start_date=START,
    catchup=False,
    max_active_runs=1,
    default_args=arguments(TRAIN_TIMEOUT),
    tags=["tickloop"],
):
    task(bodies.clean)()
