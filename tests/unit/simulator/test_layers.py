"""The packages of the simulator stand on one another in one order."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SIMULATOR = Path(__file__).parents[3] / "src" / "tickloop" / "simulator"

ORDER = ("prices", "faults", "account", "protocol", "control")
"""Each imports from itself and those before it; `clock` and `refusal` are for all of them."""

SHARED = {"clock", "refusal"}


def imports(path: Path) -> set[str]:
    """Give the parts of the simulator that a module imports."""
    found = (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.ImportFrom))
    modules = (node.module.split(".") for node in found if node.module is not None)
    return {parts[2] for parts in modules if parts[:2] == ["tickloop", "simulator"]}


@pytest.mark.parametrize("package", ORDER)
def test_package_imports_only_what_stands_below_it(package: str) -> None:
    below = {*ORDER[: ORDER.index(package) + 1], *SHARED}

    found = {path.name: imports(path) - below for path in (SIMULATOR / package).glob("*.py")}

    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def test_no_module_stands_outside_the_packages_but_those_that_are_known() -> None:
    outside = {path.stem for path in SIMULATOR.glob("*.py")}

    assert outside == {"__init__", "server", "config", *SHARED}
    assert {path.parent.name for path in SIMULATOR.glob("*/__init__.py")} == set(ORDER)
