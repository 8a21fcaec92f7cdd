"""Bars -> feature vectors, by the one definition that training, serving and the bot share."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tickloop.domain.features import FEATURE_SETS, compute_features
from tickloop.domain.tables import BAR_1M, FEATURE
from tickloop.domain.window import Window
from tickloop.services.steps import StepPorts


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


def _rows(market: str, name: str, opens: NDArray[np.int64], matrix: NDArray[np.float64]) -> pl.DataFrame:
    little_endian = np.ascontiguousarray(matrix, dtype="<f8")
    columns = {
        "market": [market] * len(opens),
        "ts_open": opens,
        "feature_set": [name] * len(opens),
        "vector": [row.tobytes() for row in little_endian],
    }
    return pl.DataFrame(columns, schema=FEATURE.columns)
