"""Bars -> feature vectors, by the one definition that training, serving and the bot share."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tickloop.domain.features import FEATURE_SETS, compute_features
from tickloop.domain.schedule import DUE
from tickloop.domain.tables import BAR_1M, FEATURE
from tickloop.domain.window import DAY_MS, HOUR_MS, Window, hour_of
from tickloop.services.steps import RunRow, StepPorts, record_runs

_REACH_MS = 7 * DAY_MS


def features(ports: StepPorts, market: str, window: Window) -> dict[str, Any]:
    """Replace the feature vectors of a window, one for each bar that has enough bars behind it; counts: `rows`."""
    name = ports.training.feature_set
    behind = FEATURE_SETS[name].window - 1
    # Bars, not minutes: where minutes had no trade the look-back reaches further.
    before = ports.warehouse.read(BAR_1M, market, Window(0, window.start_ms), last=behind)
    inside = ports.warehouse.read(BAR_1M, market, window)
    opens, matrix = compute_features(pl.concat([before, inside]), name)
    is_inside = opens >= window.start_ms
    rows = _rows(market, name, opens[is_inside], matrix[is_inside])
    return {"rows": ports.warehouse.replace(FEATURE, market, window, rows)}


def mark_later(ports: StepPorts, market: str, window: Window) -> None:
    """Mark features due of the hours that look back into a window whose bars changed, however quiet the market was.

    The hour right after the window is due by the rules of the schedule. A market with too few bars in a week is looked
    at for that week only.
    """
    left = FEATURE_SETS[ports.training.feature_set].window - 1
    end_ms = min(window.end_ms + _REACH_MS, ports.clock.now_ms())
    hours: set[Window] = set()
    for start in range(window.end_ms, end_ms, DAY_MS):
        opens = ports.warehouse.read(BAR_1M, market, Window(start, start + DAY_MS))["ts_open"].to_physical().head(left)
        hours.update(hour_of(open_ms) for open_ms in opens)
        left -= len(opens)
        if left <= 0:
            break
    later = sorted(hour for hour in hours if hour.start_ms >= window.end_ms + HOUR_MS)
    if later:
        record_runs(ports, [RunRow("features", market, hour, DUE, {}) for hour in later])


def _rows(market: str, name: str, opens: NDArray[np.int64], matrix: NDArray[np.float64]) -> pl.DataFrame:
    little_endian = np.ascontiguousarray(matrix, dtype="<f8")
    columns = {
        "market": [market] * len(opens),
        "ts_open": opens,
        "feature_set": [name] * len(opens),
        "vector": [row.tobytes() for row in little_endian],
    }
    return pl.DataFrame(columns, schema=FEATURE.columns)
