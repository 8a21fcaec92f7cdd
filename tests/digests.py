"""One number for what a home holds, so that two ways of making it can be compared: laptop and cluster, loop and DAG."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from tickloop.domain.tables import BACKTEST, BAR_1M, FEATURE, LEDGER, TRADE
from tickloop.domain.window import Window
from tickloop.ports import Lake, ModelRegistry, Warehouse

TABLES = (TRADE, LEDGER, BAR_1M, FEATURE, BACKTEST)
"""What the steps make of data alone; REPAIR and RUN say when and how often."""

_NAMING = ("model_version", "result")  # columns of BACKTEST in which versions are named


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


def table_digests(
    warehouse: Warehouse, market: str, window: Window | None = None, names: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Give the digest of every table of TABLES for one market.

    Args:
        names: version -> the name that stands for it, from `stable_names`.
    """
    found = {}
    for table in TABLES:
        rows = warehouse.read(table, market, window)
        if table is BACKTEST and names is not None:
            renamed = [pl.col(column).map_elements(partial(renamed_in, names), pl.String) for column in _NAMING]
            rows = rows.with_columns(renamed).sort(table.time, *table.key)
        found[table.name] = digest(rows)
    return found


def stable_names(registry: ModelRegistry, market: str) -> dict[str, str]:
    """Give, per version, a name that does not depend on which of two candidates of a slot was registered first.

    A version's number is its place in the registry, so families that are fitted side by side swap theirs by luck.
    """
    return {one.name: f"{one.family}@{one.params.get('slot_start_ms', 'start')}" for one in registry.versions(market)}


def renamed_in(names: Mapping[str, str], text: str) -> str:
    return re.sub(r"[a-z_]+-\d+", lambda found: names.get(found[0], found[0]), text)


def lake_digests(lake: Lake, market: str, window: Window) -> dict[str, str | None]:
    """Give the digest of each hour's object, None where there is none."""
    frames = {str(hour): lake.get(market, hour) for hour in window.hours()}
    return {hour: None if frame is None else digest(frame) for hour, frame in frames.items()}


def model_digests(registry: ModelRegistry, market: str) -> dict[str, Any]:
    """Give, per version, the SHA-256 of each of its files, its metrics and aliases; and the decisions."""
    names = stable_names(registry, market)
    versions = {
        names[version.name]: {
            "files": {name: hashlib.sha256(data).hexdigest() for name, data in registry.files(version).items()},
            "metrics": dict(version.metrics),
            "aliases": sorted(version.aliases),
        }
        for version in registry.versions(market)
    }
    decisions = [
        {
            "slot": one.slot_start_ms,
            "champion": names[one.champion],
            "previous": None if one.previous is None else names[one.previous],
            "is_promoted": one.is_promoted,
            "reason": renamed_in(names, one.reason),
            "scores": {names[name]: score for name, score in one.scores.items()},
        }
        for one in registry.decisions(market)
    ]
    return {"versions": versions, "decisions": decisions}


def home_digests(
    warehouse: Warehouse, lake: Lake, registry: ModelRegistry, markets: Sequence[str], window: Window
) -> dict[str, Any]:
    """Give all of the above for a home: equal for two homes that were made of the same events.

    Args:
        window: the live hours, for the lake; tables are taken as a whole.
    """
    return {
        market: {
            "tables": table_digests(warehouse, market, names=stable_names(registry, market)),
            "lake": lake_digests(lake, market, window),
            "models": model_digests(registry, market),
        }
        for market in markets
    }
