"""Run in Airflow's environment: read every DAG file as Airflow does, without network, and see who asks for the time.

Prints JSON: {"errors": {file: why}, "clock": [places in our files that read a clock],
"tasks": {dag: {task: [executor, its configuration]}}}.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from types import FrameType
from typing import Any

OUT = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

CLOCKS = {"now", "utcnow", "today", "time", "time_ns", "monotonic", "monotonic_ns", "gmtime", "localtime"}
OURS = os.path.join("src", "tickloop") + os.sep  # noqa: PTH118


def refuse(*_args: object, **_kwargs: object) -> None:
    raise AssertionError("a DAG file used the network")


def main() -> None:
    from airflow.dag_processing.dagbag import DagBag

    socket.socket.connect = refuse  # type: ignore[method-assign, assignment]
    socket.getaddrinfo = refuse  # type: ignore[assignment]
    found: list[str] = []

    def watch(frame: FrameType, event: str, called: Any) -> None:
        if event == "c_call" and OURS in frame.f_code.co_filename and getattr(called, "__name__", "") in CLOCKS:
            found.append(f"{frame.f_code.co_filename}:{frame.f_lineno} {called.__name__}")

    sys.setprofile(watch)
    bag = DagBag(dag_folder=os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    sys.setprofile(None)
    tasks = {
        name: {task.task_id: [task.executor, task.executor_config] for task in dag.tasks}
        for name, dag in bag.dags.items()
    }
    json.dump({"errors": dict(bag.import_errors), "clock": found, "tasks": tasks}, OUT)
    OUT.flush()


if __name__ == "__main__":
    main()
