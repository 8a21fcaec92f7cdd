"""One number for what a home holds, so that two ways of making it can be compared: laptop and cluster, loop and DAG."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from tickloop.domain.tables import BACKTEST, BAR_1M, FEATURE, LEDGER, TRADE
from tickloop.domain.window import Window
from tickloop.ports import Lake, ModelRegistry, Warehouse

TABLES = (TRADE, LEDGER, BAR_1M, FEATURE, BACKTEST)
"""What the steps make of data alone; REPAIR and RUN say when and how often."""


def digest(frame: pl.DataFrame) -> str:
    """Give the SHA-256 of a frame: names, types, order of rows, and every value to the last bit.

    Nothing of how it lies in memory counts. All NaN are one, -0.0 is not 0.0.
    """
    found = hashlib.sha256()
    for name, series in zip(frame.columns, frame.iter_columns(), strict=True):
        found.update(f"{name} {series.dtype} {len(series)}\n".encode())
        nulls = series.is_null().to_numpy()
        found.update(np.packbits(nulls).tobytes())
        for part in _values(series.drop_nulls()):
            found.update(part)
    return found.hexdigest()


def _values(series: pl.Series) -> list[bytes]:
    if series.dtype.is_float():
        values = series.cast(pl.Float64).to_numpy()
        return [np.where(np.isnan(values), np.nan, values).astype("<f8").tobytes()]
    if series.dtype.is_temporal() or series.dtype.is_integer():
        return [series.to_physical().cast(pl.Int64).to_numpy().astype("<i8").tobytes()]
    if series.dtype == pl.Boolean:
        return [series.cast(pl.UInt8).to_numpy().tobytes()]
    cells = [value if isinstance(value, bytes) else str(value).encode() for value in series.to_list()]
    return [b"%d:%b" % (len(cell), cell) for cell in cells]


def table_digests(warehouse: Warehouse, market: str, window: Window | None = None) -> dict[str, str]:
    """Give the digest of every table of TABLES for one market."""
    return {table.name: digest(warehouse.read(table, market, window)) for table in TABLES}


def lake_digests(lake: Lake, market: str, window: Window) -> dict[str, str | None]:
    """Give the digest of each hour's object, None where there is none."""
    frames = {str(hour): lake.get(market, hour) for hour in window.hours()}
    return {hour: None if frame is None else digest(frame) for hour, frame in frames.items()}


def model_digests(registry: ModelRegistry, market: str) -> dict[str, Any]:
    """Give, per version, the SHA-256 of each of its files, its metrics and aliases; and the decisions."""
    versions = {
        version.name: {
            "files": {name: hashlib.sha256(data).hexdigest() for name, data in registry.files(version).items()},
            "metrics": dict(version.metrics),
            "aliases": sorted(version.aliases),
        }
        for version in registry.versions(market)
    }
    decisions = [
        (one.slot_start_ms, one.champion, one.previous, one.is_promoted, one.reason, dict(one.scores))
        for one in registry.decisions(market)
    ]
    return {"versions": versions, "decisions": json.loads(json.dumps(decisions))}


def home_digests(
    warehouse: Warehouse, lake: Lake, registry: ModelRegistry, markets: Sequence[str], window: Window
) -> dict[str, Any]:
    """Give all of the above for a home: equal for two homes that were made of the same events.

    Args:
        window: the live hours, for the lake; tables are taken as a whole.
    """
    return {
        market: {
            "tables": table_digests(warehouse, market),
            "lake": lake_digests(lake, market, window),
            "models": model_digests(registry, market),
        }
        for market in markets
    }
