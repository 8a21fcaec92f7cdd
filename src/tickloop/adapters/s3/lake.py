"""The lake in a bucket: one Parquet object per market and hour, the same bytes under the same names as in a folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import polars as pl

from tickloop.adapters.common.lake_layout import (
    decode_hour,
    hour_of_name,
    market_name,
    object_name,
    read_hour,
    write_hour,
)
from tickloop.adapters.s3.bucket import Bucket, temporary_file
from tickloop.domain.rows import pick_columns
from tickloop.domain.tables import TRADE
from tickloop.domain.window import Window


class S3Lake:
    """Objects `PREFIX/market=KRW-BTC/date=2024-01-22/hour=00.parquet` of one bucket, UTC.

    Every method raises `StoreAwayError` and `StoreError` as `Bucket` does; a put that raised may have been done or not,
    and the old or the new hour stands, whole.
    """

    def __init__(self, bucket: Bucket, prefix: str) -> None:
        self._bucket = bucket
        self._root = f"{prefix.strip('/')}/".lstrip("/")

    def put(self, market: str, hour: Window, parts: Iterable[pl.DataFrame]) -> int:
        """Write TRADE frames; give the object's size in bytes. Nothing is sent before the last frame has come.

        Raises:
            DataError: a row is not of this market and hour, lacks a value, or lies before one that came earlier; the
                old object stands.
            DiskFullError: the folder for temporary files has no room for a large object; the old one stands.
        """
        key = self._root + object_name(market, hour)
        with temporary_file() as file:
            write_hour(market, hour, parts, file)
            return self._bucket.put_file(key, file)

    def get(self, market: str, hour: Window, columns: Sequence[str] | None = None) -> pl.DataFrame | None:
        """Give the TRADE frame of an hour as it was put, or some columns of it, or None when it never was.

        The object comes whole, whatever the columns: an hour is small, and a second request costs more than its bytes.

        Raises:
            DataError: the object is not one of ours, or not of this market and hour (as far as the columns tell).
            UsageError: TRADE has no such column.
        """
        names = pick_columns(TRADE, columns)
        key = self._root + object_name(market, hour)
        content = self._bucket.get(key)
        if content is None:
            return None
        return decode_hour(content, market, hour, names, self._place(key))

    def parts(self, market: str, hour: Window) -> Iterator[pl.DataFrame] | None:
        """Give an iterator over the TRADE frames of an hour, or None when it never was put; raises as `get`.

        The object lies in a temporary file meanwhile: so it is that of one moment, and its checksum was looked at.
        """
        key = self._root + object_name(market, hour)
        file = self._bucket.get_file(key)
        return None if file is None else read_hour(file, market, hour, self._place(key))

    def hours(self, market: str, window: Window) -> list[Window]:
        """Give the hours of the window that were put, oldest first; `WindowError` when its edges are no whole hours."""
        folder = f"{self._root}{market_name(market)}/"
        first = next(window.hours())
        found: list[Window] = []
        for key in self._bucket.keys(folder, after=(self._root + object_name(market, first)).removesuffix(".parquet")):
            hour = hour_of_name(key.removeprefix(folder))
            if hour is not None and hour.start_ms >= window.end_ms:
                break
            if hour is not None:
                found.append(hour)
        return found

    def _place(self, key: str) -> str:
        return f"s3://{self._bucket.address.bucket}/{key}"

    def close(self) -> None:
        self._bucket.close()
