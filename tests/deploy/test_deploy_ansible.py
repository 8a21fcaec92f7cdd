"""What the roles write, rendered by Ansible and read by the programs that it is for; and the scripts of the roles."""

from __future__ import annotations

import hashlib
import io
import ipaddress
import json
import os
import re
import stat
import tarfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import yaml
from ansible_tools import ANSIBLE, ROOT, cluster, documents, kubernetes_program, render, run

_IMPORT = ANSIBLE / "roles/images_import/files/tickloop-import-images"
_BACKUP = ANSIBLE / "roles/backups/files/tickloop-backup-cluster"
_SHA256 = re.compile(r"^[0-9a-f]{64}$")


_CASES: dict[str, dict[str, object]] = {
    "as it is": {},
    "other pods": {"pod_cidr": "10.99.0.0/16"},
    "workloads": {"control_plane_takes_workloads": True},
    "no workloads": {"control_plane_takes_workloads": False},
    "outside": {"api_public_address": "198.51.100.10"},
    "no disk": {"data_device": ""},
}
_Files = dict[str, str]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, _Files]:
    return render(tmp_path_factory.mktemp("rendered"), _CASES)


@pytest.fixture(scope="module")
def files(rendered: dict[str, _Files]) -> _Files:
    return rendered["as it is"]


def test_kubeadm_and_calico_are_given_the_same_network_of_pods(files: _Files) -> None:
    kubeadm = documents(files["kubeadm-kubeadm.yaml"])["ClusterConfiguration"]["networking"]
    calico = _calico_patch(files)

    assert kubeadm["podSubnet"] == calico["CALICO_IPV4POOL_CIDR"] == cluster()["pod_cidr"]


def test_pods_travel_in_vxlan_between_nodes_of_one_network_too(files: _Files) -> None:
    """Google's network drops what comes from an address that it did not give."""
    assert _calico_patch(files)["CALICO_IPV4POOL_VXLAN"] == "Always"


def test_networks_do_not_overlap() -> None:
    networks = [ipaddress.ip_network(cluster()[name]) for name in ("node_cidr", "pod_cidr", "service_cidr")]

    assert not any(one.overlaps(other) for one in networks for other in networks if one is not other)


def test_another_network_of_pods_reaches_both(rendered: dict[str, _Files]) -> None:
    files = rendered["other pods"]

    kubeadm = documents(files["kubeadm-kubeadm.yaml"])["ClusterConfiguration"]["networking"]

    assert (kubeadm["podSubnet"], _calico_patch(files)["CALICO_IPV4POOL_CIDR"]) == ("10.99.0.0/16", "10.99.0.0/16")


@pytest.mark.parametrize("name", ["kubeadm-kubeadm.yaml", "kubeadm-join.yaml"])
@pytest.mark.parametrize("case", ["as it is", "no workloads", "outside"])
def test_kubeadm_accepts_how_the_cluster_is_made_and_joined(
    rendered: dict[str, _Files], tmp_path: Path, case: str, name: str
) -> None:
    done = _validate(tmp_path, rendered[case][name])

    assert done.returncode == 0, done.stderr


def test_kubeadm_refuses_a_misspelt_setting(files: _Files, tmp_path: Path) -> None:
    """So that its acceptance means something."""
    done = _validate(tmp_path, files["kubeadm-kubeadm.yaml"].replace("podSubnet", "podSubnets"))

    assert done.returncode != 0
    assert "podSubnets" in done.stderr


def test_kubeadm_asks_for_the_pause_image_that_containerd_pins(files: _Files) -> None:
    version = cluster()["kubernetes_version"]
    images = run(kubernetes_program("kubeadm"), "config", "images", "list", "--kubernetes-version", f"v{version}")
    config = tomllib.loads(files["containerd-config.toml"])

    pinned = config["plugins"]["io.containerd.cri.v1.images"]["pinned_images"]["sandbox"]

    assert pinned in images.stdout.splitlines(), images.stdout + images.stderr


def test_versions_and_reserves_are_those_of_the_cluster_file(files: _Files) -> None:
    values, made = cluster(), documents(files["kubeadm-kubeadm.yaml"])

    assert made["ClusterConfiguration"]["kubernetesVersion"] == f"v{values['kubernetes_version']}"
    assert made["ClusterConfiguration"]["networking"]["serviceSubnet"] == values["service_cidr"]
    assert made["KubeletConfiguration"]["kubeReserved"] == {
        "cpu": f"{values['kube_reserved_cpu_m']}m",
        "memory": f"{values['kube_reserved_memory_mib']}Mi",
    }
    assert made["KubeletConfiguration"]["systemReserved"] == {"memory": f"{values['system_reserved_memory_mib']}Mi"}


