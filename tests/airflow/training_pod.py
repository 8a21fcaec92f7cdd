"""Run in Airflow's environment: print the pod that the KubernetesExecutor asks for, given the arguments of a task.

Nothing is sent: the executor's own code builds the request from template, settings and task.
"""

from __future__ import annotations

import json
import logging
import sys
from types import SimpleNamespace

from airflow.models.taskinstancekey import TaskInstanceKey
from airflow.providers.cncf.kubernetes.executors.kubernetes_executor_types import KubernetesJob
from airflow.providers.cncf.kubernetes.executors.kubernetes_executor_utils import AirflowKubernetesScheduler
from airflow.providers.cncf.kubernetes.kube_config import KubeConfig
from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator
from kubernetes import client


def main() -> None:
    given = json.loads(sys.stdin.read())
    key = TaskInstanceKey(given["dag_id"], given["task_id"], "manual", 1, given["map_index"])
    command = ["airflow", "tasks", "run", given["dag_id"], given["task_id"]]
    override = PodGenerator.from_obj(given["executor_config"])
    job = KubernetesJob(key, command, override, given["executor_config"]["pod_template_file"], None)
    config = KubeConfig()
    executor = SimpleNamespace(
        kube_config=config,
        namespace=config.kube_namespace,
        scheduler_job_id="1",
        supports_task_instance_uuid=False,
        log=logging.getLogger(__name__),
    )
    pod = AirflowKubernetesScheduler._build_pod_request(executor, job)
    sys.stdout.write(json.dumps(client.ApiClient().sanitize_for_serialization(pod)) + "\n")


if __name__ == "__main__":
    main()
