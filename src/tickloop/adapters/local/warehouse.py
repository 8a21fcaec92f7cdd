"""The warehouse in one SQLite file, through Python's own `sqlite3` and nothing else.

A second SQLite library in one process would drop the first one's file locks (POSIX frees all locks of a file when any
handle of the process is closed), and a commit could be lost: no ADBC, no ConnectorX on this file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from typing import Any

import polars as pl

from tickloop.adapters.local.migrations import migrate
from tickloop.adapters.local.sqlite import connect, opening, translated
from tickloop.domain.rows import check_rows, check_unique, in_order, key_taken, order_of
from tickloop.domain.tables import Table
from tickloop.domain.window import Window
from tickloop.errors import DataError, OperatorError, TickloopError, UsageError

_CHUNK_ROWS = 10_000  # rows turned into columns at a time: keeps the peak of memory low


class SqliteWarehouse:
    """All tables in one file, in WAL mode: readers never wait, writers wait for each other up to 30 s.

    Threads may share it. Each call borrows a connection of its own and gives it back, so there are as many as calls
    ran at once at most.

    Raises:
        HomeNotWritableError: read-only, full, or not a place for a file.
        SchemaTooNewError: a newer Tickloop wrote the file.
        DataError: the file is not a database, or is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: list[sqlite3.Connection] = []
        self._is_closed = False
        with self._connection():
            pass

    def replace(self, table: Table, market: str, window: Window, rows: pl.DataFrame) -> int:
        """Replace the rows of one market and window in one transaction; give the rows written.

        Raises:
            DataError: a row is outside market or window, lacks a value, is not finite, or its key is taken by another
                row of `rows` or of another window. Nothing is written then.
        """
        check_rows(table, rows, market, window)
        return self._replace(table, market, window, [rows])

    def replace_by_parts(self, table: Table, market: str, window: Window, parts: Iterable[pl.DataFrame]) -> int:
        """Do as `replace` with rows that come in frames; other writers wait from the first frame to the last.

        Raises:
            DataError: as `replace`, and when a row's time lies before one of an earlier frame. Whatever is raised, also
                by `parts`, nothing is written.
        """
        return self._replace(table, market, window, in_order(table, market, window, parts))

    def _replace(self, table: Table, market: str, window: Window, parts: Iterable[pl.DataFrame]) -> int:
        name, time = _quoted(table.name), _quoted(table.time)
        delete = f"DELETE FROM {name} WHERE market = ? AND {time} >= ? AND {time} < ?"  # noqa: S608 (names of ours)
        count = 0
        with self._transaction() as connection:
            connection.execute(delete, (market, window.start_ms, window.end_ms))
            for rows in parts:
                check_unique(table, rows)
                before = connection.total_changes
                try:
                    connection.executemany(_insert(table), to_values(rows))
                except sqlite3.IntegrityError as exc:
                    raise _taken(connection, table, window, rows, connection.total_changes - before) from exc
                count += rows.height
        return count

    def upsert(self, table: Table, rows: pl.DataFrame) -> int:
        """Insert rows, replacing those of the same key, in one transaction; of two rows alike the later stands."""
        check_rows(table, rows)
        changes = ", ".join(f"{name} = excluded.{name}" for name in map(_quoted, table.columns))
        with self._transaction() as connection:
            connection.executemany(
                f"{_insert(table)} ON CONFLICT {_key(table)} DO UPDATE SET {changes}", to_values(rows)
            )
        return rows.height

    def add_new(self, table: Table, rows: pl.DataFrame) -> int:
        """Insert the rows whose key is not there yet (first write wins); give how many were new."""
        check_rows(table, rows)
        with self._transaction() as connection:
            sql = f"{_insert(table)} ON CONFLICT {_key(table)} DO NOTHING"
            return connection.executemany(sql, to_values(rows)).rowcount if rows.height else 0

    def read(
        self, table: Table, market: str | None = None, window: Window | None = None, *, last: int | None = None
    ) -> pl.DataFrame:
        """Read rows in order of time, then key; trades in trade order.

        Raises:
            UsageError: `last` is below 0.
            DataError: the file holds a value that the table's types do not allow.
        """
        sql, arguments = select(table, market, window, last)
        with self._connection() as connection:
            try:
                frame = from_rows(table, connection.execute(sql, arguments))
            except (pl.exceptions.PolarsError, TypeError, OverflowError) as exc:
                raise DataError(f"{self._path}, table {table.name}: a stored value is not of its type: {exc}") from exc
        return frame if last is None else frame.reverse()

    def close(self) -> None:
        """Close; calls that still run end first, later ones raise `OperatorError`."""
        self._is_closed = True
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with translated(self._path):
            connection = self._borrow()
            try:
                yield connection
            finally:
                self._idle.append(connection)
                if self._is_closed:
                    self.close()

    def _borrow(self) -> sqlite3.Connection:
        if self._is_closed:
            raise OperatorError(f"{self._path} was closed by this process and cannot be used any more")
        try:
            return self._idle.pop()
        except IndexError:
            return self._open()

    def _open(self) -> sqlite3.Connection:
        with opening(self._path):
            connection = connect(self._path)
            try:
                migrate(connection, self._path)
            except (sqlite3.Error, TickloopError):
                connection.close()
                raise
        return connection


