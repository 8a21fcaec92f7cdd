"""The page about a back-test in a real browser: its charts are drawn, and it asks nobody for anything."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from browsing import opened
from report_world import bar_inputs, subject_of
from tickloop.entrypoints.report.page import backtest_page

pytestmark = pytest.mark.server

# Whether a chart has a pixel that is not its first one's colour.
DRAWN = """() => [...document.querySelectorAll(".chart")].map((place) =>
  [...place.querySelectorAll("canvas")].some((canvas) => {
    const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    return new Set(new Uint32Array(pixels.buffer)).size > 8;
  }))"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(backtest_page(subject_of(bar_inputs())), encoding="utf-8")
    return path


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (1200, "dark"), (390, "light")])
def test_page_draws_every_chart_without_errors_or_requests(
    report: Path, width: int, scheme: Literal["light", "dark"]
) -> None:
    """In both colours, and on a phone without scrolling sideways."""
    with opened(width, 900, scheme) as page:
        asked, said = list[str](), list[str]()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))

        page.goto(report.as_uri())
        page.wait_for_selector("html[data-drawn=yes]")
        page.wait_for_function(f"({DRAWN})().every(Boolean)")

        assert page.locator(".chart").count() == 3
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert asked == [report.as_uri()]
        assert said == []
