"""Candles with forecast line and marks, and the purse: our small component around the bundled charting library.

The library has 200 KB and Streamlit sends a component's whole script with each change of its data. So the library is
a component of its own, which never changes and stands outside everything that refreshes; the chart's own script is
small and waits for it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

STATIC = Path(__file__).parent / "static"
HEIGHT_PX = 440
PURSE_HEIGHT_PX = 260

_LIBRARY_END = 'window.dispatchEvent(new Event("tickloop-library"));\nexport default function () {}\n'


def load_library() -> None:
    """Bring the charting library to the browser, once per page load; call it outside of every fragment."""
    _library()(key="tickloop-library")


def show_market(data: dict[str, Any]) -> None:
    """Draw one market, `views.chart_data`; the same mount takes new data without being built again."""
    _chart()(key="tickloop-market", data={"layout": "market", "height": HEIGHT_PX, **data})


def show_purse(data: dict[str, Any]) -> None:
    """Draw the bot's equity, `views.purse_data`."""
    _chart()(key="tickloop-purse", data={"layout": "purse", "height": PURSE_HEIGHT_PX, **data})


@cache
def _library() -> Any:
    library = (STATIC / "lightweight-charts.standalone.production.js").read_text(encoding="utf-8")
    return st.components.v2.component("tickloop.library", js=f"{library}\n{_LIBRARY_END}", isolate_styles=False)


@cache
def _chart() -> Any:
    return st.components.v2.component(
        "tickloop.chart",
        html='<div class="tickloop-chart"></div>',
        css=".tickloop-chart { width: 100%; }",
        js=(STATIC / "chart.js").read_text(encoding="utf-8"),
        isolate_styles=False,
    )
