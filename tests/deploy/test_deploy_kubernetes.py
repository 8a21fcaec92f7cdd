"""Our policy for the manifests: what no schema asks for, and what would show only when a pod has failed to start."""

from __future__ import annotations

import json
import re
import subprocess
from ipaddress import IPv4Network
from typing import Any

import pytest
import yaml
from deploy_manifests import (
    CLUSTER,
    KUBERNETES,
    OVERLAYS,
    ROOT,
    Workload,
    built,
    containers,
    key_references,
    known_secrets,
    mebibytes,
    named,
    of_kind,
    workloads,
)

from tickloop.settings import Settings

pytestmark = pytest.mark.parametrize("overlay", OVERLAYS)

_OURS = ("tickloop/app", "tickloop/airflow", "tickloop/mlflow", "tickloop/fluentd")

# Who may talk to the API server of Kubernetes, and who is given the exchange's keys.
_WITH_TOKEN = {"airflow-scheduler"}
_WITH_EXCHANGE_KEYS = {"bot"}


def test_everything_lies_in_the_namespace_which_is_restricted(overlay: str) -> None:
    namespace = named(overlay, "Namespace", CLUSTER["namespace"])
    cluster_wide = {"Namespace", "PersistentVolume", "PriorityClass", "StorageClass"}

    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for one in built(overlay):
        expected = None if one["kind"] in cluster_wide else CLUSTER["namespace"]
        assert one["metadata"].get("namespace") == expected, one["metadata"]["name"]


def test_no_pod_asks_for_more_than_restricted_allows(overlay: str) -> None:
    """The API server says so too; here each thing has a name when it is missing."""
    for workload in workloads(overlay):
        pod = workload.spec["securityContext"]
        assert pod["runAsNonRoot"] is True
        assert pod["runAsUser"] > 0
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & workload.spec.keys()
        assert not [one for one in workload.spec.get("volumes", ()) if "hostPath" in one]
        for container in workload.containers:
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False, workload.name
            assert own["readOnlyRootFilesystem"] is True, workload.name
            assert own["capabilities"] == {"drop": ["ALL"]}, workload.name


def test_images_of_ours_run_as_the_user_of_the_images(overlay: str) -> None:
    for workload, container in containers(overlay):
        if container["image"].split(":")[0] in _OURS:
            context = workload.spec["securityContext"]
            assert (context["runAsUser"], context["runAsGroup"]) == (CLUSTER["run_uid"], CLUSTER["run_gid"])
            assert "command" not in container, "it would go round the image's init"


def test_volumes_of_nfs_are_never_given_to_a_group(overlay: str) -> None:
    """The kubelet would change the owner of every file, which the server refuses it."""
    claims = {one["metadata"]["name"]: one["spec"]["storageClassName"] for one in _claims(overlay)}
    for workload in workloads(overlay):
        used = {one["persistentVolumeClaim"]["claimName"] for one in _volumes(workload, "persistentVolumeClaim")}
        if "nfs" in {claims[name] for name in used}:
            assert "fsGroup" not in workload.spec["securityContext"], workload.name


def test_images_of_others_have_a_version_and_ours_wait_for_the_revision(overlay: str) -> None:
    for workload, container in containers(overlay):
        name, _, tag = container["image"].partition(":")
        assert container["imagePullPolicy"] == "IfNotPresent"
        if name in _OURS:
            assert tag in ("", "revision"), "start.sh puts in the tag"
        else:
            assert re.search(r"\d+\.\d+", tag), f"{workload.name}: {container['image']}"


def test_every_container_has_requests_and_limits(overlay: str) -> None:
    for workload, container in containers(overlay):
        for kind in ("requests", "limits"):
            assert container["resources"][kind].keys() == {"cpu", "memory"}, workload.name


def test_only_the_scheduler_has_a_token_and_it_may_make_pods_alone(overlay: str) -> None:
    with_token = {one.name for one in workloads(overlay) if one.spec["automountServiceAccountToken"]}
    rules = named(overlay, "Role", "airflow-scheduler")["rules"]

    assert with_token == _WITH_TOKEN
    assert not of_kind(overlay, "ClusterRole", "ClusterRoleBinding")
    assert {resource for rule in rules for resource in rule["resources"]} == {"pods", "pods/log", "events"}