def select(table: Table, market: str | None, window: Window | None, last: int | None) -> tuple[str, list[Any]]:
    """Give the statement and its arguments; with `last` the newest row comes first."""
    if last is not None and last < 0:
        raise UsageError(f"last = {last} rows cannot be read; valid: 0 or more")
    conditions: list[str] = []
    arguments: list[Any] = []
    if market is not None:
        conditions.append("market = ?")
        arguments.append(market)
    if window is not None:
        time = _quoted(table.time)
        conditions.append(f"{time} >= ? AND {time} < ?")
        arguments += [window.start_ms, window.end_ms]
    direction = "" if last is None else " DESC"
    columns = ", ".join(map(_quoted, table.columns))
    order = ", ".join(f"{_quoted(name)}{direction}" for name in order_of(table))
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    limit = "" if last is None else f" LIMIT {last:d}"
    return f"SELECT {columns} FROM {_quoted(table.name)}{where} ORDER BY {order}{limit}", arguments  # noqa: S608


def to_values(rows: pl.DataFrame) -> Iterator[tuple[Any, ...]]:
    """Yield rows as SQLite's values: times as whole numbers of their unit, enums as text."""
    return zip(*map(_values, rows), strict=True)


def _values(column: pl.Series) -> Iterable[Any]:
    # Text that repeats is shared: to make each string anew costs a third of the time of a large write.
    if isinstance(column.dtype, pl.Enum) and not column.has_nulls():
        return map(column.dtype.categories.to_list().__getitem__, column.to_physical().to_list())
    if column.dtype == pl.String and column.n_unique() == 1:
        return repeat(column[0], len(column))
    return column.cast(_stored(column.dtype)).to_list()


def from_rows(table: Table, cursor: sqlite3.Cursor) -> pl.DataFrame:
    """Give what a cursor over all columns of a table holds, as a frame of the table's types."""
    chunks = [table.empty()]
    while rows := cursor.fetchmany(_CHUNK_ROWS):
        columns = zip(table.columns.items(), zip(*rows, strict=True), strict=True)
        chunk = pl.DataFrame([_column(name, dtype, values) for (name, dtype), values in columns])
        chunks.append(chunk)
    return pl.concat(chunks, rechunk=True)


def _column(name: str, dtype: pl.DataType, values: Iterable[Any]) -> pl.Series:
    plain = pl.Int8() if dtype == pl.Boolean else _stored(dtype)
    return pl.Series(name, values, dtype=plain).cast(dtype)


def _stored(dtype: pl.DataType) -> pl.DataType:
    if isinstance(dtype, pl.Datetime):
        return pl.Int64()
    return pl.String() if isinstance(dtype, pl.Enum) else dtype


def _insert(table: Table) -> str:
    columns = ", ".join(map(_quoted, table.columns))
    marks = ", ".join("?" * len(table.columns))
    return f"INSERT INTO {_quoted(table.name)} ({columns}) VALUES ({marks})"  # noqa: S608


def _key(table: Table) -> str:
    return f"({', '.join(map(_quoted, table.key))})"


def _taken(connection: sqlite3.Connection, table: Table, window: Window, rows: pl.DataFrame, number: int) -> DataError:
    """Say why the row of this number was refused, by the row that has its key."""
    key = rows.select(table.key)[number]
    same = " AND ".join(f"{name} = ?" for name in map(_quoted, table.key))
    sql = f"SELECT market, {_quoted(table.time)} FROM {_quoted(table.name)} WHERE {same}"  # noqa: S608
    found = connection.execute(sql, next(to_values(key))).fetchone()
    if found is None:
        return DataError(f"table {table.name}: the rows do not fit the schema of the file")
    is_ours = found[0] == rows["market"][number] and window.start_ms <= found[1] < window.end_ms
    return key_taken(table, key.row(0), "comes twice in the rows" if is_ours else f"is there already outside {window}")


def _quoted(name: str) -> str:
    return f'"{name}"'
