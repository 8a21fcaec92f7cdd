"""What every warehouse asks of the rows it is given, and the order in which it gives them back."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

import polars as pl

from tickloop.domain.tables import TRADE, TRADE_ORDER, Table
from tickloop.domain.window import MINUTE_MS, Window, to_datetime, to_ms
from tickloop.errors import DataError, UsageError


def order_of(table: Table) -> tuple[str, ...]:
    """Give the columns that rows are read by: time, then key; for trades (ts_event, arrival, trade_id)."""
    first = TRADE_ORDER if table is TRADE else (table.time,)
    return (*first, *(name for name in table.key if name not in first))


def pick_columns(table: Table, columns: Sequence[str] | None) -> list[str]:
    """Give the columns that were asked for in the table's order, all when None; `UsageError` names unknown ones."""
    unknown = sorted(set(columns or ()).difference(table.columns))
    if unknown:
        raise UsageError(f"columns {unknown} are not in table {table.name}; valid: {list(table.columns)}")
    return [name for name in table.columns if columns is None or name in columns]


def check_rows(table: Table, rows: pl.DataFrame, market: str | None = None, window: Window | None = None) -> None:
    """Pass rows that a table may hold.

    Args:
        market: every row must be of this market; None accepts any.
        window: every row's time must lie in it; None accepts any.

    Raises:
        DataError: naming table, field, value and row (counted from 0) of the first problem, and what would be valid.
    """
    _check_columns(table, rows)
    for name in table.required:
        if rows[name].null_count():
            _refuse(table, rows, name, rows[name].is_null(), "a value")
    for name, dtype in table.columns.items():
        # A sum over anything that is not finite is not finite either, and costs a fifth of looking at each value.
        if dtype.is_float() and not math.isfinite(rows[name].sum()):
            _refuse(table, rows, name, ~rows[name].is_finite(), "a finite number")
    if market is not None:
        _refuse(table, rows, "market", rows["market"] != market, repr(market))
    if window is not None:
        inside = rows[table.time].is_between(window.start, window.end, closed="left")
        _refuse(table, rows, table.time, ~inside, f"a time in {window}")


def check_unique(table: Table, rows: pl.DataFrame) -> None:
    """Pass rows of which no two have the same key; `DataError` names the first key that comes twice."""
    # A column of one value tells no rows apart, and one column alone takes a tenth of the memory of several.
    telling = [name for name in table.key if rows[name].n_unique() > 1]
    if len(telling) == 1 and rows[telling[0]].n_unique() == rows.height:
        return
    twice = rows.select(table.key).filter(pl.struct(table.key).is_duplicated())
    if twice.height:
        raise key_taken(table, twice.row(0), "comes twice in the rows")


def in_order(table: Table, market: str, window: Window, parts: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Pass frames that `check_rows` passes and that follow each other in order of the table's time.

    Rows of one time may be spread over frames.

    Raises:
        DataError: as `check_rows`, or naming the first row whose time lies before that of one above it.
    """
    last: datetime | None = None
    for rows in parts:
        check_rows(table, rows, market, window)
        times = rows[table.time]
        if times.len():
            if not times.is_sorted():
                _refuse(table, rows, table.time, times < times.shift(1), "a time not before the row above")
            if last is not None:
                valid = f"a time not before {_shown(last)}, as it came earlier"
                _refuse(table, rows, table.time, times.head(1) < last, valid)
            last = times[-1]
        yield rows


def cut_by_time(
    table: Table, market: str, window: Window, parts: Iterable[pl.DataFrame]
) -> Iterator[tuple[Window, pl.DataFrame]]:
    """Yield the same rows in frames that no minute is spread over, each with its own part of the window.

    The parts of the window follow each other and are all of it; the last frame may be empty. Beside a frame that was
    given, rows of one more minute are held.

    Raises:
        DataError: as `in_order`.
    """
    start_ms, held = window.start_ms, table.empty()
    for given in in_order(table, market, window, parts):
        rows = pl.concat([held, given]) if held.height else given
        if rows.height:
            newest_ms = to_ms(rows[table.time][-1])
            end_ms = newest_ms - newest_ms % MINUTE_MS
            cut = rows[table.time].search_sorted(to_datetime(end_ms), "left")
            if cut:
                yield Window(start_ms, end_ms), rows.head(cut)
                start_ms = end_ms
            held = rows.slice(cut)
    yield Window(start_ms, window.end_ms), held


def key_taken(table: Table, values: Sequence[object], why: str) -> DataError:
    key = ", ".join(f"{name}={_shown(value)}" for name, value in zip(table.key, values, strict=True))
    return DataError(f"table {table.name}: key ({key}) {why}; valid: one row per key")


def _check_columns(table: Table, rows: pl.DataFrame) -> None:
    if rows.columns != list(table.columns):
        raise DataError(f"table {table.name}: columns are {rows.columns}; valid: {list(table.columns)}")
    schema = rows.schema  # made anew at each look
    for name, dtype in table.columns.items():
        if schema[name] != dtype:
            raise DataError(f"table {table.name}: column {name} is {schema[name]}; valid: {dtype}")


def _refuse(table: Table, rows: pl.DataFrame, name: str, is_wrong: pl.Series, valid: str) -> None:
    if is_wrong.any():
        row = is_wrong.arg_true()[0]
        raise DataError(f"table {table.name}: {name} = {_shown(rows[name][row])} in row {row}; valid: {valid}")


def _shown(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else repr(value)
