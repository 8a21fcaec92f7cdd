"""Imports point one way, and each client library is used in its own place only."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "tickloop"

ALLOWED = {
    "errors": set(),
    "domain": {"errors", "domain"},
    "ports": {"errors", "domain", "ports"},
    "settings": {"errors", "domain"},
    "services": {"errors", "domain", "ports", "settings", "services"},
    "adapters": {"errors", "domain", "ports", "adapters"},
    "simulator": {"errors", "domain", "simulator"},
    "bootstrap": {"errors", "domain", "ports", "settings", "services", "adapters", "bootstrap"},
    "entrypoints": {
        "errors",
        "domain",
        "ports",
        "settings",
        "services",
        "adapters",
        "bootstrap",
        "simulator",
        "entrypoints",
    },
}
"""Room -> rooms that it may import. `__init__` and `__main__` stand outside."""

OWNERS = {
    "numba": {"domain/kernel.py", "domain/kernel_bytes.py"},
    "llvmlite": {"domain/kernel_bytes.py"},
    "lightgbm": {"adapters/lightgbm"},
    "mlflow": {"adapters/mlflow"},
    "optuna": {"adapters/optuna"},
    "sqlite3": {"adapters/local", "simulator"},  # the simulated exchange keeps its own account
    "pyarrow": {"adapters/common"},
    "opensearchpy": {"adapters/opensearch"},
    "psycopg": {"adapters/postgres"},
    "adbc_driver_postgresql": {"adapters/postgres"},
    "boto3": {"adapters/s3"},
    "botocore": {"adapters/s3"},
    "airflow": {"entrypoints/dags"},
    "httpx": {"adapters/upbit", "adapters/webhook", "entrypoints/demo", "entrypoints/dashboard"},
    "websockets": {"adapters/upbit"},
    "aiohttp": {"adapters/upbit", "simulator"},
    "jwt": {"adapters/upbit", "simulator"},
    "fastapi": {"entrypoints/api"},
    "starlette": {"entrypoints/api"},
    "uvicorn": {"entrypoints/api"},
    "prometheus_client": {"entrypoints/api"},
    "streamlit": {"entrypoints/dashboard"},
    "rich": {"entrypoints/demo", "entrypoints/commands/progress.py"},
    "typer": {"entrypoints"},
    "plotly": {"entrypoints/notebook"},
    "pandas": set(),
}
"""Client library -> the places that may import it."""


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize(
    "path",
    [path for path in sources() if room(path) not in ("__init__", "__main__", "recordings")],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_module_imports_only_what_its_room_may(path: Path) -> None:
    """The arrows of ARCHITECTURE.md."""
    found = {name.split(".")[1] for name in imports(path) if name.startswith("tickloop.")}

    assert found - {"__version__"} <= ALLOWED[room(path)]


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_client_library_is_imported_in_its_own_place(path: Path) -> None:
    """A second user of a client library is a second adapter."""
    place = path.relative_to(PACKAGE).as_posix()

    wrong = [
        name
        for name in imports(path)
        if (owners := OWNERS.get(name.split(".")[0])) is not None
        and not any(place.startswith(owner) for owner in owners)
    ]

    assert wrong == []


def test_no_module_reads_the_wall_clock_in_domain_or_services() -> None:
    """Time comes from a Clock that is passed in."""
    wrong = [
        f"{path.relative_to(PACKAGE)}: {name}"
        for path in sources()
        if room(path) in ("domain", "services")
        for name in imports(path)
        if name == "time" or name.startswith("time.")
    ]

    assert wrong == []


def test_modules_form_no_import_cycle() -> None:
    """Each module can be read after those that it imports; imports inside functions and for types count too."""
    graph = {
        _module(path): {_target(name) for name in imports(path) if name.startswith("tickloop.")} for path in sources()
    }
    known = set(graph)
    edges = {module: {name for name in names if name in known and name != module} for module, names in graph.items()}

    done: set[str] = set()
    while ready := {module for module in edges if module not in done and edges[module] <= done}:
        done |= ready

    assert sorted(set(edges) - done) == []


def _module(path: Path) -> str:
    return ".".join(("tickloop", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")


def _target(name: str) -> str:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        candidate = PACKAGE.joinpath(*parts[1:length])
        if candidate.with_suffix(".py").is_file() or (length > 1 and candidate.is_dir()):
            return ".".join(parts[:length])
    return name
