"""Run in Airflow's environment: `dag.test()` for each run that stdin names, in one process; states on stdout.

In: [{"dag": ..., "conf": {...}}]. Out: a list of {"state": ..., "tasks": {id[index]: state}}.
"""

from __future__ import annotations

import json
import os
import sys

OUT = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # logs of tasks go to stderr


def main() -> None:
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(dag_folder=os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    assert not bag.import_errors, bag.import_errors
    results = []
    for wanted in json.load(sys.stdin):
        dag = bag.dags[wanted["dag"]]
        dag.deadline = None  # dag.test() of 3.3.2 falls over one at the end of a good run: apache/airflow#73428
        run = dag.test(run_conf=wanted["conf"], logical_date=None)
        tasks = {f"{one.task_id}[{one.map_index}]": str(one.state) for one in run.get_task_instances()}
        results.append({"state": str(run.state), "tasks": tasks})
    json.dump(results, OUT)
    OUT.flush()


if __name__ == "__main__":
    main()
