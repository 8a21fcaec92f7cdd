"""Serve stand-ins for releases on loopback, for ansible_chroot.sh: ansible_standins.py WORK CLUSTER_FILE UPGRADED.

The archives have the names, the layout and the checksums of the real ones; the programs in them remember what they were
asked (state/calls) and answer like a cluster that does as it is told. WORK/vars.json says to Ansible where they are.
"""

import functools
import hashlib
import http.server
import io
import json
import re
import sys
import tarfile
from pathlib import Path

# As in `containerd config dump`: it must be able to read the file it is given.
SIMPLE = """#!/usr/bin/python3
import sys
from pathlib import Path
with open("/var/lib/standin/calls", "a") as calls:
    print(Path("/etc/standin").read_text(), Path(sys.argv[0]).name, *sys.argv[1:], file=calls)
for before, argument in zip(sys.argv, sys.argv[1:]):
    if before == "--config":
        Path(argument).read_text()
"""

KUBEADM = (
    SIMPLE
    + """
state = Path("/var/lib/standin")
kubernetes = Path("/etc/kubernetes")
match sys.argv[1:3]:
    case ["init", _]:
        config = Path(sys.argv[sys.argv.index("--config") + 1]).read_text()
        parts = config.split("---")
        (state / "config").write_text(next(part for part in parts if "kind: ClusterConfiguration" in part))
        (state / "taints").write_text("" if "taints: []" in config else "node-role.kubernetes.io/control-plane")
        (state / "version").write_text("VERSION")
        (kubernetes / "manifests").mkdir()
        (kubernetes / "manifests" / "kube-apiserver.yaml").write_text("")
        (kubernetes / "pki").mkdir()
        (kubernetes / "admin.conf").write_text("    server: https://10.10.0.10:6443\\n    name: kubernetes\\n")
    case ["join", _]:
        (kubernetes / "kubelet.conf").write_text("")
    case ["upgrade", "apply"]:
        (state / "version").write_text("VERSION")
if "token" in sys.argv:
    join = "kubeadm join 10.10.0.10:6443 --token abcdef.0123456789abcdef"
    print(join, "--discovery-token-ca-cert-hash sha256:" + 64 * "0")
"""
)

KUBECTL = (
    SIMPLE
    + """
import json
state = Path("/var/lib/standin")
words = [word for word in sys.argv[1:] if not word.startswith("--kubeconfig")]
asked = " ".join(words)
folder = next((Path(word.partition("=")[2]) for word in words if word.startswith("--kustomize=")), None)
applied = state / "applied"
if "configmap kubeadm-config" in asked:
    print((state / "config").read_text())
elif "taints" in asked:
    print((state / "taints").read_text(), end="")
elif words[0] == "taint":
    (state / "taints").write_text("" if asked.endswith("-") else "node-role.kubernetes.io/control-plane")
elif words[0] == "diff":
    wanted = (folder / "kustomization.yaml").read_text()
    sys.exit(0 if applied.exists() and applied.read_text() == wanted else 1)
elif words[0] == "apply":
    applied.write_text((folder / "kustomization.yaml").read_text())
elif "ippools" in asked:
    lines = applied.read_text().splitlines()
    cidr = next(lines[at + 1] for at, line in enumerate(lines) if "CALICO_IPV4POOL_CIDR" in line)
    print(cidr.split()[1], "Always", end="")
elif words[0] == "version":
    print(json.dumps({"serverVersion": {"gitVersion": "v" + (state / "version").read_text()}}))
elif "kubeletVersion} {" in asked:
    bins = state / "roots" / words[2] / "bin"
    kubelet = (bins / "kubelet").readlink().parent.name.partition("-")[2]
    containerd = (bins / "containerd").readlink().parent.parent.name.partition("-")[2]
    print(f"v{kubelet} containerd://{containerd}", end="")
elif "pods" in words:
    print("pod/etcd-control-plane")
elif "snapshot" in words:
    Path("/var/lib/etcd").mkdir(exist_ok=True)
    Path("/var/lib/etcd/tickloop-snapshot.db").write_text("snapshot")
"""
)


