"""The lake in a folder: one Parquet file per market and hour."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from tickloop.adapters.local.files import write_whole
from tickloop.domain.market import is_market
from tickloop.domain.rows import check_rows
from tickloop.domain.tables import TRADE
from tickloop.domain.window import Window, hour_of
from tickloop.errors import DataError, UsageError, WindowError

_DELTA = ("trade_id", "ts_event", "ts_received", "arrival", "qty_e8")
_ENCODING = {**dict.fromkeys(_DELTA, "DELTA_BINARY_PACKED"), "price": "BYTE_STREAM_SPLIT"}
_WORDS = ["market", "side", "change", "source"]


class ParquetLake:
    """Files `market=KRW-BTC/date=2024-01-22/hour=00.parquet` below one folder, UTC."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, market: str, hour: Window, trades: pl.DataFrame) -> int:
        """Write a TRADE frame and sync it; give its size in bytes.

        Raises:
            DataError: a row is not of this market and hour, or lacks a value; the old file stands.
            HomeNotWritableError: the folder cannot be written or is full; the old file stands.
        """
        path = self._path(market, hour)
        check_rows(TRADE, trades, market, hour)
        content = encode_trades(trades)
        write_whole(path, content)
        return len(content)

    def get(self, market: str, hour: Window) -> pl.DataFrame | None:
        """Give the TRADE frame of an hour as it was put, or None when it never was.

        Raises:
            DataError: the file is not one of ours, or not of this market and hour.
        """
        path = self._path(market, hour)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            trades = decode_trades(content)
            check_rows(TRADE, trades, market, hour)
        except DataError as exc:
            raise DataError(f"{path} cannot be read: {exc}; remove it and extract the hour again") from exc
        return trades

    def _path(self, market: str, hour: Window) -> Path:
        if not is_market(market):
            raise UsageError(f"market {market!r} has not the form of a market; valid: KRW-BTC")
        if hour != hour_of(hour.start_ms):
            raise WindowError(f"window {hour} is not one whole hour; valid: {hour_of(hour.start_ms)}")
        return self._folder / f"market={market}" / f"date={hour.start:%Y-%m-%d}" / f"hour={hour.start:%H}.parquet"


def encode_trades(trades: pl.DataFrame) -> bytes:
    """Give the Parquet form of a TRADE frame; equal frames give equal bytes with equal library versions."""
    sink = pa.BufferOutputStream()
    pq.write_table(
        trades.to_arrow().cast(_arrow_schema()),
        sink,
        compression="zstd",
        use_dictionary=_WORDS,
        column_encoding=_ENCODING,
        store_schema=False,  # else the arrow schema is stored a second time, 1 kB an hour
    )
    return bytes(sink.getvalue())


def decode_trades(content: bytes) -> pl.DataFrame:
    """Read `encode_trades`; `DataError` when the bytes are no Parquet or hold other columns."""
    try:
        with pq.ParquetFile(pa.BufferReader(content)) as file:
            frame = pl.DataFrame(pl.from_arrow(file.read()))
        return frame.cast({name: dtype for name, dtype in TRADE.columns.items() if name in frame.columns})
    except (pa.ArrowException, OSError, pl.exceptions.PolarsError) as exc:
        raise DataError(f"not a Parquet file of trades: {exc}") from exc


def _arrow_schema() -> Any:
    return pa.schema([(name, _arrow_type(dtype)) for name, dtype in TRADE.columns.items()])


def _arrow_type(dtype: pl.DataType) -> Any:
    if isinstance(dtype, pl.Datetime):
        return pa.timestamp(dtype.time_unit, tz="UTC")
    if dtype == pl.Int64:
        return pa.int64()
    return pa.float64() if dtype == pl.Float64 else pa.string()
