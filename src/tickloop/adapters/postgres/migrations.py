"""The warehouse's schema in PostgreSQL's words; the versions themselves stand in `adapters.common.schema`.

The tables stand in the first schema of the user's search path: one of the user's own name where there is such a one.
Text sorts by its bytes, as everywhere else in Tickloop. Times are `timestamptz(3)`, nanoseconds `bigint`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import psycopg

from tickloop.adapters.common.schema import VERSIONS, Change, CreateIndex, CreateTable, Migration, migrations, quoted
from tickloop.adapters.postgres.connect import PostgresServer
from tickloop.adapters.postgres.turns import take_turn
from tickloop.errors import SchemaTooNewError

_TYPES = {
    "text": 'text COLLATE "C"',
    "whole": "bigint",
    "real": "double precision",
    "flag": "boolean",
    "bytes": "bytea",
    "time": "timestamptz(3)",
    "time_ns": "bigint",
}

PERIODS = {
    change.name: change.period
    for changes in VERSIONS.values()
    for change in changes
    if isinstance(change, CreateTable) and change.period is not None
}
"""Table that is kept apart by months -> by which column. The database keeps its key unique within a month only."""

# A file is small enough to be read through for these; a server has the runs of hundreds of markets.
_OWN_INDICES = {
    1: (
        CreateIndex("run_by_end", "run", "window_end"),
        CreateIndex("run_of_market_by_end", "run", "market, window_end"),
        CreateIndex("run_by_finish", "run", "finished_at"),
        CreateIndex("equity_by_time", "equity", "ts, bot, market"),
        CreateIndex("forecast_by_time", "forecast", "target_minute, market, model_version"),
        CreateIndex("backtest_by_time", "backtest", "slot, market, model_version, strategy"),
    )
}


def _render(change: Change) -> Iterator[str]:
    if isinstance(change, CreateTable):
        columns = ", ".join(
            f"{quoted(name)} {_TYPES[kind]}{' NOT NULL' if is_required else ''}"
            for name, kind, is_required in change.each_column()
        )
        table = f"CREATE TABLE {quoted(change.name)} ({columns}, PRIMARY KEY ({quoted(change.key)}))"
        yield table if change.period is None else f"{table} PARTITION BY RANGE ({quoted(change.period)})"
    elif not (change.is_unique and change.table in PERIODS):  # of those each month gets its own
        unique = "UNIQUE " if change.is_unique else ""
        yield f"CREATE {unique}INDEX {change.name} ON {quoted(change.table)} ({quoted(change.columns)})"


MIGRATIONS = tuple(
    Migration(version, (*statements, *(text for change in _OWN_INDICES.get(version, ()) for text in _render(change))))
    for version, statements in migrations(_render)
)

_VERSION = "tickloop_schema"


def migrate(connection: psycopg.Connection, server: PostgresServer, versions: Sequence[Migration] = MIGRATIONS) -> None:
    """Bring the schema to our newest version, wholly or not at all; of two processes one waits for the other.

    Raises:
        SchemaTooNewError: a newer Tickloop wrote it; nothing is changed.
    """
    ours = versions[-1].version
    if version_of(connection) == ours:
        return
    with connection.transaction():
        take_turn(connection, "migrate")
        found = version_of(connection)
        if found > ours:
            raise SchemaTooNewError(
                f"{server} has schema version {found}, this Tickloop knows versions up to {ours}; "
                "upgrade Tickloop, or give another database (postgres.database)"
            )
        for migration in versions:
            if migration.version > found:
                for statement in migration.statements:
                    connection.execute(statement)
        _set_version(connection, ours)


def version_of(connection: psycopg.Connection) -> int:
    """Give the version of the schema; 0 where Tickloop has made nothing yet."""
    if not has_table(connection, _VERSION):
        return 0
    found = connection.execute(f"SELECT max(version) FROM {_VERSION}").fetchone()  # noqa: S608
    return 0 if found is None or found[0] is None else int(found[0])


def has_table(connection: psycopg.Connection, name: str) -> bool:
    """Tell whether a table is there by what is committed: `to_regclass` may remember that it was not, until a lock."""
    sql = "SELECT EXISTS (SELECT FROM pg_class WHERE relname = %s AND pg_table_is_visible(oid))"
    row = connection.execute(sql, (name,)).fetchone()
    return row is not None and bool(row[0])


def _set_version(connection: psycopg.Connection, version: int) -> None:
    connection.execute(f"CREATE TABLE IF NOT EXISTS {_VERSION} (version integer NOT NULL)")
    connection.execute(f"DELETE FROM {_VERSION}")  # noqa: S608
    connection.execute(f"INSERT INTO {_VERSION} VALUES (%s)", (version,))  # noqa: S608