def test_services_are_not_told_to_pods_by_environment(overlay: str) -> None:
    """A service `mlflow` would set MLFLOW_PORT=tcp://..., which MLflow takes for its port."""
    for workload in workloads(overlay):
        assert workload.spec["enableServiceLinks"] is False, workload.name


def test_exchange_keys_are_given_to_the_bot_alone(overlay: str) -> None:
    readers = {
        one.name
        for one in workloads(overlay)
        for kind, name, _ in key_references(one)
        if (kind, name) == ("Secret", "exchange-keys")
    }

    assert readers == _WITH_EXCHANGE_KEYS


def test_collector_and_bot_are_last_to_be_evicted_and_batches_first(overlay: str) -> None:
    values = {one["metadata"]["name"]: one["value"] for one in of_kind(overlay, "PriorityClass")}
    by_name = {one.name: values[one.spec["priorityClassName"]] for one in _long_running(overlay)}
    train = values[next(one for one in workloads(overlay) if one.kind == "Pod").spec["priorityClassName"]]

    highest = max(by_name.values())
    assert {name for name, value in by_name.items() if value == highest} == {"collector", "bot"}
    assert train < min(by_name.values())


def test_bot_and_collector_are_never_two(overlay: str) -> None:
    for name in ("bot", "collector"):
        spec = named(overlay, "Deployment", name)["spec"]
        assert spec["replicas"] <= 1
        assert spec["strategy"] == {"type": "Recreate"}


def test_every_long_running_container_has_probes_and_all_but_shippers_say_when_they_are_ready(overlay: str) -> None:
    for workload in _long_running(overlay):
        for container in workload.spec["containers"]:
            assert "livenessProbe" in container, f"{workload.name}/{container['name']}"
            if container["name"] not in ("fluentd", "airflow-dag-processor"):  # nobody asks them for anything
                assert {"startupProbe", "readinessProbe"} <= container.keys(), f"{workload.name}/{container['name']}"


