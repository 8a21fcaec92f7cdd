"""Candles with forecast line and marks: our small component around the bundled charting library."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

from tickloop.entrypoints.dashboard.views import BUY_COLOR, SELL_COLOR

STATIC = Path(__file__).parent / "static"
HEIGHT_PX = 460

_COLORS = {"text": "#8b93a5", "grid": "rgba(139, 147, 165, 0.18)", "buy": BUY_COLOR, "sell": SELL_COLOR}


@cache
def _component() -> Any:
    library = (STATIC / "lightweight-charts.standalone.production.js").read_text(encoding="utf-8")
    ours = (STATIC / "chart.js").read_text(encoding="utf-8")
    return st.components.v2.component(
        "tickloop.chart",
        html='<div class="tickloop-chart"></div>',
        css=f".tickloop-chart {{ height: {HEIGHT_PX}px; width: 100%; }}",
        js=f"{library}\n{ours}",
        isolate_styles=False,
    )


def show_chart(data: dict[str, Any]) -> None:
    """Draw one market; the same mount takes new data without being built again."""
    _component()(key="tickloop-chart", data={**data, "colors": _COLORS}, height=HEIGHT_PX)
