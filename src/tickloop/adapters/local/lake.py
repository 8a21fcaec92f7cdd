"""The lake in a folder: one Parquet file per market and hour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from tickloop.adapters.local.files import write_whole
from tickloop.adapters.local.lake_format import decode_trades, encode_trades
from tickloop.domain.market import is_market
from tickloop.domain.rows import check_rows, pick_columns
from tickloop.domain.tables import TRADE
from tickloop.domain.window import Window, hour_of
from tickloop.errors import DataError, UsageError, WindowError


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

    def get(self, market: str, hour: Window, columns: Sequence[str] | None = None) -> pl.DataFrame | None:
        """Give the TRADE frame of an hour as it was put, or some columns of it, or None when it never was.

        Raises:
            DataError: the file is not one of ours, or not of this market and hour (as far as the columns tell).
            UsageError: TRADE has no such column.
        """
        names = pick_columns(TRADE, columns)
        path = self._path(market, hour)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            trades = decode_trades(content, names)
            _check(trades, market, hour)
        except DataError as exc:
            raise DataError(f"{path} cannot be read: {exc}; remove it and extract the hour again") from exc
        return trades

    def _path(self, market: str, hour: Window) -> Path:
        if not is_market(market):
            raise UsageError(f"market {market!r} has not the form of a market; valid: KRW-BTC")
        if hour != hour_of(hour.start_ms):
            raise WindowError(f"window {hour} is not one whole hour; valid: {hour_of(hour.start_ms)}")
        return self._folder / f"market={market}" / f"date={hour.start:%Y-%m-%d}" / f"hour={hour.start:%H}.parquet"


def _check(trades: pl.DataFrame, market: str, hour: Window) -> None:
    """Pass what was read of an hour; only columns that were read can be looked at."""
    names = trades.columns
    part = replace(
        TRADE,
        columns={name: TRADE.columns[name] for name in names},
        required=tuple(name for name in TRADE.required if name in names),
    )
    check_rows(part, trades, market if "market" in names else None, hour if TRADE.time in names else None)
