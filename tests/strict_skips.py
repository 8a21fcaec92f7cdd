"""A skip is a failure where TICKLOOP_TEST_REQUIRE_SERVERS=1, whoever asks for it: CI must not pass by leaving out."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest
from _pytest.reports import CollectErrorRepr


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and _is_strict():
        report.outcome, report.longrepr = "failed", _told(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a whole module, as `pytest.importorskip` leaves it out."""
    report = yield
    if report.skipped and _is_strict():
        report.outcome, report.longrepr = "failed", CollectErrorRepr(_told(report))
    return report


def _is_strict() -> bool:
    return os.environ.get("TICKLOOP_TEST_REQUIRE_SERVERS") == "1"


def _told(report: pytest.TestReport | pytest.CollectReport) -> str:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    return f"{report.nodeid} was left out where TICKLOOP_TEST_REQUIRE_SERVERS=1: {reason}"
