"""Terraform's text as plain values, read by python-hcl2 in an environment of its own: scripts/envs.sh hcl2."""

from __future__ import annotations

import json
import os
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

TERRAFORM = Path(__file__).parents[2] / "deploy" / "terraform"

_READ = "import hcl2, json, sys; json.dump([hcl2.load(open(p)) for p in sys.argv[1:]], sys.stdout)"


def _python() -> Path:
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tickloop"
    python = Path(os.environ.get("TICKLOOP_ENVS") or caches / "envs") / "hcl2" / "bin" / "python"
    if not python.exists():
        pytest.skip("python-hcl2 is not installed: sh scripts/envs.sh hcl2")
    return python


@cache
def _all_files() -> dict[Path, dict[str, list[Any]]]:
    """Read every file in one process: it is the reader's start that takes long."""
    files = sorted(TERRAFORM.rglob("*.tf"))
    told = subprocess.run([_python(), "-c", _READ, *files], capture_output=True, text=True, check=True)
    return dict(zip(files, map(_plain, json.loads(told.stdout)), strict=True))


def blocks(folder: Path = TERRAFORM) -> dict[str, list[Any]]:
    """Give all blocks of the files of one folder by their kind: `resource`, `variable` and so on."""
    found: dict[str, list[Any]] = {}
    for path, file in _all_files().items():
        if path.parent == folder:
            for kind, values in file.items():
                found.setdefault(kind, []).extend(values)
    return found


def named(kind: str, folder: Path = TERRAFORM) -> dict[str, dict[str, Any]]:
    """Give the blocks with one label, such as variables, by it."""
    return {name: body for block in blocks(folder).get(kind, []) for name, body in block.items()}


def resources() -> dict[str, dict[str, Any]]:
    """Give the resources of the google root by `type.name`."""
    return {
        f"{kind}.{name}": body
        for block in blocks()["resource"]
        for kind, inner in block.items()
        for name, body in inner.items()
    }


def references(value: object, pattern: str) -> set[str]:
    """Give what stands behind e.g. `var.` anywhere in a value."""
    return set(re.findall(pattern, json.dumps(value)))


def _plain(value: Any) -> Any:
    """Take the marks away that python-hcl2 leaves on names and texts."""
    if isinstance(value, dict):
        return {str(_plain(key)): _plain(one) for key, one in value.items() if not key.startswith("__")}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, str) and len(value) > 1 and value.startswith('"') and value.endswith('"'):
        return value[1:-1]
    return value
