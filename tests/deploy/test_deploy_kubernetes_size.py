"""The overlay `small` fits three nodes of 4 GB, the control plane's own processes and one training pod counted in."""

from __future__ import annotations

from dataclasses import dataclass, field

from deploy_manifests import CLUSTER, ROOT, Workload, mebibytes, millicores, of_kind, workloads

NODE_MIB = 3920
"""MemTotal of a machine of 4 GiB: firmware and kernel take the rest."""
NODE_CPU_M = 4000
EVICTION_MIB = 100
"""What the kubelet keeps free (its default for memory.available)."""

# Pods of the system, MiB and millicores: what they take, where it is more than they ask for.
EVERY_NODE = {"kube-proxy": (50, 20), "calico-node": (150, 250), "csi-nfs-node": (60, 30)}
CONTROL_PLANE = {
    "kube-apiserver": (500, 250),
    "etcd": (150, 100),
    "kube-controller-manager": (100, 200),
    "kube-scheduler": (50, 100),
    "nfsd": (32, 50),
}
ANYWHERE = {
    "coredns-1": (70, 100),
    "coredns-2": (70, 100),
    "calico-kube-controllers": (64, 20),
    "csi-nfs-controller": (100, 40),
}


@dataclass
class Node:
    name: str
    memory_mib: int
    cpu_m: int
    pods: list[str] = field(default_factory=list)

    def fits(self, memory_mib: int, cpu_m: int) -> bool:
        return memory_mib <= self.memory_mib and cpu_m <= self.cpu_m

    def take(self, name: str, memory_mib: int, cpu_m: int) -> None:
        assert self.fits(memory_mib, cpu_m), f"{name} ({memory_mib} MiB, {cpu_m} m) does not fit {self}"
        self.memory_mib -= memory_mib
        self.cpu_m -= cpu_m
        self.pods.append(name)


def test_sums_of_requests_fit_three_nodes_of_four_gigabytes() -> None:
    """Pods are placed where their volume is, then the largest first into the first node that has room."""
    nodes = empty_nodes()

    place(nodes, [one for one in workloads("small") if is_running(one)])

    assert sum(len(node.pods) for node in nodes) > 20


def test_a_job_or_a_backup_finds_room_beside_all_that_runs() -> None:
    for job in (one for one in workloads("small") if one.kind in ("Job", "CronJob")):
        nodes = empty_nodes()
        place(nodes, [one for one in workloads("small") if is_running(one)])

        memory, cpu = requests(job)

        # Setting up comes before training: the room of the training pod is free.
        free = nodes if job.kind == "CronJob" else [*nodes, Node("training", *requests(training()))]
        assert any(node.fits(memory, cpu) for node in free), f"{job.name}: {memory} MiB, {cpu} m in {nodes}"


def test_sums_by_node_are_what_the_page_says() -> None:
    """docs/operate/kubernetes.md shows the sums; whoever changes a request changes the page."""
    running = [one for one in workloads("small") if is_running(one)]
    memory = sum(requests(one)[0] for one in running)
    cpu = sum(requests(one)[1] for one in running)

    text = (ROOT / "docs" / "operate" / "kubernetes.md").read_text()
    assert f"{memory:,} MiB" in text
    assert f"{cpu:,} m" in text


def empty_nodes() -> list[Node]:
    """Give the three nodes with what the system takes of them."""
    reserved = CLUSTER["kube_reserved_memory_mib"] + CLUSTER["system_reserved_memory_mib"] + EVICTION_MIB
    nodes = [
        Node(name, NODE_MIB - reserved, NODE_CPU_M - CLUSTER["kube_reserved_cpu_m"])
        for name in ("control-plane", "worker-1", "worker-2")
    ]
    assert CLUSTER["control_plane_takes_workloads"] is True
    for node in nodes:
        for name, size in EVERY_NODE.items():
            node.take(name, *size)
    for name, size in CONTROL_PLANE.items():
        nodes[0].take(name, *size)
    for number, (name, size) in enumerate(ANYWHERE.items()):
        nodes[1 + number % 2].take(name, *size)
    return nodes


def place(nodes: list[Node], pods: list[Workload]) -> None:
    local = {
        one["metadata"]["name"]
        for one in of_kind("small", "PersistentVolumeClaim")
        if one["spec"]["storageClassName"] == "local"
    }
    tied = [one for one in pods if claims(one) & local]
    assert {one.name for one in tied} == {"postgres", "opensearch"}
    for one in tied:
        nodes[0].take(one.name, *requests(one))
    for one in sorted((one for one in pods if one not in tied), key=requests, reverse=True):
        # Workers first: the largest pods leave the control plane alone as long as they can.
        node = next((node for node in (*nodes[1:], nodes[0]) if node.fits(*requests(one))), None)
        assert node is not None, f"{one.name} ({requests(one)}) fits none of {nodes}"
        for _ in range(max(one.replicas, 1)):  # the bot counts, though it is off at first
            node.take(one.name, *requests(one))


def is_running(workload: Workload) -> bool:
    return workload.kind in ("Deployment", "StatefulSet", "Pod")


def training() -> Workload:
    (found,) = (one for one in workloads("small") if one.kind == "Pod")
    return found


def claims(workload: Workload) -> set[str]:
    volumes = workload.spec.get("volumes", ())
    return {one["persistentVolumeClaim"]["claimName"] for one in volumes if "persistentVolumeClaim" in one}


def requests(workload: Workload) -> tuple[int, int]:
    """Give MiB and millicores of one pod: its containers together, or its largest first step."""
    own = [(_memory(one), _cpu(one)) for one in workload.spec["containers"]]
    first = [(_memory(one), _cpu(one)) for one in workload.spec.get("initContainers", ())]
    memory = max([sum(size[0] for size in own), *(size[0] for size in first)])
    return memory, max([sum(size[1] for size in own), *(size[1] for size in first)])


def _memory(container: dict[str, dict[str, dict[str, str]]]) -> int:
    return mebibytes(container["resources"]["requests"]["memory"])


def _cpu(container: dict[str, dict[str, dict[str, str]]]) -> int:
    return millicores(container["resources"]["requests"]["cpu"])
