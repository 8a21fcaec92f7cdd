"""The page about a walk-forward."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from fakes import MemoryWarehouse
from honest_worlds import CASH, MARKET, RIDE, edge_world, window
from report_world import Seen
from tickloop.domain.backtest_job import Job
from tickloop.domain.folds import Plan
from tickloop.domain.search import Search
from tickloop.domain.walkforward_result import WalkForward
from tickloop.domain.window import DAY_MS
from tickloop.entrypoints.report.html import krw
from tickloop.entrypoints.report.walkforward import walkforward_page
from tickloop.services.sweep_units import Runner
from tickloop.services.walkforward import walk


@pytest.fixture(scope="module")
def walked() -> WalkForward:
    job = Job(MARKET, window(4), values=RIDE, budget=CASH, version="made-1")
    ports = SimpleNamespace(warehouse=MemoryWarehouse())
    search = Search(job, ("min_edge=0.0005,0.002",))
    return walk(ports, Runner(job, edge_world(1, 4)), search, Plan(2 * DAY_MS, DAY_MS), permutations=39)


def test_page_begins_with_the_verdict_and_has_a_row_for_each_fold(walked: WalkForward) -> None:
    """What was chosen, and what it made in sample and out of it."""
    seen = Seen(walkforward_page(walked))

    words = seen.text
    assert words.index(walked.judgement.verdict.text) < words.rindex("walked forward")
    for run in walked.runs:
        assert str(run.fold.test) in words
        assert krw(run.profit_krw, signed=True) in words
        assert krw(run.best.figures.profit_krw, signed=True) in words
    assert "Luck or skill" in words
    assert "valued at its last price after the fee of selling" in words


def test_page_takes_no_text_for_markup(walked: WalkForward) -> None:
    """A strategy of a file may be called anything."""
    page = walkforward_page(replace(walked, strategy="<b>mine</b>.py:dip"))

    assert "<b>mine" not in page
    assert "&lt;b&gt;mine" in page
