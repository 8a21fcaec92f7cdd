"""The lake in a folder: one Parquet file per market and hour."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import polars as pl

from tickloop.adapters.common.lake_format import open_trades
from tickloop.adapters.common.lake_layout import decode_hour, market_name, object_name, read_hour, write_hour
from tickloop.adapters.local.files import replacing
from tickloop.domain.rows import pick_columns
from tickloop.domain.tables import TRADE
from tickloop.domain.window import Window


class ParquetLake:
    """Files `market=KRW-BTC/date=2024-01-22/hour=00.parquet` below one folder, UTC."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, market: str, hour: Window, parts: Iterable[pl.DataFrame]) -> int:
        """Write TRADE frames and sync them; give the size in bytes.

        Raises:
            DataError: a row is not of this market and hour, lacks a value, or lies before one that came earlier; the
                old file stands.
            HomeNotWritableError: the folder cannot be written or is full; the old file stands.
        """
        with replacing(self._folder / object_name(market, hour)) as file:
            write_hour(market, hour, parts, file)
            return file.tell()

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

    def parts(self, market: str, hour: Window) -> Iterator[pl.DataFrame] | None:
        """Give an iterator over the TRADE frames of an hour, or None when it never was put; raises as `get`."""
        path = self._folder / object_name(market, hour)
        try:
            source = open_trades(path)
        except FileNotFoundError:
            return None
        return read_hour(source, market, hour, str(path))

    def hours(self, market: str, window: Window) -> list[Window]:
        """Give the hours of the window that were put, oldest first; `WindowError` when its edges are no whole hours."""
        market_name(market)
        return [hour for hour in window.hours() if (self._folder / object_name(market, hour)).is_file()]

    def close(self) -> None:
        """Let go of nothing: each file is closed where it is opened."""