def test_kubelet_and_containerd_leave_cgroups_to_systemd(files: _Files) -> None:
    config = tomllib.loads(files["containerd-config.toml"])
    runc = config["plugins"]["io.containerd.cri.v1.runtime"]["containerd"]["runtimes"]["runc"]

    assert documents(files["kubeadm-kubeadm.yaml"])["KubeletConfiguration"]["cgroupDriver"] == "systemd"
    assert runc["options"]["SystemdCgroup"] is True


@pytest.mark.parametrize(("case", "taints"), [("workloads", 0), ("no workloads", 1)])
def test_control_plane_takes_workloads_where_the_cluster_file_says_so(
    rendered: dict[str, _Files], case: str, taints: int
) -> None:
    init = documents(rendered[case]["kubeadm-kubeadm.yaml"])["InitConfiguration"]

    assert len(init["nodeRegistration"]["taints"]) == taints


def test_certificate_is_for_the_address_from_outside_where_there_is_one(rendered: dict[str, _Files]) -> None:
    def names(case: str) -> list[str]:
        server: dict[str, list[str]] = documents(rendered[case]["kubeadm-kubeadm.yaml"])["ClusterConfiguration"][
            "apiServer"
        ]
        return server["certSANs"]

    assert names("as it is") == ["tickloop-control-plane", "10.10.0.10"]
    assert names("outside") == ["tickloop-control-plane", "10.10.0.10", "198.51.100.10"]


def test_exports_go_to_nodes_alone_and_only_with_their_disk(files: _Files) -> None:
    values = cluster()
    lines = files["nfs_server-exports"].splitlines()
    exports = dict(line.split(" ") for line in lines if not line.startswith("#"))

    assert list(exports) == [f"{values['nfs_root']}/{name}" for name in values["nfs_exports"]]
    assert {entry.partition("(")[0] for entry in exports.values()} == {values["node_cidr"]}
    for entry in exports.values():
        options = entry.rstrip(")").partition("(")[2].split(",")
        assert f"mountpoint={values['nfs_root']}" in options
        assert "no_root_squash" not in options
        assert f"anonuid={values['run_uid']}" in options


def test_a_folder_without_a_disk_of_its_own_is_exported_too(rendered: dict[str, _Files]) -> None:
    assert "mountpoint" not in rendered["no disk"]["nfs_server-exports"]


def test_copies_of_the_clusters_keys_are_not_exported(files: _Files) -> None:
    values = cluster()
    unit = files["backups-tickloop-backup-cluster.service"]
    command = next(line for line in unit.splitlines() if line.startswith("ExecStart="))

    folder = Path(command.split()[1])

    assert folder.parent == Path(values["nfs_root"])
    assert folder.name not in values["nfs_exports"]


def test_opensearch_finds_the_memory_maps_that_it_asks_for(files: _Files) -> None:
    text = files["base-sysctl.conf"]
    values = dict(line.split(" = ") for line in text.splitlines() if " = " in line)

    assert int(values["vm.max_map_count"]) >= 262144
    assert values["net.ipv4.ip_forward"] == "1"


def test_kustomize_puts_our_patch_over_the_manifest(files: _Files, tmp_path: Path) -> None:
    """The stand-in has the names that Calico's manifest has."""
    (tmp_path / "kustomization.yaml").write_text(files["calico-kustomization.yaml"], encoding="utf-8")
    (tmp_path / "calico-vxlan.yaml").write_text(_calico_manifest(), encoding="utf-8")

    done = run(kubernetes_program("kubectl"), "kustomize", tmp_path)

    assert done.returncode == 0, done.stderr
    node = next(one for one in yaml.safe_load_all(done.stdout) if one["kind"] == "DaemonSet")
    container = node["spec"]["template"]["spec"]["containers"][0]
    environment = {entry["name"]: entry["value"] for entry in container["env"]}
    assert environment == {
        "DATASTORE_TYPE": "kubernetes",
        "CALICO_IPV4POOL_VXLAN": "Always",
        "CALICO_IPV4POOL_CIDR": cluster()["pod_cidr"],
    }
    assert container["image"] == "calico/node"


def test_roles_use_no_collection_but_ansibles_own() -> None:
    """So that `pip install ansible-core` is all that start.sh asks for."""
    tasks = [path for path in ANSIBLE.rglob("*.yml") if {"tasks", "handlers"} & set(path.parts)]

    text = "\n".join(path.read_text(encoding="utf-8") for path in tasks)

    assert tasks
    assert not re.findall(r"^\s*-?\s*(?:community|ansible\.posix|kubernetes)\.\S+:", text, flags=re.MULTILINE)


def test_no_value_of_the_cluster_file_is_repeated() -> None:
    versions = {str(value) for name, value in cluster().items() if name.endswith(("_version", "_cidr"))}

    for path in ANSIBLE.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.suffix in {".yml", ".j2"}:
            text = path.read_text(encoding="utf-8")
            assert not [value for value in versions if value in text], path


