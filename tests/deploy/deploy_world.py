"""A checkout with deploy's scripts and stand-ins for its tools: what they are called with is kept, they may fail."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]

_TOOLS = ("terraform", "ansible-playbook", "kubectl", "ssh", "docker", "make", "curl", "kind")

_WORKLOADS = {
    "StatefulSet": ["opensearch", "postgres", "s3"],
    "Job": ["airflow-migrate", "opensearch-setup", "postgres-setup", "s3-setup"],
    "Deployment": ["api", "airflow-scheduler", "bot", "collector", "mlflow", "something-new"],
}

_STILL = {"Namespace": "tickloop", "ConfigMap": "tickloop-env", "Service": "postgres"}

# Which workload reads which Secret, as far as tests of rotation ask.
_READERS = {"deployment.apps/api": "tickloop-stores", "deployment.apps/dashboard": "tickloop-api"}


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class World:
    """One checkout; `run` runs a script of it, `calls` gives what the tools were called with so far."""

    repository: Path
    shim: Path

    @property
    def terraform(self) -> Path:
        return self.repository / "deploy" / "terraform"

    @property
    def static(self) -> Path:
        return self.terraform / "static"

    def run(self, script: str, *arguments: str, answers: str | None = None, **environment: str) -> Result:
        env = {
            "PATH": f"{self.shim / 'bin'}:/usr/bin:/bin",
            "HOME": str(self.repository),
            "SHIM": str(self.shim),
            "SHIM_REPOSITORY": str(self.repository),
            "IMAGE_TAG": "0123456789ab",
            "TICKLOOP_POLL_S": "0",
            **({"TICKLOOP_ASK": "stdin"} if answers is not None else {}),
            **environment,
        }
        command = [str(self.repository / script), *arguments]
        told = subprocess.run(command, env=env, input=answers or "", capture_output=True, text=True, timeout=300)
        return Result(told.returncode, told.stdout, told.stderr)

    def calls(self) -> list[str]:
        path = self.shim / "calls"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def forget_calls(self) -> None:
        (self.shim / "calls").unlink(missing_ok=True)
        (self.shim / "order").unlink(missing_ok=True)

    def fail(self, part: str, times: int = 1, saying: str = "") -> None:
        """Let the next calls fail whose line holds this text."""
        folder = self.shim / "fail"
        (folder / str(len(list(folder.iterdir())))).write_text(f"{part}\n{times}\n{saying}\n", encoding="utf-8")

    def position(self, part: str) -> int:
        """Give when a tool was first called with this text."""
        found = [number for number, line in enumerate(self.calls()) if part in line]
        assert found, f"nothing was called with {part!r}: {self.calls()}"
        return found[0]

    def was_called(self, part: str) -> bool:
        return any(part in line for line in self.calls())

    def value(self, name: str) -> str:
        return (self.static / "secrets" / "values" / name).read_text(encoding="utf-8")

    def secret(self, name: str, key: str) -> str:
        return (self.static / "secrets" / "k8s" / name / key).read_text(encoding="utf-8")

    def fill_in(self) -> None:
        """Write what a person has to give."""
        self.static.mkdir()
        key = self.static / "ssh_key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "me", "-f", str(key)], check=True)
        (self.static / "credentials.json").write_text(
            '{"type": "service_account", "project_id": "project-of-tests", "private_key": "none"}', encoding="utf-8"
        )
        (self.terraform / "terraform.tfvars").write_text(
            'iam_user_name = "me"\nmy_project_id = "project-of-tests" # mine\nmy_ssh_key = "ssh_key.pub"\n',
            encoding="utf-8",
        )


def world(folder: Path) -> World:
    """Make a checkout with nothing filled in."""
    repository, shim = folder / "checkout", folder / "shim"
    for script in ("start.sh", "terminate.sh", "status.sh"):
        repository.mkdir(exist_ok=True)
        shutil.copy2(REPOSITORY / script, repository / script)
    shutil.copytree(REPOSITORY / "deploy" / "scripts", repository / "deploy" / "scripts")
    shutil.copy2(REPOSITORY / "deploy" / "cluster.yaml", repository / "deploy" / "cluster.yaml")
    (repository / "deploy" / "terraform").mkdir()
    shutil.copy2(REPOSITORY / "deploy" / "terraform" / "terraform.tfvars.example", repository / "deploy" / "terraform")
    (repository / "deploy" / "ansible").mkdir()
    (repository / "deploy" / "ansible" / "site.yml").write_text("[]\n", encoding="utf-8")
    for part in ("bin", "fail", "applied", "readers"):
        (shim / part).mkdir(parents=True)
    for tool in _TOOLS:
        (shim / "bin" / tool).symlink_to(Path(__file__).with_name("shim.sh"))
    (shim / "manifests.yaml").write_text(_manifests(), encoding="utf-8")
    (shim / "workloads").write_text("\n".join(_READERS) + "\n", encoding="utf-8")
    for reader, secret in _READERS.items():
        text = f"spec:\n  - secretRef:\n      name: {secret}\n"
        (shim / "readers" / reader.replace("/", "-")).write_text(text, encoding="utf-8")
    return World(repository, shim)


def _manifests() -> str:
    objects = list(_STILL.items()) + [(kind, name) for kind, names in _WORKLOADS.items() for name in names]
    return "---\n".join(
        f"apiVersion: v1\nkind: {kind}\nmetadata:\n  labels:\n    name: none\n  name: {name}\n  namespace: tickloop\n"
        for kind, name in objects
    )
