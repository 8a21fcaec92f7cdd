"""How a lake is laid out, in a folder and in a bucket alike: `market=KRW-BTC/date=2024-01-22/hour=00.parquet`, UTC.

Names sort by time within a market. No name is the beginning of another one's path, as some S3 servers ask for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, BinaryIO

import polars as pl

from tickloop.adapters.common.lake_format import decode_trades, read_trades, write_trades
from tickloop.domain.market import is_market
from tickloop.domain.rows import check_rows, in_order
from tickloop.domain.tables import TRADE
from tickloop.domain.window import Window, hour_of, parse_window
from tickloop.errors import DataError, UsageError, WindowError

_HOUR = re.compile(r"date=(\d{4}-\d{2}-\d{2})/hour=([01]\d|2[0-3])\.parquet")


def market_name(market: str) -> str:
    """Give the folder of a market.

    Raises:
        UsageError: it has not the form of a market, so it could lead out of the lake.
    """
    if not is_market(market):
        raise UsageError(f"market {market!r} has not the form of a market; valid: KRW-BTC")
    return f"market={market}"


def object_name(market: str, hour: Window) -> str:
    """Give the path of a market's hour below the lake.

    Raises:
        UsageError: the market has not the form of one.
        WindowError: the window is not one whole hour.
    """
    folder = market_name(market)
    if hour != hour_of(hour.start_ms):
        raise WindowError(f"window {hour} is not one whole hour; valid: {hour_of(hour.start_ms)}")
    return f"{folder}/date={hour.start:%Y-%m-%d}/hour={hour.start:%H}.parquet"


def hour_of_name(below_market: str) -> Window | None:
    """Give the hour of a name below its market's folder; None when it is not one of ours."""
    found = _HOUR.fullmatch(below_market)
    if found is None:
        return None
    try:
        return parse_window(f"{found[1]}T{found[2]}")
    except WindowError:
        return None


def write_hour(market: str, hour: Window, parts: Iterable[pl.DataFrame], sink: BinaryIO) -> None:
    """Write what a lake keeps of a market's hour.

    Raises:
        DataError: naming a row that is not of it, lacks a value, or lies before one that came earlier.
    """
    write_trades(in_order(TRADE, market, hour, parts), sink)


def read_hour(source: Any, market: str, hour: Window, place: str) -> Iterator[pl.DataFrame]:
    """Yield what `write_hour` wrote to a file, row group by row group.

    Raises:
        DataError: as `decode_hour`.
    """
    try:
        for part in read_trades(source):
            _check(part, market, hour)
            yield part
    except DataError as exc:
        raise _unreadable(place, exc) from exc


def decode_hour(content: bytes, market: str, hour: Window, columns: Sequence[str], place: str) -> pl.DataFrame:
    """Read the content that `write_hour` wrote.

    Raises:
        DataError: naming `place`: the content is not one of ours, or not of this market and hour (as far as the columns
            tell).
    """
    try:
        trades = decode_trades(content, columns)
        _check(trades, market, hour)
    except DataError as exc:
        raise _unreadable(place, exc) from exc
    return trades


def _unreadable(place: str, why: DataError) -> DataError:
    return DataError(f"{place} cannot be read: {why}; remove it and extract the hour again")


def _check(trades: pl.DataFrame, market: str, hour: Window) -> None:
    """Pass what was read of an hour; only columns that were read can be looked at."""
    names = trades.columns
    part = replace(
        TRADE,
        columns={name: TRADE.columns[name] for name in names},
        required=tuple(name for name in TRADE.required if name in names),
    )
    check_rows(part, trades, market if "market" in names else None, hour if TRADE.time in names else None)
