"""The lake in a folder: one Parquet file per market and hour."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from tickloop.adapters.common.lake_layout import decode_hour, encode_hour, market_name, object_name
from tickloop.adapters.local.files import write_whole
from tickloop.domain.rows import pick_columns
from tickloop.domain.tables import TRADE
from tickloop.domain.window import Window


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
        path = self._folder / object_name(market, hour)
        content = encode_hour(market, hour, trades)
        write_whole(path, content)
        return len(content)

    def get(self, market: str, hour: Window, columns: Sequence[str] | None = None) -> pl.DataFrame | None:
        """Give the TRADE frame of an hour as it was put, or some columns of it, or None when it never was.

        Raises:
            DataError: the file is not one of ours, or not of this market and hour (as far as the columns tell).
            UsageError: TRADE has no such column.
        """
        names = pick_columns(TRADE, columns)
        path = self._folder / object_name(market, hour)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        return decode_hour(content, market, hour, names, str(path))

    def hours(self, market: str, window: Window) -> list[Window]:
        """Give the hours of the window that were put, oldest first; `WindowError` when its edges are no whole hours."""
        market_name(market)
        return [hour for hour in window.hours() if (self._folder / object_name(market, hour)).is_file()]

    def close(self) -> None:
        """Let go of nothing: each file is closed where it is opened."""
