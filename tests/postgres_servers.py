"""Databases of their own on a real PostgreSQL, for users who own nothing but them."""

from __future__ import annotations

import importlib.util
import os
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from servers import address_of

if TYPE_CHECKING:
    import psycopg

    from tickloop.adapters.postgres.connect import PostgresServer

PASSWORD = "of-a-test-user"


def client_required() -> None:
    """Skip, or fail where servers are required, unless the client libraries are installed."""
    if all(importlib.util.find_spec(name) for name in ("psycopg", "adbc_driver_postgresql")):
        return
    reason = "the PostgreSQL clients are not installed: pip install 'tickloop[cluster]'"
    if os.environ.get("TICKLOOP_TEST_REQUIRE_SERVERS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def server_at(address: str, database: str, user: str | None = None, password: str = PASSWORD) -> PostgresServer:
    """Give a database at an address of `servers`, for a user with the tests' password, or for its superuser."""
    from tickloop.adapters.postgres.connect import PostgresServer

    url = urlsplit(address)
    assert url.hostname is not None
    assert url.port is not None
    assert url.username is not None
    if user is None:
        return PostgresServer(url.hostname, url.port, database, url.username, url.password, "disable")
    return PostgresServer(url.hostname, url.port, database, user, password, "disable")


@contextmanager
def admin(address: str, database: str = "postgres") -> Iterator[psycopg.Connection]:
    """Give a superuser's connection in autocommit mode."""
    from tickloop.adapters.postgres.connect import open_plain

    with closing(open_plain(server_at(address, database))) as connection:
        yield connection


@contextmanager
def new_user(address: str) -> Iterator[str]:
    """Give the name of a user without rights, who is gone after the block."""
    name = f"test_{uuid.uuid4().hex}"
    with admin(address) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
    try:
        yield name
    finally:
        with admin(address) as connection:
            connection.execute(f"DROP ROLE {name}")


@contextmanager
def new_database(address: str, owner: str, template: str = "template0") -> Iterator[PostgresServer]:
    """Give a database of this user's, with all that the template holds; it is gone after the block."""
    name = f"test_{uuid.uuid4().hex}"
    with admin(address) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} OWNER {owner} STRATEGY FILE_COPY")
    try:
        yield server_at(address, name, owner)
    finally:  # after a failed test too: its database would hold on to a role that other tests share
        with admin(address) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def new_template(address: str, owner: str) -> Iterator[PostgresServer]:
    """Give a database with the newest schema and no rows, to copy for each test: to migrate takes longer."""
    from tickloop.adapters.postgres.warehouse import PostgresWarehouse

    with new_database(address, owner) as server:
        PostgresWarehouse(server).close()
        yield server


@pytest.fixture(scope="session")
def postgres_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server, with its superuser."""
    client_required()
    with address_of("postgres", tmp_path_factory.mktemp("postgres")) as address:
        yield address


@pytest.fixture(scope="session")
def postgres_template(postgres_address: str) -> Iterator[PostgresServer]:
    """A database with our newest schema that is only copied, and its owner."""
    with new_user(postgres_address) as owner, new_template(postgres_address, owner) as template:
        yield template


@pytest.fixture
def postgres(postgres_address: str, postgres_template: PostgresServer) -> Iterator[PostgresServer]:
    """A database of the test's own with our newest schema, for the user who owns it."""
    with new_database(postgres_address, postgres_template.user, postgres_template.database) as server:
        yield server


@pytest.fixture(scope="session")
def _session_postgres(postgres_address: str, postgres_template: PostgresServer) -> Iterator[PostgresServer]:
    with new_database(postgres_address, postgres_template.user, postgres_template.database) as server:
        yield server


@pytest.fixture
def emptied_postgres(_session_postgres: PostgresServer) -> PostgresServer:
    """The database of the session, without rows: for tests that leave nothing but rows; there at once."""
    from tickloop.adapters.postgres.connect import open_plain
    from tickloop.domain.tables import TABLES

    with closing(open_plain(_session_postgres)) as connection:
        connection.execute("; ".join(f'DELETE FROM "{table.name}"' for table in TABLES))
    return _session_postgres


@pytest.fixture
def empty_postgres(postgres_address: str, postgres_template: PostgresServer) -> Iterator[PostgresServer]:
    """A database of the test's own without any table."""
    with new_database(postgres_address, postgres_template.user) as server:
        yield server
