"""Each slot whose last hour is through the features: candidates of all families, back-tests, and the champion."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, PartitionedAssetTimetable, TriggerRule, task, task_group

from tickloop.domain.schedule import Cadence
from tickloop.entrypoints.dags import bodies
from tickloop.entrypoints.dags.common import HOUR_STEP_TIMEOUT, SLOT, START, arguments, deadline, training
from tickloop.services.chain import STEPS

with DAG(
    "train_and_promote",
    description=__doc__,
    schedule=PartitionedAssetTimetable(assets=SLOT),
    start_date=START,
    catchup=False,
    max_active_runs=1,  # a slot's challengers meet the champion that the slot before it left
    default_args=arguments(HOUR_STEP_TIMEOUT),
    deadline=deadline(timedelta(hours=5)),
    tags=["tickloop"],
):

    def chain(market: Any) -> None:
        """The slot steps of one market; `train` finds what the mapped fits have registered and fits the rest."""
        before = None
        for step in STEPS:
            if step.cadence is Cadence.SLOT:
                # A fit that failed is that market's and family's alone: `train` meets it again and says so.
                rule = TriggerRule.ALL_DONE if before is None else TriggerRule.NONE_FAILED
                settings = training() if step.name == "train" else {}
                run = task(task_id=step.name, trigger_rule=rule, **settings)(bodies.run_step_of_chain)
                after = run(step=step.name, market=market)
                if before is not None:
                    before >> after
                before = after

    units = task(bodies.fit_unit_list)()
    fits = task(task_id="fit", **training())(bodies.fit).expand(unit=units)
    fits >> task_group(group_id="chain")(chain).expand(market=task(bodies.markets)())
