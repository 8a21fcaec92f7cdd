"""Write the page about a run to a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tickloop.bootstrap import App
from tickloop.domain.backtest_inputs import Inputs
from tickloop.domain.backtest_result import BacktestResult
from tickloop.domain.judgement import Judgement
from tickloop.domain.tables import BAR_1M
from tickloop.domain.window import Window
from tickloop.entrypoints.report.judged import judgement_section
from tickloop.entrypoints.report.page import Subject, backtest_page
from tickloop.entrypoints.report.search import search_section
from tickloop.errors import UsageError


def check_page(path: Path | None) -> None:
    """Refuse a name that no page can be written to, before anything is run.

    Raises:
        UsageError: naming the path and what would be valid.
    """
    if path is None:
        return
    if path.suffix not in (".html", ".htm"):
        raise UsageError(f"page {path} is no HTML file by its name; valid: a name that ends in .html")
    if not path.parent.is_dir():
        raise UsageError(f"page {path} lies in no folder that is there; valid: a folder that exists")


def write_page(
    path: Path,
    app: App,
    window: Window,
    inputs: Inputs,
    result: BacktestResult,
    judgement: Judgement,
    sweep: Mapping[str, Any] | None = None,
) -> None:
    """Write the page about a run, and about the search that found its parameters if it was one.

    Args:
        sweep: `services.sweep.Sweep.as_dict()`.
    """
    candles = app.warehouse.read(BAR_1M, inputs.market, window)
    sections = [judgement_section(judgement.as_dict())]
    if sweep is not None:
        sections.insert(0, search_section(sweep))
    verdict = (judgement.verdict.kind.value, judgement.verdict.text)
    page = backtest_page(Subject(result, inputs, candles, verdict, tuple(sections)))
    path.write_text(page, encoding="utf-8")
