"""The processes of the cluster without containers: commands, environment and ports as the manifests have them.

What a container would give is put in by replacing texts: a service's name and port become an address on loopback, a
mount becomes a folder. Everything else stays as it is written, so that a wrong variable in a manifest fails a test.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy_manifests import ROOT, Workload, named, of_kind, workloads

OVERLAY = "small"
DEADLINE_S = 240.0
_LOOK_S = 0.1
_KEEPER = ROOT / "scripts" / "servers" / "airflow" / "keeper.py"

Secrets = Mapping[str, Mapping[str, str]]


@dataclass
class Layout:
    """One set of processes.

    Attributes:
        folder: where volumes and logs lie.
        secrets: Secret -> key -> value.
        addresses: service -> address on loopback, as far as they are known by now.
        programs: name of a program in an image -> the command that runs it here.
        changes: variables of every process: of the exchange, and what no machine without containers can give.
        replaced: other texts, put in after addresses.
    """

    folder: Path
    secrets: Secrets
    addresses: dict[str, str]
    programs: Mapping[str, list[str]]
    changes: dict[str, str | None]
    replaced: dict[str, str]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def environment(self, workload: Workload, container: Mapping[str, Any]) -> dict[str, str]:
        """Give the environment of a container, its sources in their order, and what an image would set."""
        found: dict[str, str | None] = {}
        for source in container.get("envFrom", ()):
            if "configMapRef" in source:
                found.update(_data_of(source["configMapRef"]["name"]))
            else:
                found.update(self.secrets[source["secretRef"]["name"]])
        for variable in container.get("env", ()):
            reference = variable.get("valueFrom", {}).get("secretKeyRef")
            value = self.secrets[reference["name"]][reference["key"]] if reference else variable["value"]
            found[variable["name"]] = value
        mounts = self.mounts(workload, container)
        own = {name: self.put_in(value, mounts) for name, value in found.items() if value is not None}
        kept = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        image = {"HOME": mounts.get("/tmp", str(self.folder)), "TICKLOOP_HOME": mounts.get("/var/lib/tickloop", "")}
        together = {**kept, "PYTHONPATH": str(ROOT / "src"), **image, **own, **self.changes}
        return {name: value for name, value in together.items() if value}

    def mounts(self, workload: Workload, container: Mapping[str, Any]) -> dict[str, str]:
        """Give the folder behind each mount: a claim's is shared by all, any other is the pod's own."""
        volumes = {one["name"]: one for one in workload.spec.get("volumes", ())}
        found = {}
        for mount in container.get("volumeMounts", ()):
            claim = volumes[mount["name"]].get("persistentVolumeClaim", {}).get("claimName")
            secret = volumes[mount["name"]].get("secret", {}).get("secretName")
            name = claim or secret or f"{workload.name}-{mount['name']}"
            path = self.folder / "volumes" / name
            path.mkdir(parents=True, exist_ok=True)
            if secret:
                for key, value in self.secrets[secret].items():
                    (path / key).write_text(value)
            found[mount["mountPath"]] = str(path)
        return found

    def put_in(self, text: str, mounts: Mapping[str, str]) -> str:
        """Replace services and mounts; a service that has no address here is an error of the manifests."""
        for host, port in set(re.findall(r"https?://([a-z0-9-]+):(\d+)", text)):
            service = named(OVERLAY, "Service", host)
            assert service["spec"]["ports"][0]["port"] == int(port), text
            text = re.sub(rf"https?://{host}:{port}", self.addresses[host], text)
        if mounts:
            paths = "|".join(map(re.escape, sorted(mounts, key=len, reverse=True)))
            text = re.sub(rf"(?<![\w/.-])({paths})(?=[/\s\"'?&]|$)", lambda found: mounts[found[1]], text)
        for old, new in self.replaced.items():
            text = text.replace(old, new)
        return text

    def command(self, workload: Workload, container: Mapping[str, Any]) -> list[str]:
        mounts = self.mounts(workload, container)
        program, *arguments = [
            self.put_in(part, mounts) for part in (*container.get("command", ()), *container.get("args", ()))
        ]
        return [*self.programs.get(program, [program]), *arguments]

    def run(self, name: str, container: str | None = None, **more: str) -> str:
        """Run one container of a workload to its end; give what it printed."""
        workload = workload_of(name)
        chosen = (
            workload.main if container is None else next(one for one in workload.containers if one["name"] == container)
        )
        environment = {**self.environment(workload, chosen), **more}
        done = subprocess.run(
            self.command(workload, chosen),
            env=environment,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert done.returncode == 0, f"{name}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
        return done.stdout

    def start(self, name: str, where: Mapping[str, str] | None = None, **more: str) -> None:
        """Start a workload's own container; arguments may be replaced, such as a port."""
        workload = workload_of(name)
        line = self.command(workload, workload.main)
        line = [(where or {}).get(part, part) for part in line]
        environment = {**self.environment(workload, workload.main), **more}
        keeper = [sys.executable, str(_KEEPER)] if name.startswith(("airflow", "mlflow")) else []
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [*keeper, *line], env=environment, stdout=log, stderr=log, cwd=self.folder
            )

    def until(self, is_so: Callable[[], bool], name: str, within_s: float = DEADLINE_S) -> None:
        """Wait for a condition while a process runs."""
        end = time.monotonic() + within_s
        while not is_so():
            assert self.processes[name].poll() is None, f"{name} has ended: {self.log(name)}"
            assert time.monotonic() < end, f"{name} in vain: {self.log(name)}"
            time.sleep(_LOOK_S)

    def until_probe(self, name: str, probe: str, port: int, within_s: float = DEADLINE_S) -> None:
        """Wait until a probe of the manifest that asks over HTTP is answered as the kubelet wants it."""
        path = workload_of(name).main[probe]["httpGet"]["path"]
        self.until(lambda: status_of(f"http://127.0.0.1:{port}{path}") == 200, name, within_s)

    def is_ready_by_file(self, name: str) -> bool:
        """Run the readiness probe of a workload that says by its status file how it is."""
        workload = workload_of(name)
        mounts = self.mounts(workload, workload.main)
        line = [self.put_in(part, mounts) for part in workload.main["readinessProbe"]["exec"]["command"]]
        return subprocess.run(line, check=False, capture_output=True).returncode == 0

    def stop(self, name: str) -> int:
        """End a process as the kubelet does, within the time that the manifest gives it."""
        process = self.processes.pop(name)
        process.send_signal(signal.SIGTERM)
        return process.wait(workload_of(name).spec.get("terminationGracePeriodSeconds", 30))

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")[-4000:]

    def close(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(30)
            process.kill()
            process.wait(30)


def workload_of(name: str) -> Workload:
    (found,) = (one for one in workloads(OVERLAY) if one.name == name)
    return found


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def status_of(url: str) -> int:
    """Give the status of an answer, 0 when there is none."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as exc:
        return exc.code
    except OSError:
        return 0


def ask(url: str, body: Any = None, token: str | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **({} if token is None else {"Authorization": f"Bearer {token}"})}
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=30) as answer:
        return json.load(answer)


@contextmanager
def closing_all(layout: Layout) -> Iterator[Layout]:
    try:
        yield layout
    finally:
        layout.close()


def _data_of(name: str) -> dict[str, str]:
    (found,) = (one["data"] for one in of_kind(OVERLAY, "ConfigMap") if one["metadata"]["name"] == name)
    return dict(found)
