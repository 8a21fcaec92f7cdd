"""The playbooks, run for real in two folders that hold a Debian of their own (scripts/deploy/ansible_chroot.sh).

Packages are Debian's own; containerd and the programs of Kubernetes are stand-ins that remember what they were asked.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_tools import ROOT, cluster, run

_SCRIPT = ROOT / "scripts" / "deploy" / "ansible_chroot.sh"

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two runs of site.yml and two of upgrade.yml left: their logs, the nodes' files, the calls."""
    if run("bash", _SCRIPT, "installed").returncode != 0:
        pytest.skip("no Debian to run roles in: as root, bash scripts/deploy/ansible_chroot.sh install")
    folder = tmp_path_factory.mktemp("chroot")
    done = run("bash", _SCRIPT, "run", folder)
    assert done.returncode == 0, done.stderr[-4000:]
    print(done.stderr)  # noqa: T201 - the seconds of each run, for who asks for them by -s
    return folder


@pytest.mark.parametrize("log", ["second", "upgraded"])
def test_a_second_run_changes_nothing(told: Path, log: str) -> None:
    assert _recap(told, log) == {"control-plane": (0, 0), "worker": (0, 0)}


@pytest.mark.parametrize("log", ["first", "upgrade"])
def test_a_first_run_changes_both_nodes(told: Path, log: str) -> None:
    """So that the absence of changes means something."""
    recap = _recap(told, log)

    assert set(recap) == {"control-plane", "worker"}
    assert all(changed > 0 and failed == 0 for changed, failed in recap.values())


def test_the_control_plane_is_made_before_workers_join_and_calico_comes(told: Path) -> None:
    calls = _calls(told)

    init = _first(calls, "control-plane kubeadm init")
    join = _first(calls, "worker kubeadm join")
    calico = _first(calls, "control-plane kubectl .* apply .*calico")

    assert init < join < calico


def test_each_step_of_the_cluster_is_done_once(told: Path) -> None:
    calls = _calls(told)

    for step in ("kubeadm init", "kubeadm join", "token create", "kubectl .* apply", "images import .*app"):
        per_node = 2 if "images" in step else 1
        assert len([call for call in calls if re.search(step, call)]) == per_node, step


def test_state_is_copied_before_an_upgrade_and_nodes_go_one_by_one(told: Path) -> None:
    calls = _calls(told)
    order = [
        "snapshot save",
        "kubeadm upgrade apply",
        "drain control-plane",
        "control-plane kubeadm upgrade node",
        "uncordon control-plane",
        "drain worker",
        "worker kubeadm upgrade node",
        "uncordon worker",
    ]

    assert [_first(calls, step) for step in order] == sorted(_first(calls, step) for step in order)
    assert len([call for call in calls if "drain" in call]) == 2


def test_every_node_has_the_kubelet_of_the_upgrade(told: Path) -> None:
    kubelets = (told / "kubelets").read_text(encoding="utf-8").splitlines()

    assert [Path(kubelet).parent.name for kubelet in kubelets] == ["kubernetes-1.34.99"] * 2


def test_no_token_is_left_in_the_settings_of_a_node(told: Path) -> None:
    files = [path for path in (told / "nodes").glob("*/etc/**/*") if path.is_file() and not path.is_symlink()]

    assert any(path.name == "kubeadm.yaml" for path in files)
    assert [path for path in files if b"abcdef.0123456789abcdef" in path.read_bytes()] == []


def test_services_start_with_the_node(told: Path) -> None:
    wanted = {
        "control-plane": {
            "chrony.service", "containerd.service", "kubelet.service", "nfs-server.service", "srv-tickloop.mount",
        },
        "worker": {"chrony.service", "containerd.service", "kubelet.service"},
    }  # fmt: skip

    for node, units in wanted.items():
        enabled = {path.name for path in (_node(told, node) / "etc/systemd/system/multi-user.target.wants").iterdir()}
        assert units <= enabled, node
    timers = _node(told, "control-plane") / "etc/systemd/system/timers.target.wants"
    assert "tickloop-backup-cluster.timer" in {path.name for path in timers.iterdir()}


def test_programs_of_both_nodes_are_the_releases_of_the_cluster_file(told: Path) -> None:
    values = cluster()
    for node in ("control-plane", "worker"):
        programs = _node(told, node) / "usr/local"
        assert (programs / "bin/containerd").readlink().parts[-3] == f"containerd-{values['containerd_version']}"
        assert (programs / "bin/kubelet").readlink().parent.name == f"kubernetes-{values['kubernetes_version']}"
        assert (programs / "sbin/runc").readlink().name == f"runc-{values['runc_version']}"
        assert (_node(told, node) / "opt/cni/bin/loopback").stat().st_uid == 0


def test_exported_folders_belong_to_the_user_of_our_images_and_later_to_who_uses_them(told: Path) -> None:
    """The group of PostgreSQL's folder was changed before the second run, as the kubelet does."""
    values = cluster()
    root = Path(str(_node(told, "control-plane")) + values["nfs_root"])
    folders = {name: (root / name).stat() for name in values["nfs_exports"]}

    assert {found.st_uid for found in folders.values()} == {values["run_uid"]}
    assert {name: found.st_gid for name, found in folders.items() if found.st_gid != values["run_gid"]} == {
        "postgres": 999
    }
    assert {found.st_mode & 0o7777 for found in folders.values()} == {0o2770}


def test_nodes_hold_the_code_at_the_revision_of_the_checkout(told: Path) -> None:
    revision = run("git", "rev-parse", "HEAD").stdout.strip()
    for node in ("control-plane", "worker"):
        folder = _node(told, node) / "opt/tickloop"
        found = (folder / "src").readlink().name
        assert re.fullmatch(r"[0-9a-f]{40}", found)
        assert (folder / "revisions" / found / "pyproject.toml").exists()
        # Others may commit while this runs.
        assert found == revision or run("git", "merge-base", "--is-ancestor", found, revision).returncode == 0


def test_the_administrators_kubeconfig_points_to_the_address_from_outside(told: Path) -> None:
    kubeconfig = told / "kubeconfig"

    assert "server: https://198.51.100.10:6443\n" in kubeconfig.read_text(encoding="utf-8")
    assert kubeconfig.stat().st_mode & 0o777 == 0o600


def _node(told: Path, name: str) -> Path:
    return told / "nodes" / name


def _calls(told: Path) -> list[str]:
    return (told / "calls").read_text(encoding="utf-8").splitlines()


def _first(calls: list[str], pattern: str) -> int:
    return next(at for at, call in enumerate(calls) if re.search(pattern, call))


def _recap(told: Path, log: str) -> dict[str, tuple[int, int]]:
    """Return what the last lines of a run say: changed and failed of each node."""
    text = (told / f"{log}.log").read_text(encoding="utf-8")
    found = re.findall(r"^(\S+) +: ok=\d+ +changed=(\d+) +unreachable=0 +failed=(\d+)", text, flags=re.MULTILINE)
    return {node: (int(changed), int(failed)) for node, changed, failed in found}
