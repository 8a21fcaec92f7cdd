"""What the tests of deploy/ansible share: where its tools lie, and how each is run."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ANSIBLE = ROOT / "deploy" / "ansible"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tickloop"
ENVIRONMENT = Path(os.environ.get("TICKLOOP_ENVS") or CACHE / "envs") / "ansible"


def cluster() -> dict[str, Any]:
    """Read what the parts of deploy agree on."""
    values: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "cluster.yaml").read_text(encoding="utf-8"))
    return values


def documents(text: str) -> dict[str, dict[str, Any]]:
    """Read several YAML documents, by their kinds."""
    return {document["kind"]: document for document in yaml.safe_load_all(text)}


def run(*arguments: str | Path, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program; the caller looks at how it ended."""
    return subprocess.run(
        [str(argument) for argument in arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | (environment or {}),
    )


def render(folder: Path, cases: dict[str, dict[str, object]]) -> dict[str, dict[str, str]]:
    """Let Ansible render every template of the roles, for each case of variables that differ; by case and file."""
    playbook = ENVIRONMENT / "bin" / "ansible-playbook"
    if not playbook.exists():
        pytest.skip("Ansible is not there: sh scripts/envs.sh ansible")
    out, given = folder / "rendered.json", folder / "given.json"
    templates = sorted(str(path) for path in ANSIBLE.glob("roles/*/templates/*.j2"))
    given.write_text(json.dumps({"out": str(out), "templates": templates, "cases": cases}), encoding="utf-8")
    done = run(
        playbook, "-i", ANSIBLE / "inventory.example.yml", ROOT / "tests/deploy/ansible_render.yml", "-e", f"@{given}",
        environment={"ANSIBLE_HOME": str(folder / "home")},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    rendered: dict[str, dict[str, str]] = json.loads(out.read_text(encoding="utf-8"))
    return rendered


def kubernetes_program(name: str) -> Path:
    """Find a program of the Kubernetes that deploy/cluster.yaml names, built from its source."""
    found = run("sh", "scripts/servers/kubernetes.sh", "path")
    program = Path(found.stdout.strip()) / name
    if found.returncode != 0 or not program.exists():
        pytest.skip(f"{name} is not there: sh scripts/servers/kubernetes.sh install")
    return program
