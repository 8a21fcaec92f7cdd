"""The warehouse in one PostgreSQL database: the same rows in, the same frames out as from the laptop's file.

Windows are written and read as Arrow by COPY (ADBC); rows by their key through psycopg, as arrays in one statement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import polars as pl
import psycopg
from adbc_driver_postgresql import dbapi

from tickloop.adapters.postgres import statements
from tickloop.adapters.postgres.connect import PostgresServer, bulk_pool, bulk_transaction, plain_pool
from tickloop.adapters.postgres.errors import translated
from tickloop.adapters.postgres.migrations import migrate
from tickloop.adapters.postgres.months import make_months
from tickloop.adapters.postgres.turns import turns_statement
from tickloop.domain.rows import check_rows, check_unique, cut_by_time, key_taken
from tickloop.domain.tables import Table
from tickloop.domain.window import Window
from tickloop.errors import DataError

_CHUNK_ROWS = 10_000  # rows of one statement: keeps the peak of memory low
_COPY_ROWS = 150_000  # the client makes the whole text of one COPY before it sends any of it


class PostgresWarehouse:
    """All tables in the user's own schema. Threads may share it; each call has a connection of its own.

    Every write is one transaction. One that fails has changed nothing and may be made again, also when its answer was
    lost: a window is replaced, and rows of the same key stay one row. Writers of one market's table take turns.

    Raises:
        StoreError: the server refuses; the text names the setting at fault.
        StoreAwayError: the server cannot be reached, or is short of something; the same call may succeed later.
        SchemaTooNewError: a newer Tickloop made the tables.
    """

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._plain = plain_pool(server)
        self._bulk = bulk_pool(server)
        with self._connection() as connection:
            migrate(connection, server)

    def replace(self, table: Table, market: str, window: Window, rows: pl.DataFrame) -> int:
        """Replace the rows of one market and window in one transaction; give the rows that stand there then.

        Rows that stand there already are left alone: to delete 500,000 of them and put them back takes the server four
        times as long as to put them where none were, and leaves as many dead ones.

        Raises:
            DataError: a row is outside market or window, lacks a value, is not finite, or its key is taken by another
                row of `rows` or of another window. Nothing is written then.
        """
        check_rows(table, rows, market, window)
        return self._replace(table, market, window, [(window, rows)])

    def replace_by_parts(self, table: Table, market: str, window: Window, parts: Iterable[pl.DataFrame]) -> int:
        """Do as `replace` with rows that come in frames, one of which is held at a time.

        Raises:
            DataError: as `replace`, and when a row's time lies before one of an earlier frame. Whatever is raised, also
                by `parts`, nothing is written.
        """
        return self._replace(table, market, window, cut_by_time(table, market, window, parts))

    def _replace(self, table: Table, market: str, window: Window, parts: Iterable[tuple[Window, pl.DataFrame]]) -> int:
        count = 0
        with translated(self._server), self._bulk.borrow() as connection, bulk_transaction(connection) as cursor:
            cursor.execute(turns_statement(table.name, [market]))
            for part, rows in parts:
                check_unique(table, rows)
                self._prepare(table, rows)
                _replace_part(cursor, table, market, window, part, rows)
                count += rows.height
        return count

    def upsert(self, table: Table, rows: pl.DataFrame) -> int:
        """Insert rows, replacing those of the same key, in one transaction; of two rows alike the later stands."""
        check_rows(table, rows)

        def write(connection: psycopg.Connection, values: list[list[object]]) -> int:
            for statement in statements.upserts(table):
                connection.execute(statement, values)
            return 0

        self._write(table, rows.unique(table.key, keep="last"), write)
        return rows.height

    def add_new(self, table: Table, rows: pl.DataFrame) -> int:
        """Insert the rows whose key is not there yet (first write wins); give how many were new."""
        check_rows(table, rows)

        def write(connection: psycopg.Connection, values: list[list[object]]) -> int:
            return connection.execute(statements.insert_new(table), values).rowcount

        return self._write(table, rows.unique(table.key, keep="first"), write)

    def read(
        self, table: Table, market: str | None = None, window: Window | None = None, *, last: int | None = None
    ) -> pl.DataFrame:
        """Read rows in order of time, then key; trades in trade order.

        Raises:
            UsageError: `last` is below 0.
            DataError: the table holds a value that its types do not allow.
        """
        with translated(self._server), self._bulk.borrow() as connection, connection.cursor() as cursor:
            cursor.execute(statements.select(table, market, window, last))
            found = pl.DataFrame(cursor.fetch_arrow())
        try:
            frame = statements.loaded(table, found)
        except pl.exceptions.PolarsError as exc:
            raise DataError(f"{self._server}, table {table.name}: a stored value is not of its type: {exc}") from exc
        return frame if last is None else frame.reverse()

    def close(self) -> None:
        """Close; calls that still run end first, later ones raise `OperatorError`."""
        self._plain.close()
        self._bulk.close()

    @contextmanager
    def _connection(self) -> Iterator[psycopg.Connection]:
        with translated(self._server), self._plain.borrow() as connection:
            yield connection

    def _prepare(self, table: Table, rows: pl.DataFrame) -> None:
        wrong = statements.first_unstorable(table, rows)
        if wrong is not None:
            name, value, valid = wrong
            raise DataError(f"table {table.name}: {name} = {value!r} cannot be stored; valid: {valid}")
        if rows.height:
            with self._connection() as connection:
                make_months(connection, table, rows)

    def _write(
        self, table: Table, rows: pl.DataFrame, write: Callable[[psycopg.Connection, list[list[object]]], int]
    ) -> int:
        if rows.is_empty():
            return 0
        self._prepare(table, rows)
        with self._connection() as connection, connection.transaction():
            connection.execute(turns_statement(table.name, rows["market"].unique()).encode())
            parts = rows.sort(table.key).iter_slices(_CHUNK_ROWS)
            return sum(write(connection, list(statements.arrays(part))) for part in parts)


def _replace_part(
    cursor: dbapi.Cursor, table: Table, market: str, window: Window, part: Window, rows: pl.DataFrame
) -> None:
    """Make the rows of a part of the window these ones; what lies before it in the window is replaced already."""
    missing = _missing(cursor, table, market, part, rows)
    if missing is None:
        cursor.execute(statements.delete(table, market, part))
        missing = rows
    if missing.height:
        _refuse_taken(cursor, table, market, window, part, missing)
        for some in missing.iter_slices(_COPY_ROWS):
            cursor.adbc_ingest(table.name, statements.stored(some), mode="append")


def _missing(cursor: dbapi.Cursor, table: Table, market: str, part: Window, rows: pl.DataFrame) -> pl.DataFrame | None:
    """Give the rows that are not there yet; None when one that is there is none of them."""
    cursor.execute(statements.select(table, market, part, first=rows.height + 1))
    found = pl.DataFrame(cursor.fetch_arrow())
    if found.is_empty():
        return rows
    if found.height > rows.height:
        return None
    try:
        there = statements.loaded(table, found)
    except pl.exceptions.PolarsError:  # a value that somebody changed
        return None
    if there.equals(rows):
        return rows.clear()
    missing = rows.join(there, on=list(table.columns), how="anti", nulls_equal=True, maintain_order="left")
    return missing if missing.height + there.height == rows.height else None


def _refuse_taken(
    cursor: dbapi.Cursor, table: Table, market: str, window: Window, part: Window, rows: pl.DataFrame
) -> None:
    """Look at the keys that stand outside of a part; the turn keeps others from adding any."""
    statement = statements.taken_keys(table, market, part, rows)
    if statement is None:
        return
    cursor.execute(statement)
    there = pl.DataFrame(cursor.fetch_arrow())
    taken = there.join(rows.select(table.key), on=list(table.key), how="semi")
    is_ours = (pl.col("market") == market) & pl.col(table.time).is_between(window.start, window.end, "left")
    for found, why in (
        (taken.filter(~is_ours), f"is there already outside {window}"),
        (taken.filter(is_ours, pl.col(table.time) < part.start), "comes twice in the rows"),
    ):
        if found.height:
            raise key_taken(table, found.select(table.key).row(0), why)
    if taken.height:
        # Rows that stand later in the window, where they are none of the new ones: the rest of it is written anew.
        cursor.execute(statements.delete(table, market, Window(part.end_ms, window.end_ms)))
