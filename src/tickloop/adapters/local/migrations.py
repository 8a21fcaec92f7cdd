"""The warehouse's schema in SQLite's words; the versions themselves stand in `adapters.common.schema`.

Times are INTEGER epoch milliseconds UTC (`ts_received`: nanoseconds), enums and decimals TEXT. STRICT tables would need
SQLite 3.37, which Python 3.11 does not promise; types are checked before rows come here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from tickloop.adapters.common.schema import Change, CreateTable, Migration, migrations, quoted
from tickloop.errors import SchemaTooNewError

_TYPES = {
    "text": "TEXT",
    "whole": "INTEGER",
    "real": "REAL",
    "flag": "INTEGER",
    "bytes": "BLOB",
    "time": "INTEGER",
    "time_ns": "INTEGER",
}


def _render(change: Change) -> Iterator[str]:
    if isinstance(change, CreateTable):
        columns = ", ".join(
            f"{quoted(name)} {_TYPES[kind]}{' NOT NULL' if is_required else ''}"
            for name, kind, is_required in change.each_column()
        )
        yield f"CREATE TABLE {quoted(change.name)} ({columns}, PRIMARY KEY ({quoted(change.key)})) WITHOUT ROWID"
    else:
        unique = "UNIQUE " if change.is_unique else ""
        yield f"CREATE {unique}INDEX {change.name} ON {quoted(change.table)} ({quoted(change.columns)})"


MIGRATIONS = migrations(_render)


def migrate(connection: sqlite3.Connection, path: Path, versions: Sequence[Migration] = MIGRATIONS) -> None:
    """Bring the schema of an open database (in autocommit mode) to our newest version, wholly or not at all.

    Raises:
        SchemaTooNewError: a newer Tickloop wrote it; nothing is changed.
    """
    ours = versions[-1].version
    if _version(connection) == ours:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = _version(connection)
        if found > ours:
            raise SchemaTooNewError(
                f"{path} has schema version {found}, this Tickloop knows versions up to {ours}; "
                "upgrade Tickloop, or give another home (--home)"
            )
        for migration in versions:
            if migration.version > found:
                for statement in migration.statements:
                    connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {ours:d}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
