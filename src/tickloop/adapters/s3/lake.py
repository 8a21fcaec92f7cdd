"""The lake in a bucket: one Parquet object per market and hour, the same bytes under the same names as in a folder."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from tickloop.adapters.common.lake_layout import decode_hour, encode_hour, hour_of_name, market_name, object_name
from tickloop.adapters.s3.bucket import Bucket
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

    def put(self, market: str, hour: Window, trades: pl.DataFrame) -> int:
        """Write a TRADE frame; give its size in bytes.

        Raises:
            DataError: a row is not of this market and hour, or lacks a value; the old object stands.
        """
        key = self._root + object_name(market, hour)
        content = encode_hour(market, hour, trades)
        self._bucket.put(key, content)
        return len(content)

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
        return decode_hour(content, market, hour, names, f"s3://{self._bucket.address.bucket}/{key}")

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

    def close(self) -> None:
        self._bucket.close()
