"""The months of a table that is kept apart by time: made when a row first needs one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

import polars as pl
import psycopg
from psycopg import sql

from tickloop.adapters.postgres.migrations import PERIODS, has_table
from tickloop.adapters.postgres.turns import take_turn
from tickloop.domain.tables import Table


class Month(NamedTuple):
    name: str
    start: datetime


def months_of(table: Table, rows: pl.DataFrame) -> Iterator[Month]:
    """Yield the calendar months of UTC that rows of a table fall into, in order; none for a table kept together."""
    column = PERIODS.get(table.name)
    if column is None:
        return
    for start in rows[column].dt.truncate("1mo").unique().sort():
        yield Month(
            f"{table.name}_{start.year:04d}_{start.month:02d}", datetime(start.year, start.month, 1, tzinfo=UTC)
        )


def make_months(connection: psycopg.Connection, table: Table, rows: pl.DataFrame) -> None:
    """Make the months that rows need and that are not there, each in a transaction of its own.

    A month is made beside the table, then attached: readers and writers of other months do not wait for it. Two
    processes that need the same month take turns.
    """
    for month in months_of(table, rows):
        if not has_table(connection, month.name):
            with connection.transaction():
                take_turn(connection, "month", month.name)
                if not has_table(connection, month.name):
                    _make(connection, table, month)


def _make(connection: psycopg.Connection, table: Table, month: Month) -> None:
    parts = {
        "month": sql.Identifier(month.name),
        "table": sql.Identifier(table.name),
        "index": sql.Identifier(f"{month.name}_by_key"),
        "key": sql.SQL(", ").join(map(sql.Identifier, table.key)),
        "start": sql.Literal(month.start.isoformat()),
    }
    for statement in (
        "CREATE TABLE {month} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)",
        "CREATE UNIQUE INDEX {index} ON {month} ({key})",
        "ALTER TABLE {table} ATTACH PARTITION {month} FOR VALUES FROM ({start})"
        " TO (timestamptz {start} + interval '1 month')",
    ):
        connection.execute(sql.SQL(statement).format(**parts))
