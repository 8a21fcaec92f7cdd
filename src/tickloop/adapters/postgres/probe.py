"""What `tickloop doctor` asks the warehouse's server: can this user write, read back and delete."""

from __future__ import annotations

from contextlib import closing

import psycopg

from tickloop.adapters.postgres.connect import PostgresServer, open_plain
from tickloop.adapters.postgres.errors import translated
from tickloop.adapters.postgres.migrations import MIGRATIONS, version_of
from tickloop.errors import SchemaTooNewError, StoreError

_MARKET = "tickloop-doctor"
_OLDEST = 150_000  # PostgreSQL 15, as the server numbers itself


def check_postgres(server: PostgresServer) -> str:
    """Write, read back and delete one row in a transaction that is rolled back; say what was found.

    Nothing is made: where Tickloop has no tables yet, its right to make them is looked at instead.

    Raises:
        StoreError: naming server, setting and remedy; StoreAwayError if it cannot be reached.
        SchemaTooNewError: a newer Tickloop made the tables.
    """
    with translated(server):
        connection = open_plain(server)
        try:
            return _look(connection, server)
        finally:
            connection.close()


def has_tables(server: PostgresServer) -> bool:
    """Tell whether Tickloop has made its tables there.

    Raises:
        StoreError: naming server, setting and remedy; StoreAwayError if it cannot be reached.
    """
    with translated(server), closing(open_plain(server)) as connection:
        return version_of(connection) > 0


def _look(connection: psycopg.Connection, server: PostgresServer) -> str:
    if connection.info.server_version < _OLDEST:
        raise StoreError(
            f"{server} is of version {connection.info.server_version // 10_000};"
            " valid: a postgres.host with 15 or newer"
        )
    found, ours = version_of(connection), MIGRATIONS[-1].version
    if found > ours:
        raise SchemaTooNewError(
            f"{server} has schema version {found}, this Tickloop knows versions up to {ours}; upgrade Tickloop"
        )
    version = connection.info.parameter_status("server_version")
    if found == 0:
        _require_schema(connection, server)
        return f"{server}: version {version}, no tables yet"
    _write_and_read(connection, server)
    return f"{server}: version {version}, schema {found} of {ours}, writes and reads"


def _require_schema(connection: psycopg.Connection, server: PostgresServer) -> None:
    row = connection.execute("SELECT current_schema(), has_schema_privilege(current_schema(), 'CREATE')").fetchone()
    if row is None or row[0] is None or not row[1]:
        raise StoreError(
            f"{server}: postgres.user may make no tables there; valid: a user with a schema of its own name"
        )


def _write_and_read(connection: psycopg.Connection, server: PostgresServer) -> None:
    with connection.transaction(force_rollback=True):
        connection.execute(
            "INSERT INTO repair (market, minute, asked_at, outcome, trades) VALUES (%s, now(), now(), 'probe', 0)",
            (_MARKET,),
        )
        row = connection.execute("SELECT outcome FROM repair WHERE market = %s", (_MARKET,)).fetchone()
        gone = connection.execute("DELETE FROM repair WHERE market = %s", (_MARKET,)).rowcount
        if row != ("probe",) or gone != 1:
            raise StoreError(f"{server} did not give back the row that was written; see what its log says of it")
