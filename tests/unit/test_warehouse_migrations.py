"""The schema's versions, on a database in memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from tickloop.adapters.local.migrations import MIGRATIONS, Migration, migrate
from tickloop.domain.tables import TABLES, Table
from tickloop.errors import SchemaTooNewError

PATH = Path("home/warehouse.sqlite")
NEWEST = MIGRATIONS[-1].version
ADDED = Migration(NEWEST + 1, ("ALTER TABLE repair ADD COLUMN note TEXT", "CREATE TABLE extra (a TEXT)"))
BROKEN = Migration(NEWEST + 1, ("CREATE TABLE extra (a TEXT)", "ALTER TABLE nowhere ADD COLUMN note TEXT"))


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    opened = sqlite3.connect(":memory:", isolation_level=None)
    yield opened
    opened.close()


def version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def names(connection: sqlite3.Connection) -> set[str]:
    return {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def sql_type(dtype: pl.DataType) -> str:
    if dtype.is_float():
        return "REAL"
    if dtype == pl.Binary:
        return "BLOB"
    return "TEXT" if isinstance(dtype, pl.String | pl.Enum) else "INTEGER"


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_newest_schema_has_the_columns_types_and_keys_of_the_table(
    connection: sqlite3.Connection, table: Table
) -> None:
    """A column added to `domain.tables` needs a migration."""
    migrate(connection, PATH)

    found = connection.execute(f'PRAGMA table_info("{table.name}")').fetchall()
    columns = [(name, kind, bool(not_null)) for _, name, kind, not_null, _, _ in found]
    assert columns == [(name, sql_type(dtype), name in table.required) for name, dtype in table.columns.items()]
    unique = [
        {row[2] for row in connection.execute(f'PRAGMA index_info("{index[1]}")')}
        for index in connection.execute(f'PRAGMA index_list("{table.name}")')
        if index[2]
    ]
    assert set(table.key) in unique


def test_older_file_is_brought_up_with_its_rows(connection: sqlite3.Connection) -> None:
    """What was stored before is still there."""
    migrate(connection, PATH)
    connection.execute("INSERT INTO repair VALUES ('KRW-BTC', 0, 0, 'gone', 1)")

    migrate(connection, PATH, (*MIGRATIONS, ADDED))

    assert version(connection) == NEWEST + 1
    assert connection.execute("SELECT market, note FROM repair").fetchall() == [("KRW-BTC", None)]
    assert "extra" in names(connection)


def test_migration_that_fails_leaves_the_file_as_it_was(connection: sqlite3.Connection) -> None:
    """All statements of all versions, or none."""
    migrate(connection, PATH)

    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        migrate(connection, PATH, (*MIGRATIONS, BROKEN))

    assert version(connection) == NEWEST
    assert "extra" not in names(connection)


def test_newer_file_is_refused(connection: sqlite3.Connection) -> None:
    """Nothing is made in it."""
    connection.execute("PRAGMA user_version = 99")

    with pytest.raises(
        SchemaTooNewError, match=rf"home/warehouse\.sqlite has schema version 99, .* versions up to {NEWEST}"
    ):
        migrate(connection, PATH)

    assert names(connection) == set()
