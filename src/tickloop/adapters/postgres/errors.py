"""PostgreSQL's errors as ours, in one place: by its SQLSTATE, or by libpq's text where there was no session yet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl
import psycopg
from adbc_driver_postgresql import dbapi

from tickloop.adapters.postgres.connect import LOCK_S, STATEMENT_S, PostgresServer
from tickloop.errors import DataError, StoreAwayError, StoreError, TickloopError

_WHO = "postgres.password is wrong or missing; valid: the password of postgres.user"
_RIGHTS = (
    "postgres.user may not do this; valid: the owner of a schema of its own in postgres.database, as the SQL of"
    " tickloop's setup makes it"
)
_SCHEMA = "the tables are not as this Tickloop made them; valid: an empty schema, or one that Tickloop alone changes"
_DATABASE = "postgres.database is not there; valid: a database that the server's admin made for postgres.user"
_ENTRY = "the server takes no such connection; valid: a postgres.user, postgres.database and postgres.sslmode that its"

_LOST = "the connection was lost; what was under way is rolled back, try again"
_WIRE = "[libpq]"

_BY_STATE: dict[str, tuple[type[TickloopError], str]] = {
    "28P01": (StoreError, _WHO),
    "28000": (StoreError, f"{_ENTRY} pg_hba.conf lets in"),
    "3D000": (StoreError, _DATABASE),
    "42501": (StoreError, _RIGHTS),
    "42P01": (StoreError, _SCHEMA),
    "42P07": (StoreError, _SCHEMA),
    "42703": (StoreError, _SCHEMA),
    "3F000": (StoreError, f"no schema to put tables into: {_RIGHTS}"),
    "23514": (StoreError, _SCHEMA),
    "25006": (StoreError, "it only reads, as a standby does; valid: a postgres.host that takes writes"),
    "53100": (StoreAwayError, "the server's disk is full; nothing was written, and with room again the same works"),
    "53300": (StoreAwayError, "no connection is free there; valid: fewer clients, or a higher max_connections"),
    "55P03": (StoreAwayError, f"another process held the rows for {LOCK_S} s; try again when it is done"),
    "57014": (StoreAwayError, f"the statement was given up after {STATEMENT_S} s, or cancelled there"),
    "40P01": (StoreAwayError, "it ended one of two writers that waited for each other; try again"),
}
"""SQLSTATE -> what it is to us, and the remedy. Source: PostgreSQL's appendix A, error codes."""

_BY_CLASS: dict[str, tuple[type[TickloopError], str]] = {
    "08": (StoreAwayError, _LOST),
    "22": (DataError, "a value is none that the table can hold"),
    "23": (DataError, "a row contradicts one that is there"),
    "40": (StoreAwayError, "it rolled back; try again"),
    "53": (StoreAwayError, "the server is short of memory or room; try again when it is not"),
    "57": (StoreAwayError, "the server is stopping or starting; try again when it is up"),
    "58": (StoreAwayError, "the server's own system fails; its log says why"),
}

_BY_TEXT: tuple[tuple[str, type[TickloopError], str], ...] = (
    ("password authentication failed", StoreError, _WHO),
    ("no password supplied", StoreError, _WHO),
    ("no pg_hba.conf entry", StoreError, f"{_ENTRY} pg_hba.conf lets in"),
    ("role ", StoreError, "postgres.user is not there; valid: a user that the server's admin made"),
    ("permission denied for database", StoreError, _RIGHTS),
    ("database ", StoreError, _DATABASE),
    ("root certificate file", StoreError, "postgres.ca_file cannot be read; valid: a PEM file of the authority"),
    (
        "certificate verify failed",
        StoreError,
        "the server's certificate is not of postgres.ca_file; valid: the certificate of the authority that signed it",
    ),
    (
        "does not match host name",
        StoreError,
        "postgres.host is not a name of the server's certificate; valid: a name in it, or sslmode verify-ca",
    ),
    (
        "does not support SSL",
        StoreError,
        "postgres.sslmode asks for TLS, which the server does not speak; valid: a server with ssl on, or prefer",
    ),
    (
        "could not translate host name",
        StoreAwayError,
        "postgres.host has no address; valid: a name that can be resolved here",
    ),
)
"""Part of libpq's text -> what it is to us. The first that is found counts; they only stand in errors of connecting."""

_AWAY = "it cannot be reached; valid: a server that runs at postgres.host and postgres.port"
_STARTING = ("the database system is", "too many clients", "remaining connection slots")


@contextmanager
def translated(server: PostgresServer) -> Iterator[None]:
    """Turn the clients' errors into ours."""
    try:
        yield
    except (psycopg.Error, dbapi.Error) as exc:
        raise translate(server, exc) from exc
    except pl.exceptions.ComputeError as exc:
        # polars takes the rows of a read off the wire itself, so what ends them comes as its error, without a SQLSTATE.
        if _WIRE not in str(exc):
            raise
        raise StoreAwayError(f"{server}: {_first_line(exc)}: {_LOST}") from exc


def translate(server: PostgresServer, error: psycopg.Error | dbapi.Error) -> TickloopError:
    """Give our error for one of a client's; its text names server, setting and remedy, and holds no password."""
    kind, remedy = _verdict(error)
    return kind(f"{server}: {_first_line(error)}: {remedy}")


def _verdict(error: psycopg.Error | dbapi.Error) -> tuple[type[TickloopError], str]:
    state = error.sqlstate
    if state is not None:
        other = (StoreError, "see what the server's log says of it")
        return _BY_STATE.get(state) or _BY_CLASS.get(state[:2], other)
    if isinstance(error, psycopg.DataError):
        return DataError, "a value is none that the table can hold"
    text = str(error)
    if not any(part in text for part in _STARTING):
        for part, kind, remedy in _BY_TEXT:
            if part in text:
                return kind, remedy
    if isinstance(error, psycopg.OperationalError | dbapi.OperationalError):
        return StoreAwayError, _AWAY
    return StoreError, "see what the server's log says of it"


def _first_line(error: Exception) -> str:
    text = str(error).strip().split("\n", 1)[0].split(". SQLSTATE:")[0]
    return text.rstrip(".") or type(error).__name__
