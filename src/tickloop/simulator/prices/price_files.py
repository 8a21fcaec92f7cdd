"""Prices from files of one's own: candles or trades as tables, under the exchange's names of columns or ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from tickloop.domain.market import QTY_UNITS
from tickloop.errors import CorruptRecordingError, UsageError
from tickloop.simulator.prices import capture
from tickloop.simulator.prices.recording import (
    CANDLE_COLUMNS,
    TAKER_SIDES,
    TRADE_COLUMNS,
    Kind,
    Recording,
    recording_of,
)

TABLES = (".parquet", ".csv")

_NAMES: dict[Kind, Mapping[str, tuple[str, ...]]] = {
    "candles": {
        "market": ("market", "code"),
        "ts_open": ("ts_open", "candle_date_time_utc"),
        "open": ("open", "opening_price"),
        "high": ("high", "high_price"),
        "low": ("low", "low_price"),
        "close": ("close", "trade_price"),
        "volume": ("volume", "candle_acc_trade_volume"),
    },
    "trades": {
        "market": ("market", "code"),
        "ts_event": ("ts_event", "trade_timestamp", "timestamp"),
        "price": ("price", "trade_price"),
        "qty": ("qty", "trade_volume", "qty_e8"),
        "trade_id": ("trade_id", "sequential_id"),
        "side": ("side", "ask_bid"),
        "prev_close": ("prev_close", "prev_closing_price"),
    },
}
"""Our column -> names that it may have, ours and those of the exchange's REST, WebSocket and candles."""

_OPTIONAL = {"trade_id": pl.Int64(), "side": pl.String(), "prev_close": pl.Float64()}

# fmt: off
_UNUSED: dict[Kind, frozenset[str]] = {
    "candles": frozenset((
        "candle_date_time_kst", "timestamp", "candle_acc_trade_price", "unit", "source", "notional", "vwap",
        "mean_price", "trades", "buy_volume", "sell_volume", "change_mode", "state",
    )),
    "trades": frozenset((
        "timestamp", "trade_date_utc", "trade_time_utc", "trade_date", "trade_time", "change", "change_price", "type",
        "stream_type", "ts_received", "arrival", "source", "capture_batch", "best_ask_price", "best_ask_size",
        "best_bid_price", "best_bid_size", "@timestamp", "doc_id",
    )),
}
# fmt: on
"""Columns that the exchange or our lake has too, and that nothing is made of."""


def load_file(path: Path) -> Recording:
    """Read candles, trades or raw frames from a file, or raw frames from a folder.

    Raises:
        UsageError: there is nothing of that name, or its name does not tell what it holds.
        CorruptRecordingError: naming file, row (from 0; line from 1 of raw frames), column, value and what is valid.
    """
    if not path.exists():
        raise UsageError(f"recording {str(path)!r} does not exist; valid: candles, bursts, seeded, a file or a folder")
    endings = [suffix for suffix in path.suffixes if suffix != ".gz"]
    ending = endings[-1] if endings else ""
    if path.is_dir() or ending in capture.ENDINGS:
        return capture.load_frames(path)
    if ending in TABLES:
        return _recording(path, _table(path, ending))
    valid = ", ".join((*TABLES, *capture.ENDINGS))
    raise UsageError(
        f"recording {path}: what {ending or 'a file without an ending'} holds is not known; valid: {valid}"
    )


def _table(path: Path, ending: str) -> pl.DataFrame:
    try:
        rows = pl.read_parquet(path) if ending == ".parquet" else pl.read_csv(path, infer_schema_length=None)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as exc:
        raise CorruptRecordingError(f"recording {path} is cut off or no {ending[1:]} file: {exc}") from exc
    if rows.is_empty():
        raise CorruptRecordingError(f"recording {path} has no rows; valid: at least one")
    return rows


def _recording(path: Path, rows: pl.DataFrame) -> Recording:
    kind: Kind = "candles" if {"open", "opening_price"} & set(rows.columns) else "trades"
    wanted = CANDLE_COLUMNS if kind == "candles" else {**TRADE_COLUMNS, **_OPTIONAL}
    chosen = _chosen(path, kind, rows)
    _require_minutes(path, rows)
    rows = rows.with_row_index("row")
    columns = [_cast(path, rows, chosen[name], name, dtype) for name, dtype in wanted.items() if name in chosen]
    return recording_of(path.name, kind, pl.DataFrame([rows["row"], *columns]), str(path))


def _chosen(path: Path, kind: Kind, rows: pl.DataFrame) -> dict[str, str]:
    """Give our column -> column of the file, and refuse a file with more or fewer than that."""
    names = _NAMES[kind]
    found = {ours: [name for name in theirs if name in rows.columns] for ours, theirs in names.items()}
    unknown = set(rows.columns) - {name for theirs in names.values() for name in theirs} - _UNUSED[kind]
    if unknown:
        valid = ", ".join(dict.fromkeys(name for theirs in names.values() for name in theirs))
        raise CorruptRecordingError(f"recording {path}: column {min(unknown)!r} of {kind} is not known; valid: {valid}")
    for ours, present in found.items():
        present[:] = [name for name in present if name not in _UNUSED[kind] or present == [name]]
        if not present and ours not in _OPTIONAL:
            raise CorruptRecordingError(f"recording {path} has no column {ours}; valid: {' or '.join(names[ours])}")
        if len(present) > 1:
            raise CorruptRecordingError(
                f"recording {path}: columns {' and '.join(present)} both tell {ours}; valid: one of them"
            )
    return {ours: present[0] for ours, present in found.items() if present}


def _require_minutes(path: Path, rows: pl.DataFrame) -> None:
    if "unit" in rows.columns and (wrong := rows.with_row_index("row").filter(pl.col("unit") != 1)).height:
        row = wrong.row(0, named=True)
        raise CorruptRecordingError(f"recording {path}, row {row['row']}: unit is {row['unit']}; valid: 1 (minute)")


def _cast(path: Path, rows: pl.DataFrame, name: str, ours: str, dtype: pl.DataType) -> pl.Series:
    """Give a column under our name and type; a value that has no place there is named with its row."""
    column = rows[name]
    if ours == "trade_id" and column.dtype.is_float():
        raise CorruptRecordingError(f"recording {path}: {name} is {column.dtype}, which loses digits; valid: {dtype}")
    cast = _in_ms(column) if ours.startswith("ts_") else column.cast(dtype, strict=False)
    if ours == "side":
        cast = cast.replace(TAKER_SIDES)
    if name == "qty_e8":
        cast = pl.Series(cast.to_numpy() / QTY_UNITS)  # polars multiplies by the inverse, which rounds twice
    wrong = cast.is_null() & column.is_not_null()
    if wrong.any():
        row = int(wrong.arg_max() or 0)
        raise CorruptRecordingError(
            f"recording {path}, row {row}: {name} is {column[row]!r}; valid: {_valid(ours, dtype)}"
        )
    return cast.alias(ours)


def _in_ms(column: pl.Series) -> pl.Series:
    if isinstance(column.dtype, pl.Datetime):
        return column.dt.epoch("ms")
    if column.dtype == pl.String:
        numbers = column.cast(pl.Int64, strict=False)
        text = column.str.strip_suffix("Z").str.replace(" ", "T")
        return numbers.fill_null(text.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", strict=False).dt.epoch("ms"))
    return column.cast(pl.Int64, strict=False)


def _valid(ours: str, dtype: pl.DataType) -> str:
    return "epoch ms, or UTC as 2026-03-04T05:06:00" if ours.startswith("ts_") else str(dtype)