def test_an_image_is_imported_once_by_the_name_that_manifests_say(tmp_path: Path) -> None:
    node = _Node(tmp_path)
    node.send("app.tar", "tickloop/app:one")
    node.send("airflow.tar", "localhost/tickloop/airflow:one")

    first, second = node.import_images(), node.import_images()

    assert first.stdout.splitlines() == [
        "imported airflow.tar: docker.io/tickloop/airflow:one",
        "imported app.tar: docker.io/tickloop/app:one",
    ]
    assert second.stdout == ""
    assert node.calls() == [
        f"images import {node.folder}/airflow.tar",
        "images tag --force localhost/tickloop/airflow:one docker.io/tickloop/airflow:one",
        "images label docker.io/tickloop/airflow:one io.cri-containerd.pinned=pinned",
        f"images import {node.folder}/app.tar",
        "images label docker.io/tickloop/app:one io.cri-containerd.pinned=pinned",
    ]
    assert list(node.folder.glob("*.tar")) == []


def test_the_node_tells_which_archives_it_has_had(tmp_path: Path) -> None:
    node = _Node(tmp_path)
    digest = node.send("app.tar", "tickloop/app:one")
    node.import_images()

    known = run(_IMPORT, "--known", node.folder)

    assert json.loads(known.stdout) == {"app.tar": digest}


def test_an_import_that_failed_is_tried_again(tmp_path: Path) -> None:
    node = _Node(tmp_path)
    node.send("app.tar", "tickloop/app:one")
    node.fail_at("label")
    failed = node.import_images()
    node.fail_at("nothing")

    again = node.import_images()

    assert failed.returncode != 0
    assert again.stdout == "imported app.tar: docker.io/tickloop/app:one\n"


def test_a_node_keeps_the_newest_revisions_of_an_image(tmp_path: Path) -> None:
    node = _Node(tmp_path)
    for age, revision in enumerate(["one", "two", "three"]):
        node.send(f"app-{revision}.tar", f"tickloop/app:{revision}")
        node.import_images()
        os.utime(node.folder / f"app-{revision}.tar.imported", (age, age))
    node.send("app-four.tar", "tickloop/app:four")

    node.import_images()

    assert [call for call in node.calls() if "remove" in call] == ["images remove docker.io/tickloop/app:one"]
    assert len(list(node.folder.glob("*.imported"))) == 3


def test_an_archive_without_a_name_is_refused(tmp_path: Path) -> None:
    node = _Node(tmp_path)
    node.send("app.tar")

    done = node.import_images()

    assert done.returncode != 0
    assert "names no image" in done.stderr


def test_a_copy_of_the_cluster_is_whole_and_private(tmp_path: Path) -> None:
    plane = _ControlPlane(tmp_path)

    done = plane.back_up(keep=7)

    assert done.returncode == 0, done.stderr
    (copy,) = plane.copies()
    assert (copy / "etcd.db").read_text(encoding="utf-8") == "snapshot"
    with tarfile.open(copy / "kubernetes.tar") as packed:
        assert {"pki/ca.key", "tickloop/kubeadm.yaml"} <= set(packed.getnames())
    for line in (copy / "SHA256SUMS").read_text(encoding="utf-8").splitlines():
        digest, name = line.split()
        assert _SHA256.match(digest)
        assert hashlib.sha256((copy / name).read_bytes()).hexdigest() == digest
    assert stat.S_IMODE(copy.stat().st_mode) == 0o700


def test_no_copy_is_left_where_etcd_gave_none(tmp_path: Path) -> None:
    plane = _ControlPlane(tmp_path, etcd_answers=False)

    done = plane.back_up(keep=7)

    assert done.returncode != 0
    assert "etcd gave no snapshot" in done.stderr
    assert plane.copies() == []


def test_the_oldest_copies_go_and_what_is_none_stays(tmp_path: Path) -> None:
    plane = _ControlPlane(tmp_path)
    for name in ("20200101T000000Z", "20200102T000000Z", "20200103T000000Z", "kept-by-hand"):
        (plane.folder / name).mkdir(parents=True)

    plane.back_up(keep=2)

    names = {path.name for path in plane.folder.iterdir()}
    assert len(names) == 3
    assert {"20200103T000000Z", "kept-by-hand"} <= names


def _validate(folder: Path, text: str) -> CompletedProcess[str]:
    config = folder / "kubeadm.yaml"
    config.write_text(text, encoding="utf-8")
    return run(kubernetes_program("kubeadm"), "config", "validate", "--config", config)


