"""Each closed hour of each market through the hour steps, [now - 2 h, now - 1 h) at every full hour."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, CronPartitionTimetable, TriggerRule, task, task_group

from tickloop.domain.schedule import Cadence
from tickloop.entrypoints.dags import bodies
from tickloop.entrypoints.dags.common import HOUR_STEP_TIMEOUT, SLOT, START, arguments, deadline
from tickloop.services.chain import STEPS


def _announce(*, outlet_events: Any) -> list[str]:
    slots = bodies.closed_slots()
    outlet_events[SLOT].add_partitions(slots)
    return slots


with DAG(
    "collect_hour",
    description=__doc__,
    schedule=CronPartitionTimetable("0 * * * *", timezone="UTC", run_offset=-2, key_format="%Y-%m-%dT%H"),
    start_date=START,
    catchup=False,
    max_active_runs=1,  # features look back into the hour before: hours go in order
    default_args=arguments(HOUR_STEP_TIMEOUT),
    deadline=deadline(timedelta(minutes=45)),
    tags=["tickloop"],
):

    def chain(market: Any) -> None:
        """The hour steps of one market, each after the one before, also where that had nothing to do."""
        before = None
        for step in STEPS:
            if step.cadence is Cadence.HOUR:
                run = task(task_id=step.name, trigger_rule=TriggerRule.NONE_FAILED)(bodies.run_step_of_chain)
                after = run(step=step.name, market=market)
                if before is not None:
                    before >> after
                before = after

    announce = task(task_id="slots", outlets=[SLOT], trigger_rule=TriggerRule.ALL_DONE)(_announce)
    task_group(group_id="chain")(chain).expand(market=task(bodies.markets)()) >> announce()
