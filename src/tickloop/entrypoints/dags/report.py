"""The day that is over, market by market: completeness, failures, champion, and what it would have brought."""

from __future__ import annotations

from airflow.sdk import DAG, CronPartitionTimetable, task

from tickloop.entrypoints.dags import bodies
from tickloop.entrypoints.dags.common import HOUR_STEP_TIMEOUT, START, arguments

with DAG(
    "report",
    description=__doc__,
    # At 03:05 the last hour of the day before is through the chain; -1 is the day that is over.
    schedule=CronPartitionTimetable("5 3 * * *", timezone="UTC", run_offset=-1, key_format="%Y-%m-%dT00..T24"),
    start_date=START,
    catchup=False,
    max_active_runs=1,
    default_args=arguments(HOUR_STEP_TIMEOUT),
    tags=["tickloop"],
):
    task(bodies.report).expand(market=task(bodies.markets)())
