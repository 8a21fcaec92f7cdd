"""Connections to one PostgreSQL database, kept for the next call, and replaced when they were lost meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import psycopg
from adbc_driver_postgresql import dbapi
from psycopg.conninfo import make_conninfo

from tickloop.errors import OperatorError

LOCK_S = 30
"""How long a write waits for the writers of other processes."""

STATEMENT_S = 600
"""How long one statement may take, its waits included."""

# The client finds out within a minute that the server's machine is gone; the server, that the client's is, so that what
# it held is free again (without: two hours).
_KEEPALIVE = {
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
_SESSION = {
    "timezone": "UTC",
    "lock_timeout": f"{LOCK_S}s",
    "statement_timeout": f"{STATEMENT_S}s",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "60000",
}


@dataclass(frozen=True)
class PostgresServer:
    """Where a database is and who we are there. The password is in no text of it.

    Attributes:
        host: name, address, or the folder of its socket.
        sslmode: as libpq means it; `verify-ca` and `verify-full` need `ca_file`.
    """

    host: str
    port: int
    database: str
    user: str
    password: str | None = field(default=None, repr=False)
    sslmode: str = "prefer"
    ca_file: Path | None = None
    connect_timeout_s: int = 10

    def __str__(self) -> str:
        return f"PostgreSQL at {self.host}:{self.port}, database {self.database}, user {self.user}"

    def conninfo(self) -> str:
        """Give libpq's connection string, password included: not for a message."""
        return make_conninfo(
            host=self.host,
            port=self.port,
            dbname=self.database,
            user=self.user,
            password=self.password,
            sslmode=self.sslmode,
            sslrootcert=None if self.ca_file is None else str(self.ca_file.expanduser()),
            connect_timeout=self.connect_timeout_s,
            gssencmode="disable",
            application_name="tickloop",
            options=" ".join(f"-c {name}={value}" for name, value in _SESSION.items()),
            **_KEEPALIVE,
        )


class _Closable(Protocol):
    def close(self) -> None: ...


C = TypeVar("C", bound=_Closable)


class Pool(Generic[C]):
    """Connections of one kind: as many as calls ran at once at most. Threads may share it.

    A kept connection is asked whether it still lives before it is lent, and a new one stands in for it: the one retry
    there is. What fails later fails the call, whose transaction the server has rolled back.
    """

    def __init__(self, name: str, connect: Callable[[], C], ping: Callable[[C], None], lost: type[Exception]) -> None:
        self._name = name
        self._connect = connect
        self._ping = ping
        self._lost = lost
        self._idle: list[C] = []
        self._is_closed = False

    @contextmanager
    def borrow(self) -> Iterator[C]:
        """Lend a connection; after an error of whatever kind it is closed, and with it what it held."""
        connection = self._take()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        if self._is_closed:
            self.close()

    def close(self) -> None:
        """Close; calls that still run end first, later ones raise `OperatorError`."""
        self._is_closed = True
        while True:
            try:
                self._idle.pop().close()
            except IndexError:
                return

    def _take(self) -> C:
        while True:
            if self._is_closed:
                raise OperatorError(f"{self._name} was closed by this process and cannot be used any more")
            try:
                connection = self._idle.pop()
            except IndexError:
                return self._connect()
            try:
                self._ping(connection)
            except self._lost:
                connection.close()
            else:
                return connection


def open_plain(server: PostgresServer) -> psycopg.Connection:
    """Open a connection in autocommit mode."""
    return psycopg.connect(server.conninfo(), autocommit=True)


def plain_pool(server: PostgresServer) -> Pool[psycopg.Connection]:
    return Pool(str(server), lambda: open_plain(server), _ping_plain, psycopg.Error)


def bulk_pool(server: PostgresServer) -> Pool[dbapi.Connection]:
    """Give connections, in autocommit mode, that move frames as Arrow by COPY."""
    return Pool(str(server), lambda: dbapi.connect(server.conninfo(), autocommit=True), _ping_bulk, dbapi.Error)


@contextmanager
def bulk_transaction(connection: dbapi.Connection) -> Iterator[dbapi.Cursor]:
    """Run the block as one transaction; an error leaves it open, for the pool to close with its connection."""
    connection.adbc_connection.set_autocommit(False)
    with connection.cursor() as cursor:
        yield cursor
    connection.commit()
    connection.adbc_connection.set_autocommit(True)  # else a new transaction would stand open while nobody works


def _ping_plain(connection: psycopg.Connection) -> None:
    connection.execute("SELECT 1")


def _ping_bulk(connection: dbapi.Connection) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchone()