def _calico_patch(files: _Files) -> dict[str, str]:
    kustomization = yaml.safe_load(files["calico-kustomization.yaml"])
    patches = [yaml.safe_load(entry["patch"]) for entry in kustomization["patches"]]
    node = next(patch for patch in patches if patch["kind"] == "DaemonSet")
    container = node["spec"]["template"]["spec"]["containers"][0]
    return {entry["name"]: entry["value"] for entry in container["env"]}


def _calico_manifest() -> str:
    def workload(kind: str, name: str, container: Mapping[str, object]) -> dict[str, object]:
        return {
            "apiVersion": "apps/v1",
            "kind": kind,
            "metadata": {"name": name, "namespace": "kube-system"},
            "spec": {"template": {"spec": {"containers": [container]}}},
        }

    environment = [
        {"name": "DATASTORE_TYPE", "value": "kubernetes"},
        {"name": "CALICO_IPV4POOL_VXLAN", "value": "CrossSubnet"},
    ]
    node = {"name": "calico-node", "image": "calico/node", "env": environment}
    controllers = {"name": "calico-kube-controllers", "image": "calico/kube-controllers"}
    manifest: str = yaml.safe_dump_all(
        [
            workload("DaemonSet", "calico-node", node),
            workload("Deployment", "calico-kube-controllers", controllers),
        ]
    )
    return manifest


class _Node:
    """A folder of archives and a `ctr` that notes what it is asked."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "images"
        self.folder.mkdir()
        self._log = root / "calls"
        self._failing = root / "failing"
        self.fail_at("nothing")
        ctr = root / "bin" / "ctr"
        ctr.parent.mkdir()
        ctr.write_text(
            f'#!/bin/sh\nshift 2\necho "$@" >>"{self._log}"\n! grep -q "^$2\\$" "{self._failing}"\n', encoding="utf-8"
        )
        ctr.chmod(0o755)
        self._path = f"{ctr.parent}:{os.environ['PATH']}"

    def fail_at(self, verb: str) -> None:
        self._failing.write_text(verb + "\n", encoding="utf-8")

    def send(self, name: str, *images: str) -> str:
        manifest = json.dumps([{"RepoTags": list(images)}]).encode()
        with tarfile.open(self.folder / name, "w") as packed:
            entry = tarfile.TarInfo("manifest.json")
            entry.size = len(manifest)
            packed.addfile(entry, io.BytesIO(manifest))
        return hashlib.sha256((self.folder / name).read_bytes()).hexdigest()

    def import_images(self) -> CompletedProcess[str]:
        return run("python3", _IMPORT, self.folder, "3", environment={"PATH": self._path})

    def calls(self) -> list[str]:
        return self._log.read_text(encoding="utf-8").splitlines()


class _ControlPlane:
    """Keys, and a `kubectl` whose etcd writes a snapshot or not."""

    def __init__(self, root: Path, *, etcd_answers: bool = True) -> None:
        self.folder = root / "copies"
        self._kubernetes = root / "kubernetes"
        self._etcd = root / "etcd"
        (self._kubernetes / "pki").mkdir(parents=True)
        (self._kubernetes / "pki/ca.key").write_text("key", encoding="utf-8")
        (self._kubernetes / "tickloop").mkdir()
        (self._kubernetes / "tickloop/kubeadm.yaml").write_text("kind: x\n", encoding="utf-8")
        self._etcd.mkdir()
        kubectl = root / "bin" / "kubectl"
        kubectl.parent.mkdir()
        snapshot = f'printf snapshot >"{self._etcd}/tickloop-snapshot.db"' if etcd_answers else "exit 1"
        kubectl.write_text(
            f'#!/bin/sh\ncase "$*" in\n*"get pods"*) echo pod/etcd-one ;;\n*"snapshot save"*) {snapshot} ;;\nesac\n',
            encoding="utf-8",
        )
        kubectl.chmod(0o755)
        self._path = f"{kubectl.parent}:{os.environ['PATH']}"

    def back_up(self, *, keep: int) -> CompletedProcess[str]:
        environment = {
            "PATH": self._path,
            "TICKLOOP_KUBERNETES_FOLDER": str(self._kubernetes),
            "TICKLOOP_ETCD_FOLDER": str(self._etcd),
        }
        return run("sh", _BACKUP, self.folder, str(keep), environment=environment)

    def copies(self) -> list[Path]:
        return sorted(self.folder.iterdir())


def test_the_playbooks_of_the_example_inventory_are_those_that_terraform_writes() -> None:
    """Both kinds of machines come by the same groups and variables."""
    example = yaml.safe_load((ANSIBLE / "inventory.example.yml").read_text(encoding="utf-8"))["all"]
    made = (ROOT / "deploy/terraform/modules/inventory/main.tf").read_text(encoding="utf-8")

    assert set(example["children"]) == {"control_plane", "workers"}
    for name in ("control_plane_address", "api_public_address", "node_ip", "control_plane = {", "workers "):
        assert name in made, name
