"""Raw events of a window -> one Parquet object per hour in the lake."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from tickloop.domain.window import Window
from tickloop.services.steps import StepPorts


def extract(ports: StepPorts, market: str, window: Window) -> dict[str, Any]:
    """Replace the lake's objects of a window by what the raw store holds, some thousand trades at a time.

    Returns:
        Counts: `rows` (distinct trades), `lines` (as received), `repeats`, `dead` (unreadable lines since last read).
    """
    counts = {"rows": 0, "lines": 0, "repeats": 0, "dead": 0}

    def counted(hour: Window) -> Iterator[pl.DataFrame]:
        for part in ports.raw.read(market, hour):
            counts["rows"] += part.trades.height
            counts["lines"] += part.lines
            counts["repeats"] += part.repeats
            counts["dead"] += part.dead
            yield part.trades

    for hour in window.hours():
        ports.lake.put(market, hour, counted(hour))
    return counts