def test_an_api_with_stale_data_gets_no_requests(overlay: str) -> None:
    api = named(overlay, "Deployment", "api")["spec"]["template"]["spec"]["containers"][0]

    assert api["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert api["livenessProbe"]["httpGet"]["path"] == "/healthz"  # a restart makes no data fresh


def test_every_key_that_a_pod_reads_exists(overlay: str) -> None:
    maps = {one["metadata"]["name"]: set(one["data"]) for one in of_kind(overlay, "ConfigMap")}
    secrets = known_secrets()
    for workload in workloads(overlay):
        for kind, name, key in key_references(workload):
            keys = (maps if kind == "ConfigMap" else secrets).get(name)
            assert keys is not None, f"{workload.name} reads {kind} {name}, which nobody makes"
            assert key is None or key in keys, f"{workload.name} reads {key} of {kind} {name}"


def test_every_secret_that_is_made_is_read(overlay: str) -> None:
    read: dict[str, set[str | None]] = {}
    for workload in workloads(overlay):
        for kind, name, key in key_references(workload):
            if kind == "Secret":
                read.setdefault(name, set()).add(key)

    for name, keys in known_secrets().items():
        assert name in read, name
        assert None in read[name] or keys <= read[name], name


def test_no_secret_stands_in_the_manifests(overlay: str) -> None:
    assert not of_kind(overlay, "Secret")
    for workload, container in containers(overlay):
        for variable in container.get("env", ()):
            is_secret = variable["name"].endswith(("PASSWORD", "TOKEN", "SECRET_KEY", "ACCESS_KEY"))
            assert not (is_secret and "value" in variable), f"{workload.name}: {variable['name']}"


def test_every_variable_of_ours_is_a_known_setting(overlay: str) -> None:
    for workload, container in containers(overlay):
        for name in _variables(overlay, container):
            if name.startswith("TICKLOOP_") and not name.endswith(("_ACCESS_KEY", "_SECRET_KEY")):
                assert _is_setting(name), f"{workload.name}: {name}"


def test_settings_of_the_map_are_taken_by_the_program(overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in named(overlay, "ConfigMap", "tickloop-env")["data"].items():
        monkeypatch.setenv(name, value)

    settings = Settings()

    assert settings.profile == "cluster"
    assert settings.postgres.sslmode == "verify-full"
    assert settings.markets == ("KRW-BTC", "KRW-ETH")


def test_every_mount_has_its_volume_and_every_volume_is_mounted(overlay: str) -> None:
    for workload in workloads(overlay):
        volumes = {one["name"] for one in workload.spec.get("volumes", ())}
        mounts = {mount["name"] for one in workload.containers for mount in one.get("volumeMounts", ())}
        assert volumes == mounts, workload.name


def test_every_file_that_a_container_is_told_of_is_mounted(overlay: str) -> None:
    """A file that a setting names lies below one of its mounts, or in the image."""
    for workload, container in containers(overlay):
        mounts = [mount["mountPath"] for mount in container.get("volumeMounts", ())]
        for name, value in _variables(overlay, container).items():
            if value is not None and name.endswith(("CA_FILE", "SSLROOTCERT", "PASSWORDS_FILE", "LOG_FOLDER")):
                is_used = name != "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE" or "api-server" in workload.name
                is_there = any(value.startswith(mount) for mount in mounts) or "fluentd-config" in str(container)
                assert is_there or not is_used, f"{workload.name}: {name}={value}"


def test_every_claim_is_made_has_its_volume_and_is_used(overlay: str) -> None:
    volumes = {one["metadata"]["name"]: one["spec"] for one in of_kind(overlay, "PersistentVolume")}
    claims = {one["metadata"]["name"]: one["spec"] for one in _claims(overlay)}
    used = {
        one["persistentVolumeClaim"]["claimName"]
        for workload in workloads(overlay)
        for one in _volumes(workload, "persistentVolumeClaim")
    }

    assert used == set(claims)
    for name, claim in claims.items():
        volume = volumes[claim["volumeName"]]
        assert volume["claimRef"]["name"] == name
        assert volume["claimRef"]["namespace"] == CLUSTER["namespace"]
        assert volume["storageClassName"] == claim["storageClassName"]
        assert volume["accessModes"] == claim["accessModes"]
        assert volume["persistentVolumeReclaimPolicy"] == "Retain"


def test_every_volume_is_a_folder_that_the_nodes_are_given(overlay: str) -> None:
    folders = {f"{CLUSTER['nfs_root']}/{name}" for name in CLUSTER["nfs_exports"]}
    found = []
    for volume in of_kind(overlay, "PersistentVolume"):
        spec = volume["spec"]
        found.append(spec["local"]["path"] if "local" in spec else spec["csi"]["volumeAttributes"]["share"])

    assert set(found) == folders
    assert len(found) == len(folders)


def test_every_service_has_endpoints_by_labels_and_port(overlay: str) -> None:
    for service in of_kind(overlay, "Service"):
        pods = [one for one in workloads(overlay) if service["spec"]["selector"].items() <= one.labels.items()]
        assert len(pods) == 1, service["metadata"]["name"]
        ports = {port["name"]: port["containerPort"] for one in pods[0].containers for port in one.get("ports", ())}
        for port in service["spec"]["ports"]:
            assert ports[port["targetPort"]] == port["port"], service["metadata"]["name"]


def test_every_address_that_a_pod_is_told_of_is_a_service_that_lets_it_in(overlay: str) -> None:
    services = {
        one["metadata"]["name"]: (
            one["spec"]["selector"]["app.kubernetes.io/component"],
            one["spec"]["ports"][0]["port"],
        )
        for one in of_kind(overlay, "Service")
    }
    checked = set()
    for workload, container in containers(overlay):
        for value in (*_variables(overlay, container).values(), *map(str, container.get("args", ()))):
            for host, port in re.findall(r"https?://([a-z0-9-]+):(\d+)", value or ""):
                component, its_port = services[host]
                assert int(port) == its_port, f"{workload.name}: {value}"
                if _uses(workload, component):
                    assert _may_reach(overlay, workload.component, component, its_port), f"{workload.name} to {host}"
                    checked.add((workload.component, component))

    assert len(checked) > 10


def test_nothing_may_come_in_or_go_out_but_what_is_named(overlay: str) -> None:
    policies = of_kind(overlay, "NetworkPolicy")
    denial = named(overlay, "NetworkPolicy", "nothing")["spec"]

    assert denial == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for policy in policies:
        for rule in (*policy["spec"].get("ingress", ()), *policy["spec"].get("egress", ())):
            assert rule.get("from") or rule.get("to"), policy["metadata"]["name"]
            assert rule["ports"], policy["metadata"]["name"]


def test_every_path_is_open_at_both_ends(overlay: str) -> None:
    components = {one.component for one in workloads(overlay)} | {"airflow-triggerer"}
    open_in, open_out = _edges(overlay, "ingress", "from"), _edges(overlay, "egress", "to")

    assert open_in == open_out
    assert {name for source, target, _ in open_in for name in (source, target)} <= components


def test_the_internet_is_open_to_those_who_ask_the_exchange_and_no_private_network_is_in_it(overlay: str) -> None:
    spec = named(overlay, "NetworkPolicy", "exchange")["spec"]
    block = spec["egress"][0]["to"][0]["ipBlock"]
    private = [IPv4Network(one) for one in block["except"]]

    assert spec["podSelector"]["matchExpressions"][0]["values"] == ["collector", "api", "bot", "airflow-scheduler"]
    for cidr in ("node_cidr", "pod_cidr", "service_cidr"):
        assert any(IPv4Network(CLUSTER[cidr]).subnet_of(one) for one in private), cidr


def test_the_scheduler_reaches_the_api_server_where_the_nodes_are(overlay: str) -> None:
    rule = named(overlay, "NetworkPolicy", "kubernetes-api")["spec"]["egress"][0]

    assert rule == {"to": [{"ipBlock": {"cidr": CLUSTER["node_cidr"]}}], "ports": [{"protocol": "TCP", "port": 6443}]}


def test_pods_of_training_ask_for_nothing_that_lies_elsewhere(overlay: str) -> None:
    train = next(one for one in workloads(overlay) if one.kind == "Pod")
    accounts = {one["metadata"]["name"] for one in of_kind(overlay, "ServiceAccount")}
    classes = {one["metadata"]["name"] for one in of_kind(overlay, "PriorityClass")}

    assert train.spec["serviceAccountName"] in accounts
    assert train.spec["priorityClassName"] in classes
    for kind, name, _ in key_references(train):
        if kind == "ConfigMap":
            assert name in {one["metadata"]["name"] for one in of_kind(overlay, "ConfigMap")}


def test_airflow_takes_no_more_tasks_at_a_time_than_its_memory_holds(overlay: str) -> None:
    """Half a gigabyte and 0.3 GB a task, as deploy/airflow/airflow.env says."""
    scheduler = next(one for one in workloads(overlay) if one.name == "airflow-scheduler")
    variables = _variables(overlay, scheduler.main)
    parallelism = int(variables["AIRFLOW__CORE__PARALLELISM"] or 0)

    assert mebibytes(scheduler.main["resources"]["limits"]["memory"]) >= 512 + 300 * parallelism


def test_restart_of_a_changed_setting_is_by_its_name(overlay: str) -> None:
    """Every ConfigMap has a hash in its name but the two that the pod template names."""
    fixed = {"airflow-env", "tickloop-env"}
    for one in of_kind(overlay, "ConfigMap"):
        name = one["metadata"]["name"]
        assert (name in fixed) != bool(re.search(r"-[a-z0-9]{10}$", name)), name


def test_secrets_list_is_what_start_sh_makes(overlay: str) -> None:
    text = (ROOT / "deploy" / "scripts" / "lib" / "secrets.sh").read_text()
    for secret, keys in known_secrets().items():
        for key in keys:
            is_named = re.search(rf"put {re.escape(secret)} {re.escape(key)}\b", text)
            is_certificate = secret.endswith("-tls") and re.search(rf'put "\$name-tls" {re.escape(key)}\b', text)
            assert is_named or is_certificate, f"start.sh does not make {key} of {secret}"


def test_scripts_in_the_manifests_are_valid_shell(overlay: str) -> None:
    for script in (*KUBERNETES.rglob("*.sh"),):
        shell = script.read_text().splitlines()[0].replace(" ", "/").rsplit("/", 1)[-1]
        done = subprocess.run([shell, "-n", str(script)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_figures_that_grafana_and_alerts_ask_for_are_figures_of_the_api(overlay: str) -> None:
    source = (ROOT / "src" / "tickloop" / "entrypoints" / "api" / "metrics.py").read_text()
    known = set(re.findall(r'"(tickloop_[a-z_]+)"', source))
    texts = [(ROOT / "deploy" / "grafana" / "tickloop.json").read_text()]
    texts += [str(yaml.safe_load((ROOT / "deploy" / "prometheus" / "rules.yml").read_text()))]
    asked = {name for text in texts for name in re.findall(r"tickloop_[a-z_]+", text)}

    assert asked
    for name in asked:
        assert re.sub(r"_(total|bucket|count|sum)$", "", name) in known, name
    json.loads(texts[0])


def _claims(overlay: str) -> list[dict[str, Any]]:
    return of_kind(overlay, "PersistentVolumeClaim")


def _volumes(workload: Workload, kind: str) -> list[dict[str, Any]]:
    return [one for one in workload.spec.get("volumes", ()) if kind in one]


def _long_running(overlay: str) -> list[Workload]:
    return [one for one in workloads(overlay) if one.kind in ("Deployment", "StatefulSet")]


def _variables(overlay: str, container: dict[str, Any]) -> dict[str, str | None]:
    """Give the environment of a container, later sources winning; of secrets the names alone."""
    maps = {one["metadata"]["name"]: one["data"] for one in of_kind(overlay, "ConfigMap")}
    found: dict[str, str | None] = {}
    for source in container.get("envFrom", ()):
        if "configMapRef" in source:
            found.update(maps[source["configMapRef"]["name"]])
        else:
            found.update(dict.fromkeys(known_secrets()[source["secretRef"]["name"]]))
    found.update({one["name"]: one.get("value") for one in container.get("env", ())})
    return found


def _is_setting(variable: str) -> bool:
    section, _, key = variable.removeprefix("TICKLOOP_").lower().partition("__")
    field = Settings.model_fields.get(section)
    if field is None or not key:
        return field is not None and not key
    return key in type(field.default).model_fields


def _uses(workload: Workload, component: str) -> bool:
    """Tell whether a pod opens connections there: all get the settings of all servers, not all use them."""
    unused = {
        "dashboard": {"opensearch", "s3", "mlflow"},
        "collector": {"s3", "mlflow"},
        "api": {"opensearch", "s3", "airflow-api-server"},
        "bot": {"opensearch", "s3"},
        "airflow-api-server": {"opensearch", "s3", "mlflow", "airflow-api-server"},
        "airflow-dag-processor": {"opensearch", "s3", "mlflow", "airflow-api-server"},
        "airflow-migrate": {"airflow-api-server"},
    }
    return component not in unused.get(workload.component, set())


def _edges(overlay: str, direction: str, peer: str) -> set[tuple[str, str, int]]:
    """Give who may reach whom at which port, as one direction of the policies says."""
    found = set()
    for policy in of_kind(overlay, "NetworkPolicy"):
        for rule in policy["spec"].get(direction, ()):
            for one in rule[peer]:
                if "podSelector" not in one or "namespaceSelector" in one:
                    continue
                here, there = _components(policy["spec"]["podSelector"]), _components(one["podSelector"])
                sources, targets = (there, here) if direction == "ingress" else (here, there)
                ports = [port["port"] for port in rule["ports"]]
                found |= {(source, target, port) for source in sources for target in targets for port in ports}
    return found


def _components(selector: dict[str, Any]) -> list[str]:
    if "matchLabels" in selector:
        return [selector["matchLabels"]["app.kubernetes.io/component"]]
    (expression,) = selector["matchExpressions"]
    assert expression["key"] == "app.kubernetes.io/component"
    assert expression["operator"] == "In"
    found: list[str] = expression["values"]
    return found


def _may_reach(overlay: str, source: str, target: str, port: int) -> bool:
    return (source, target, port) in _edges(overlay, "ingress", "from")
