"""What PostgreSQL and its clients say, as errors of ours that name setting, server and remedy."""

from __future__ import annotations

import pytest

from tickloop.errors import DataError, StoreAwayError, StoreError, TickloopError

pytest.importorskip("psycopg")
import polars as pl
import psycopg

from tickloop.adapters.postgres.connect import PostgresServer
from tickloop.adapters.postgres.errors import translate, translated

SERVER = PostgresServer("db.example", 5432, "tickloop", "tickloop", "very-secret")


@pytest.mark.parametrize(
    ("state", "kind", "remedy"),
    [
        ("28P01", StoreError, "postgres.password"),
        ("3D000", StoreError, "postgres.database"),
        ("42501", StoreError, "postgres.user"),
        ("42P01", StoreError, "valid: an empty schema"),
        ("25006", StoreError, "postgres.host"),
        ("53100", StoreAwayError, "disk is full; nothing was written"),
        ("53300", StoreAwayError, "max_connections"),
        ("55P03", StoreAwayError, "another process held the rows"),
        ("57P01", StoreAwayError, "stopping or starting"),
        ("08006", StoreAwayError, "the connection was lost"),
        ("40001", StoreAwayError, "try again"),
        ("22003", DataError, "none that the table can hold"),
        ("23505", DataError, "contradicts"),
        ("XX000", StoreError, "the server's log"),
    ],
)
def test_state_decides_who_must_act(state: str, kind: type[TickloopError], remedy: str) -> None:
    """By SQLSTATE, whatever the language of the server's texts."""
    found = translate(SERVER, psycopg.errors.lookup(state)("서버의 말\nmore of it"))

    assert type(found) is kind
    assert str(found).startswith("PostgreSQL at db.example:5432, database tickloop, user tickloop: 서버의 말: ")
    assert remedy in str(found)


@pytest.mark.parametrize(
    ("text", "kind", "setting"),
    [
        ('FATAL:  password authentication failed for user "tickloop"', StoreError, "postgres.password"),
        ("fe_sendauth: no password supplied", StoreError, "postgres.password"),
        ('FATAL:  database "x" does not exist', StoreError, "postgres.database"),
        ('FATAL:  permission denied for database "x"', StoreError, "postgres.user"),
        ('FATAL:  role "x" does not exist', StoreError, "postgres.user"),
        ('FATAL:  no pg_hba.conf entry for host "x"', StoreError, "postgres.sslmode"),
        ("server does not support SSL, but SSL was required", StoreError, "postgres.sslmode"),
        ("SSL error: certificate verify failed", StoreError, "postgres.ca_file"),
        ('could not translate host name "db.example" to address', StoreAwayError, "postgres.host"),
        ("connection failed: Connection refused", StoreAwayError, "postgres.port"),
        ("FATAL:  the database system is starting up", StoreAwayError, "postgres.host"),
        ("FATAL:  sorry, too many clients already", StoreAwayError, "postgres.host"),
    ],
)
def test_refused_connection_names_the_setting(text: str, kind: type[TickloopError], setting: str) -> None:
    """Before there is a session libpq gives no state, only its text."""
    found = translate(SERVER, psycopg.OperationalError(f'connection to server at "10.0.0.1" failed: {text}'))

    assert type(found) is kind
    assert setting in str(found)


def test_password_is_in_no_text() -> None:
    """Neither in the server's name nor in how it is shown."""
    assert "very-secret" not in f"{SERVER} {SERVER!r}"
    assert "very-secret" in SERVER.conninfo()


def test_read_that_the_server_ends_on_the_way_is_a_server_that_is_away() -> None:
    """The rows come through polars, whose error carries the client's text alone; seen when a server was stopped."""
    said = "got external error: [libpq] Execution error [PGRES_FATAL_ERROR]: FATAL:  terminating connection\n"

    with pytest.raises(StoreAwayError, match="terminating connection: the connection was lost"), translated(SERVER):
        raise pl.exceptions.ComputeError(said)


def test_other_error_of_polars_stays_what_it_is() -> None:
    """It is none of the server's."""
    with pytest.raises(pl.exceptions.ComputeError), translated(SERVER):
        raise pl.exceptions.ComputeError("cannot compare a word with a number")
