"""Windows that are due again or were missed: marked ones, failures, hours for which trades came later."""

from __future__ import annotations

from airflow.sdk import DAG, CronTriggerTimetable, TriggerRule, task

from tickloop.domain.schedule import Cadence
from tickloop.entrypoints.dags import bodies
from tickloop.entrypoints.dags.common import START, TRAIN_TIMEOUT, arguments, training

with DAG(
    "repair",
    description=__doc__,
    # Away from the full hour, at which collect_hour has the newest one.
    schedule=CronTriggerTimetable("20,50 * * * *", timezone="UTC"),
    start_date=START,
    catchup=False,
    max_active_runs=1,
    default_args=arguments(TRAIN_TIMEOUT),
    tags=["tickloop"],
):
    markets = task(bodies.markets)()
    before = None
    for cadence in Cadence:
        settings = training() if cadence is Cadence.SLOT else {}
        run = task(task_id=cadence.value, trigger_rule=TriggerRule.ALL_DONE, retries=0, **settings)(
            bodies.catch_up_market
        )
        after = run.partial(cadence=cadence.value).expand(market=markets)
        if before is not None:
            before >> after
        before = after
