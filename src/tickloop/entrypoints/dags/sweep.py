"""A search of a strategy's settings, as a person triggers it: one task per unit, then what the best is worth."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, TriggerRule, task

from tickloop.entrypoints.dags import bodies
from tickloop.entrypoints.dags.common import START, TRAIN_TIMEOUT, arguments, deadline, training

with DAG(
    "sweep",
    description=__doc__,
    schedule=None,
    start_date=START,
    catchup=False,
    default_args=arguments(TRAIN_TIMEOUT),
    deadline=deadline(timedelta(hours=24)),
    tags=["tickloop"],
):
    search = task(bodies.pin_search)()
    units = task(bodies.sweep_unit_list)(search)
    runs = task(task_id="sweep_unit", **training())(bodies.sweep_unit).expand(unit=units)
    # Where every unit was run before, the mapped task is skipped: there is a summary all the same.
    runs >> task(trigger_rule=TriggerRule.NONE_FAILED)(bodies.sweep_summary)(search)
