"""A real API server takes every object as it is: schema, defaults, admission, and each workload's template as a pod."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import yaml
from deploy_manifests import CLUSTER, OVERLAYS, built, kubectl, workloads

from servers import running

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give the administrator's kubeconfig of an empty cluster, in which our namespace is."""
    shared = os.environ.get("TICKLOOP_TEST_KUBECONFIG")
    if shared is not None:
        yield Path(shared)
        return
    with running("kubernetes", tmp_path_factory.mktemp("kubernetes") / "server") as server:
        config = server.folder / "kubeconfig"
        namespace = next(one for one in built("small") if one["kind"] == "Namespace")
        classes = [one for one in built("small") if one["kind"] == "PriorityClass"]
        accounts = [one for one in built("small") if one["kind"] == "ServiceAccount"]
        for first in (namespace, *classes, *accounts):
            done = apply(config, [first], dry=False)
            assert done.returncode == 0, done.stderr
        yield config


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_object_is_taken(cluster: Path, overlay: str) -> None:
    objects = list(built(overlay))

    done = apply(cluster, objects)

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("(server dry run)") == len(objects)
    assert "Warning" not in done.stderr, done.stderr


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_template_is_taken_as_a_pod_where_pod_security_speaks(cluster: Path, overlay: str) -> None:
    """The server checks a Deployment's template by its form only; a pod is refused, with reasons."""
    pods = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": one.name, "namespace": CLUSTER["namespace"], "labels": one.labels},
            "spec": {**one.spec, "restartPolicy": one.spec.get("restartPolicy", "Always")},
        }
        for one in workloads(overlay)
    ]

    done = apply(cluster, pods)

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("(server dry run)") == len(pods) > 15
    assert "Warning" not in done.stderr, done.stderr


def test_a_pod_with_more_rights_is_refused(cluster: Path) -> None:
    """The check above can fail."""
    pod = next(one for one in workloads("small") if one.kind == "Pod")
    spec = {**pod.spec, "securityContext": {**pod.spec["securityContext"], "runAsNonRoot": False, "runAsUser": 0}}
    metadata = {"name": "root", "namespace": CLUSTER["namespace"]}

    done = apply(cluster, [{"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}])

    assert done.returncode != 0
    assert 'violates PodSecurity "restricted' in done.stderr


def test_a_misspelt_field_is_refused(cluster: Path) -> None:
    metadata = {"name": "typo", "namespace": CLUSTER["namespace"]}

    done = apply(cluster, [{"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"selectors": {}}}])

    assert done.returncode != 0
    assert "selectors" in done.stderr


def test_the_scheduler_may_make_pods_here_and_nothing_else(cluster: Path) -> None:
    rights = [one for one in built("small") if one["kind"] in ("Role", "RoleBinding")]
    assert apply(cluster, rights, dry=False).returncode == 0

    assert may(cluster, "airflow-scheduler", "create", "pods")
    assert may(cluster, "airflow-scheduler", "delete", "pods")
    assert not may(cluster, "airflow-scheduler", "get", "secrets")
    assert not may(cluster, "airflow-scheduler", "create", "pods", namespace="default")
    assert not may(cluster, "plain", "get", "pods")


def apply(
    config: Path, objects: Sequence[Mapping[str, object]], *, dry: bool = True
) -> subprocess.CompletedProcess[str]:
    line = [kubectl(), "--kubeconfig", str(config), "apply", "--server-side", "--validate=strict", "-f", "-"]
    if dry:
        line.append("--dry-run=server")
    text = yaml.safe_dump_all(objects)
    return subprocess.run(line, input=text, capture_output=True, text=True, check=False)


def may(config: Path, account: str, verb: str, resource: str, namespace: str = CLUSTER["namespace"]) -> bool:
    user = f"system:serviceaccount:{CLUSTER['namespace']}:{account}"
    line = [kubectl(), "--kubeconfig", str(config), "auth", "can-i", verb, resource, "--as", user, "-n", namespace]
    return subprocess.run(line, capture_output=True, text=True, check=False).returncode == 0
