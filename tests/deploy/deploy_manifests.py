"""The manifests as the cluster gets them: built by kustomize, read as plain values."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
SCRIPT = ROOT / "scripts" / "servers" / "kubernetes.sh"
OVERLAYS = ("small", "ha")

CLUSTER: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "cluster.yaml").read_text())

Object = dict[str, Any]

# Where a pod's template stands in each kind.
_TEMPLATES = {
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}


def kubectl() -> str:
    """Give the path of kubectl, the one beside the API server first; without one skip, or fail where it is required."""
    folder = subprocess.run(["sh", str(SCRIPT), "path"], capture_output=True, text=True, check=True).stdout.strip()
    found = shutil.which("kubectl", path=folder) or shutil.which("kubectl")
    if found is not None:
        return found
    reason = "kubectl is not installed: sh scripts/servers/kubernetes.sh install"
    if os.environ.get("TICKLOOP_TEST_REQUIRE_SERVERS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@cache
def built(overlay: str) -> tuple[Object, ...]:
    """Build an overlay without a cluster."""
    line = [kubectl(), "kustomize", str(KUBERNETES / "overlays" / overlay)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def of_kind(overlay: str, *kinds: str) -> list[Object]:
    return [one for one in built(overlay) if one["kind"] in kinds]


def named(overlay: str, kind: str, name: str) -> Object:
    """Give one object; a generated ConfigMap by its name without the hash."""
    (found,) = (one for one in of_kind(overlay, kind) if _plain(one["metadata"]["name"]) == name)
    return found


def _plain(name: str) -> str:
    head, _, tail = name.rpartition("-")
    return head if head and len(tail) == 10 and tail.isalnum() and any(map(str.isdigit, tail)) else name


@dataclass(frozen=True)
class Workload:
    """A workload, or the pod of a training task, and the pods that it makes."""

    kind: str
    name: str
    replicas: int
    template: Object

    @property
    def spec(self) -> Object:
        found: Object = self.template["spec"]
        return found

    @property
    def labels(self) -> dict[str, str]:
        found: dict[str, str] = self.template["metadata"]["labels"]
        return found

    @property
    def component(self) -> str:
        return self.labels["app.kubernetes.io/component"]

    @property
    def containers(self) -> list[Object]:
        return [*self.spec.get("initContainers", ()), *self.spec["containers"]]

    @property
    def main(self) -> Object:
        """Give its own container: that of its name, or the first."""
        containers: list[Object] = self.spec["containers"]
        return next((one for one in containers if one["name"] == self.name), containers[0])


def workloads(overlay: str) -> list[Workload]:
    found = []
    for one in of_kind(overlay, *_TEMPLATES):
        template = one
        for key in _TEMPLATES[one["kind"]]:
            template = template[key]
        found.append(Workload(one["kind"], one["metadata"]["name"], one["spec"].get("replicas", 1), template))
    pod = yaml.safe_load((ROOT / "deploy" / "airflow" / "train-pod.yaml").read_text())
    # Airflow puts in the tag: settings of start.sh name it.
    pod["spec"]["containers"][0]["image"] += ":revision"
    return [*found, Workload("Pod", "train", 1, {"metadata": pod["metadata"], "spec": pod["spec"]})]


def containers(overlay: str) -> Iterator[tuple[Workload, Object]]:
    for workload in workloads(overlay):
        for container in workload.containers:
            yield workload, container


def key_references(workload: Workload) -> Iterator[tuple[str, str, str | None]]:
    """Yield what a pod reads: kind, name, and the key, or None for all keys."""
    for container in workload.containers:
        for source in container.get("envFrom", ()):
            yield from _read(source, {"configMapRef": "ConfigMap", "secretRef": "Secret"})
        for variable in container.get("env", ()):
            yield from _read(variable.get("valueFrom", {}), {"configMapKeyRef": "ConfigMap", "secretKeyRef": "Secret"})
    for volume in workload.spec.get("volumes", ()):
        yield from _read(volume, {"configMap": "ConfigMap", "secret": "Secret"})


def _read(source: Object, kinds: dict[str, str]) -> Iterator[tuple[str, str, str | None]]:
    for field, kind in kinds.items():
        if field not in source:
            continue
        one = source[field]
        name = one.get("name") or one["secretName"]  # a volume names a Secret by a field of its own
        keys = [item["key"] for item in one.get("items", ())] or [one.get("key")]
        yield from ((kind, name, key) for key in keys)


def known_secrets() -> dict[str, set[str]]:
    """Give the keys of each Secret that start.sh makes, as secrets.txt lists them."""
    found: dict[str, set[str]] = {}
    for line in (KUBERNETES / "secrets.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, key, *_ = line.split()
            found.setdefault(name, set()).add(key)
    return found


def mebibytes(quantity: str) -> int:
    """Read a quantity of memory in the two forms that are used here."""
    number, unit = int(quantity[:-2]), quantity[-2:]
    return number * {"Mi": 1, "Gi": 1024}[unit]


def millicores(quantity: str) -> int:
    return int(quantity[:-1]) if quantity.endswith("m") else int(quantity) * 1000
