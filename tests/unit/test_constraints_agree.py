"""Two environments, one set of versions: what the app computes, Airflow's workers compute to the same bits."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]

MAY_DIFFER = {"fastapi", "starlette", "python-dateutil"}
"""Airflow caps fastapi, pendulum caps python-dateutil; no step imports either."""

MUST_BE_IN_BOTH = {"lightgbm", "llvmlite", "mlflow-skinny", "numba", "numpy", "polars", "pyarrow", "pydantic", "scipy"}


def versions(name: str) -> dict[str, str]:
    """Read `name==version` lines, names as PEP 503 writes them."""
    found = {}
    for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
        match = re.fullmatch(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.!+_-]+)", line)
        assert match is not None, f"{name}: {line!r} is not name==version"
        found[re.sub(r"[-_.]+", "-", match[1]).lower()] = match[2]
    return found


def test_both_files_agree_on_every_name_that_they_share() -> None:
    """But for three that Airflow's own limits decide."""
    app, airflow = versions("constraints.txt"), versions("constraints-airflow.txt")

    different = {name: (app[name], airflow[name]) for name in app.keys() & airflow.keys() if app[name] != airflow[name]}

    assert set(different) <= MAY_DIFFER, different


def test_what_computes_is_in_both_files() -> None:
    """A library that one environment lacks cannot agree."""
    assert versions("constraints.txt").keys() >= MUST_BE_IN_BOTH
    assert versions("constraints-airflow.txt").keys() >= MUST_BE_IN_BOTH


def test_airflow_and_the_api_are_never_in_one_environment() -> None:
    """The app's file has no Airflow, and Airflow's a fastapi below its limit."""
    assert "apache-airflow" not in versions("constraints.txt")
    assert versions("constraints-airflow.txt")["fastapi"].startswith("0.136.")
