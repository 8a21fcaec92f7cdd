"""Raw events of a window -> one Parquet object per hour in the lake."""

from __future__ import annotations

from typing import Any

from tickloop.domain.window import Window
from tickloop.services.steps import StepPorts


def extract(ports: StepPorts, market: str, window: Window) -> dict[str, Any]:
    """Replace the lake's objects of a window by what the raw store holds.

    Returns:
        Counts: `rows` (distinct trades), `lines` (as received), `repeats`, `dead` (unreadable lines since last read).
    """
    counts = {"rows": 0, "lines": 0, "repeats": 0, "dead": 0}
    for hour in window.hours():
        raw = ports.raw.read(market, hour)
        ports.lake.put(market, hour, raw.trades)
        counts["rows"] += raw.trades.height
        counts["lines"] += raw.lines
        counts["repeats"] += raw.repeats
        counts["dead"] += raw.dead
    return counts