def cluster_values(path: Path) -> dict[str, str]:
    """Read the lines `name: value`; lists are of no interest here."""
    return dict(re.findall(r"^(\w+): *(\S+)$", path.read_text(), flags=re.MULTILINE))


def publish(path: Path, content: bytes, checksum: str, *, named: bool = True) -> None:
    """Lay a release file down with a file of its checksum, as its makers do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    path.with_name(checksum).write_text(f"{digest}  {path.name}\n" if named else digest)


def archive(programs: dict[str, str]) -> bytes:
    """Pack programs as makers of releases do, with owners of their own."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as packed:
        for name, text in programs.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.uid, entry.gid = len(text), 0o755, 1001, 1001
            packed.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


def write_releases(folder: Path, values: dict[str, str], versions: list[str]) -> None:
    """Write all files that the roles fetch, by the paths of their makers."""
    machine = "amd64"
    containerd, runc, cni = values["containerd_version"], values["runc_version"], values["cni_plugins_version"]
    name = f"containerd-{containerd}-linux-{machine}.tar.gz"
    publish(
        folder / f"containerd/containerd/releases/download/v{containerd}" / name,
        archive({f"bin/{program}": SIMPLE for program in ("containerd", "containerd-shim-runc-v2", "ctr")}),
        f"{name}.sha256sum",
    )
    publish(folder / f"opencontainers/runc/releases/download/v{runc}/runc.{machine}", SIMPLE.encode(), "runc.sha256sum")
    name = f"cni-plugins-linux-{machine}-v{cni}.tgz"
    publish(
        folder / f"containernetworking/plugins/releases/download/v{cni}" / name,
        archive({f"./{program}": SIMPLE for program in ("loopback", "portmap", "bandwidth")}),
        f"{name}.sha256",
    )
    manifest = folder / f"projectcalico/calico/v{values['calico_version']}/manifests/calico-vxlan.yaml"
    manifest.parent.mkdir(parents=True)
    manifest.write_text("# Calico's manifest\n")
    programs = {"kubeadm": KUBEADM, "kubectl": KUBECTL, "kubelet": SIMPLE}
    for version in versions:
        for program, text in programs.items():
            path = folder / f"release/v{version}/bin/linux/{machine}/{program}"
            publish(path, text.replace("VERSION", version).encode(), f"{program}.sha256", named=False)


def write_images(folder: Path) -> None:
    """Write two archives as `docker save` and `podman save` name images."""
    folder.mkdir()
    for image in ("tickloop/app:0123456789ab", "localhost/tickloop/airflow:0123456789ab"):
        manifest = json.dumps([{"Config": "config.json", "RepoTags": [image], "Layers": []}])
        short = image.rpartition("/")[2].replace(":", "-")
        with tarfile.open(folder / f"{short}.tar", "w") as packed:
            entry = tarfile.TarInfo("manifest.json")
            entry.size = len(manifest)
            packed.addfile(entry, io.BytesIO(manifest.encode()))


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Say nothing of each file."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that the base class gives it
        """Leave it out."""


def main(work: Path, cluster_file: Path, upgraded: str) -> None:
    """Write everything, then serve until killed."""
    values = cluster_values(cluster_file)
    releases = work / "releases"
    write_releases(releases, values, [values["kubernetes_version"], upgraded])
    write_images(work / "images")
    for root in (work / "roots").iterdir():
        (root / "etc/standin").write_text(root.name)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(releases)))
    address = f"http://127.0.0.1:{server.server_port}"
    variables = {
        "release_hosts": {"github": address, "github_files": address, "kubernetes": address},
        "data_device": "/data.img",
        "images_source": str(work / "images"),
        "kubeconfig_path": str(work / "kubeconfig"),
        "checkout_archives": str(work / "archives"),
    }
    part = work / "vars.part"
    part.write_text(json.dumps(variables))
    part.rename(work / "vars.json")
    server.serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
