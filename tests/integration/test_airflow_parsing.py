"""Every DAG file is read as Airflow reads it: no network, no clock, no home."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "airflow"))

from environment import ROOT, airflow, interpreter, script, variables

from tickloop.domain.schedule import Cadence
from tickloop.services.chain import STEPS

pytestmark = pytest.mark.server


def parsed(airflow_home: Path, **settings: str) -> dict[str, Any]:
    """Read all DAGs in Airflow's environment, on a home that is not there."""
    python = interpreter()
    environment = {**variables(airflow_home, airflow_home / "no-home"), **settings}
    airflow(python, environment, "db", "migrate")
    found: dict[str, Any] = json.loads(script(python, environment, "parse_dags.py"))
    assert found["errors"] == {}
    return found


def test_every_dag_is_read_without_network_or_clock(tmp_path: Path) -> None:
    """And its tasks are the steps of the registry, in their cadence."""
    found = parsed(tmp_path)

    assert found["clock"] == []
    by_schedule = {"collect_hour", "history", "janitor", "repair", "report", "train_and_promote"}
    assert set(found["tasks"]) == by_schedule | {"sweep"}
    steps = {cadence: {f"chain.{step.name}" for step in STEPS if step.cadence is cadence} for cadence in Cadence}
    assert set(found["tasks"]["collect_hour"]) == {"markets", "slots", *steps[Cadence.HOUR]}
    assert set(found["tasks"]["sweep"]) == {"pin_search", "sweep_unit_list", "sweep_unit", "sweep_summary"}
    assert set(found["tasks"]["train_and_promote"]) == {"markets", "fit_unit_list", "fit", *steps[Cadence.SLOT]}
    assert not (tmp_path / "no-home").exists()


def test_training_goes_to_the_executor_of_the_settings(tmp_path: Path) -> None:
    """With its pod template, and nothing else does."""
    found = parsed(
        tmp_path,
        AIRFLOW__CORE__EXECUTOR="LocalExecutor,KubernetesExecutor",
        TICKLOOP_AIRFLOW__TRAIN_EXECUTOR="KubernetesExecutor",
        TICKLOOP_AIRFLOW__TRAIN_POD_TEMPLATE="/opt/tickloop/train-pod.yaml",
    )

    tasks = {f"{dag}.{task}": value for dag, own in found["tasks"].items() for task, value in own.items()}
    pods = {name: config for name, (executor, config) in tasks.items() if executor == "KubernetesExecutor"}
    template = {"pod_template_file": "/opt/tickloop/train-pod.yaml"}
    heavy = ("train_and_promote.fit", "train_and_promote.chain.train", "repair.slot", "sweep.sweep_unit")
    assert pods == dict.fromkeys(heavy, template)


def test_kubernetes_executor_makes_a_restricted_pod_of_one_gigabyte_for_a_unit_of_training(tmp_path: Path) -> None:
    """Airflow's own code reads our template: its container, limits and mounts stay, task and image are put in."""
    template = ROOT / "deploy" / "airflow" / "train-pod.yaml"
    task = {"dag_id": "train_and_promote", "task_id": "fit", "map_index": 3}
    environment = variables(tmp_path, tmp_path) | {
        "AIRFLOW__KUBERNETES_EXECUTOR__NAMESPACE": "tickloop",
        "AIRFLOW__KUBERNETES_EXECUTOR__WORKER_CONTAINER_REPOSITORY": "tickloop/airflow",
        "AIRFLOW__KUBERNETES_EXECUTOR__WORKER_CONTAINER_TAG": "abc1234",
    }

    given = json.dumps(task | {"executor_config": {"pod_template_file": str(template)}})
    pod = json.loads(script(interpreter(), environment, "training_pod.py", given).splitlines()[-1])

    [container] = pod["spec"]["containers"]
    assert pod["metadata"]["namespace"] == "tickloop"
    assert (
        pod["metadata"]["labels"].items() >= {"dag_id": "train_and_promote", "task_id": "fit", "map_index": "3"}.items()
    )
    assert (container["name"], container["image"]) == ("base", "tickloop/airflow:abc1234")
    assert container["args"][:3] == ["airflow", "tasks", "run"]
    assert container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"] == "1Gi"
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    assert {mount["mountPath"] for mount in container["volumeMounts"]} >= {"/var/log/airflow", "/tmp"}


def test_settings_of_the_cluster_are_settings_of_this_airflow(tmp_path: Path) -> None:
    """A name that it does not know would be ignored in silence."""
    lines = (ROOT / "deploy" / "airflow" / "airflow.env").read_text(encoding="utf-8").splitlines()
    names = [line.split("=", 1)[0] for line in lines if line.startswith("AIRFLOW__")]

    unknown = script(interpreter(), variables(tmp_path, tmp_path), "known_settings.py", "\n".join(names))

    assert len(names) > 10
    assert unknown.split() == []
