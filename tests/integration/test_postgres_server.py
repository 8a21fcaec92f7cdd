"""A real PostgreSQL: its lock, its schema's versions, its users, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from pydantic import SecretStr

from fakes import START_MS
from postgres_servers import PASSWORD, admin, client_required, server_at
from servers import running
from tickloop.adapters.common.schema import Migration
from tickloop.bootstrap import open_app
from tickloop.domain.tables import REPAIR, TABLES, Table
from tickloop.domain.window import hour_of
from tickloop.errors import SchemaTooNewError, StoreAwayError, StoreError
from tickloop.settings import PostgresSettings, load_settings

if TYPE_CHECKING:
    from tickloop.adapters.postgres.connect import PostgresServer

pytest.importorskip("psycopg")
import psycopg

from tickloop.adapters.postgres.connect import open_plain
from tickloop.adapters.postgres.lock import PostgresWindowLock
from tickloop.adapters.postgres.migrations import MIGRATIONS, PERIODS, migrate, version_of
from tickloop.adapters.postgres.probe import check_postgres
from tickloop.adapters.postgres.roles import Account, Statement, script, setup
from tickloop.adapters.postgres.warehouse import PostgresWarehouse

pytestmark = pytest.mark.server

HOUR = hour_of(START_MS)
HOLDER = """
import sys

sys.path.insert(0, sys.argv[1])
from postgres_servers import server_at
from tickloop.adapters.postgres.lock import PostgresWindowLock
from tickloop.domain.window import hour_of

address, database, user, start_ms = sys.argv[2:]
with PostgresWindowLock(server_at(address, database, user)).hold("bars", "KRW-BTC", hour_of(int(start_ms))) as is_mine:
    print(is_mine, flush=True)
    sys.stdin.read()
"""
END_SESSIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
NEWEST = MIGRATIONS[-1].version
ADDED = Migration(NEWEST + 1, ("ALTER TABLE repair ADD COLUMN note text", "CREATE TABLE extra (a text)"))
BROKEN = Migration(NEWEST + 1, ("CREATE TABLE extra (a text)", "ALTER TABLE nowhere ADD COLUMN note text"))


@pytest.fixture
def lock(postgres: PostgresServer) -> Iterator[PostgresWindowLock]:
    made = PostgresWindowLock(postgres)
    yield made
    made.close()


def test_lock_of_a_killed_process_is_free(
    postgres_address: str, postgres: PostgresServer, lock: PostgresWindowLock
) -> None:
    """SIGKILL gives no chance to clean up: the server sees the connection end."""
    folder = Path(__file__).parents[1]
    arguments = [str(folder), postgres_address, postgres.database, postgres.user, str(START_MS)]
    command = [sys.executable, "-c", HOLDER, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        with lock.hold("bars", "KRW-BTC", HOUR) as while_held:
            assert not while_held

        holder.kill()

    until_sessions_are(postgres, 2)  # the lock's one idle, and the one that looks
    with lock.hold("bars", "KRW-BTC", HOUR) as after:
        assert after


def until_sessions_are(server: PostgresServer, count: int) -> None:
    """Wait, for half a minute at most, until the server has so many sessions on a database."""
    sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    with closing(open_plain(server)) as connection:
        for _ in range(600):
            found = connection.execute(sql).fetchone()
            if found == (count,):
                return
            connection.execute("SELECT pg_sleep(0.05)")
    raise AssertionError(f"{found} sessions are there")


def test_runner_whose_connection_was_lost_is_told_at_its_end(
    postgres_address: str, postgres: PostgresServer, lock: PostgresWindowLock
) -> None:
    """Another may have been let in meanwhile; the lock itself works on."""
    with (  # noqa: PT012 (it is the end of `hold` that raises)
        pytest.raises(StoreAwayError, match=r"PostgreSQL at 127\.0\.0\.1"),
        lock.hold("bars", "KRW-BTC", HOUR) as first,
    ):
        assert first
        with admin(postgres_address) as connection:
            connection.execute(END_SESSIONS, (postgres.database,))

    with lock.hold("bars", "KRW-BTC", HOUR) as after:
        assert after


def test_one_of_many_threads_gets_the_lock(lock: PostgresWindowLock) -> None:
    """All try at once, again and again: never two inside, and one always."""
    inside: list[int] = []

    def attempt(number: int) -> bool:
        with lock.hold("bars", "KRW-BTC", HOUR) as is_ours:
            if is_ours:
                inside.append(number)
                assert inside == [number]
                inside.remove(number)
            return is_ours

    with ThreadPoolExecutor(6) as pool:
        assert any(pool.map(attempt, range(60)))


def column_type(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.Datetime):
        return "timestamp(3) with time zone" if dtype.time_unit == "ms" else "bigint"
    known = {pl.Float64(): "double precision", pl.Int64(): "bigint", pl.Boolean(): "boolean", pl.Binary(): "bytea"}
    return known.get(dtype, "text")


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_newest_schema_has_the_columns_types_and_keys_of_the_table(
    emptied_postgres: PostgresServer, table: Table
) -> None:
    """A column added to `domain.tables` needs a migration."""
    with closing(open_plain(emptied_postgres)) as connection:
        found = connection.execute(
            "SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute"
            " WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum",
            (f'"{table.name}"',),
        ).fetchall()
        keys = connection.execute(
            "SELECT ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = indrelid AND attnum = ANY (indkey))"
            " FROM pg_index WHERE indrelid = %s::regclass AND indisunique",
            (f'"{table.name}"',),
        ).fetchall()

    assert found == [(name, column_type(dtype), name in table.required) for name, dtype in table.columns.items()]
    is_kept_by_months = table.name in PERIODS
    assert is_kept_by_months or set(table.key) in [set(key) for (key,) in keys]


def test_older_schema_is_brought_up_with_its_rows(postgres: PostgresServer) -> None:
    """What was stored before is still there."""
    with closing(open_plain(postgres)) as connection:
        connection.execute("INSERT INTO repair VALUES ('KRW-BTC', now(), now(), 'gone', 1)")

        migrate(connection, postgres, (*MIGRATIONS, ADDED))

        assert version_of(connection) == NEWEST + 1
        assert connection.execute("SELECT market, note FROM repair").fetchall() == [("KRW-BTC", None)]


def test_migration_that_fails_leaves_the_schema_as_it_was(postgres: PostgresServer) -> None:
    """All statements of all versions, or none."""
    with closing(open_plain(postgres)) as connection:
        with pytest.raises(psycopg.errors.UndefinedTable, match="nowhere"):
            migrate(connection, postgres, (*MIGRATIONS, BROKEN))

        assert version_of(connection) == NEWEST
        assert connection.execute("SELECT to_regclass('extra')").fetchone() == (None,)


def test_newer_schema_is_refused(postgres: PostgresServer) -> None:
    """By the warehouse and by the probe; nothing is changed."""
    with closing(open_plain(postgres)) as connection:
        connection.execute("UPDATE tickloop_schema SET version = 99")

    for call in (PostgresWarehouse, check_postgres):
        with pytest.raises(SchemaTooNewError, match=r"has schema version 99, .* up to 2; upgrade Tickloop"):
            call(postgres)


def test_processes_that_start_at_once_make_the_tables_once(empty_postgres: PostgresServer) -> None:
    """Six first openers; each is ready when it returns."""

    def start(_: int) -> int:
        with closing(PostgresWarehouse(empty_postgres)) as warehouse:
            return warehouse.read(REPAIR).height

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(start, range(6))) == [0] * 6


def test_table_of_somebody_else_is_not_taken_over(empty_postgres: PostgresServer) -> None:
    """It has one of our names, but we did not make it."""
    with closing(open_plain(empty_postgres)) as connection:
        connection.execute("CREATE TABLE ledger (a text)")

    with pytest.raises(StoreError, match=r'"ledger" already exists: .*; valid: an empty schema'):
        PostgresWarehouse(empty_postgres)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"password": "wrong"}, StoreError, r"postgres\.password is wrong or missing"),
        ({"password": None}, StoreError, r"postgres\.password is wrong or missing"),
        ({"database": "nowhere"}, StoreError, r"postgres\.database is not there"),
        ({"host": "no-such-host.invalid"}, StoreAwayError, r"postgres\.host"),
        ({"port": 1}, StoreAwayError, r"valid: a server that runs at postgres\.host and postgres\.port"),
        ({"sslmode": "verify-full", "ca_file": Path("/nowhere.pem")}, StoreError, r"postgres\.ca_file cannot be read"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_wrong_setting_is_named(
    postgres: PostgresServer, change: dict[str, Any], kind: type[StoreError], message: str, monkeypatch: Any
) -> None:
    """By the warehouse, the lock and the probe alike, without the password."""
    monkeypatch.delenv("PGPASSWORD", raising=False)
    wrong = replace(postgres, **change)

    def hold() -> None:
        with PostgresWindowLock(wrong).hold("bars", "KRW-BTC", HOUR):
            pass

    for call in (lambda: PostgresWarehouse(wrong), hold, lambda: check_postgres(wrong)):
        with pytest.raises(StoreError, match=message) as found:
            call()
        assert type(found.value) is kind
        assert PASSWORD not in str(found.value)


def test_probe_says_what_it_found_and_leaves_nothing(postgres: PostgresServer, empty_postgres: PostgresServer) -> None:
    """With tables it writes, reads back and deletes; without, it makes none."""
    assert "schema 2 of 2, writes and reads" in check_postgres(postgres)
    assert "no tables yet" in check_postgres(empty_postgres)

    with closing(open_plain(empty_postgres)) as connection:
        assert version_of(connection) == 0
    with closing(open_plain(postgres)) as connection:
        assert connection.execute("SELECT count(*) FROM repair").fetchone() == (0,)


def test_probe_finds_a_user_who_may_not_write(postgres_address: str, postgres: PostgresServer) -> None:
    """Neither where the server only reads, nor where the tables are not the user's."""
    with admin(postgres_address, postgres.database) as connection:
        connection.execute(f"REVOKE INSERT ON repair FROM {postgres.user}")
    with pytest.raises(StoreError, match=r"permission denied for table repair: postgres\.user may not do this"):
        check_postgres(postgres)

    with admin(postgres_address) as connection:
        connection.execute(f"ALTER DATABASE {postgres.database} SET default_transaction_read_only = on")
    with pytest.raises(StoreError, match=r"valid: a postgres\.host that takes writes"):
        check_postgres(postgres)


OWNERS = [Account(name, f"{name}'s own", name.encode().ljust(16, b"-")) for name in ("tickloop", "mlflow")]
READERS = [(Account("grafana", "only reads", b"0123456789abcdef"), "tickloop")]


def run_all(address: str, statements: list[Statement]) -> None:
    for statement in statements:
        with admin(address, statement.database) as connection:
            if statement.unless is None or connection.execute(statement.unless.encode()).fetchone() is None:
                connection.execute(statement.text.encode())


def test_users_see_their_own_database_and_nothing_else(tmp_path: Path) -> None:
    """On a server of the test's own, since users belong to all databases; the setup is run twice, once by psql."""
    client_required()
    statements = list(setup(OWNERS, READERS))
    with running("postgres", tmp_path / "server") as server:
        psql = ["psql", "--no-psqlrc", "--quiet", f"{server.address}/postgres"]
        done = subprocess.run(psql, input=script(statements), text=True, capture_output=True)
        assert (done.returncode, done.stderr) == (0, "")
        run_all(server.address, statements)
        ours, theirs, reader = (
            server_at(server.address, database, account.name, account.password)
            for account, database in ((OWNERS[0], "tickloop"), (OWNERS[1], "mlflow"), (READERS[0][0], "tickloop"))
        )

        with closing(PostgresWarehouse(ours)) as warehouse:
            assert warehouse.read(REPAIR).height == 0
        for wrong in (replace(ours, database="mlflow"), replace(theirs, database="tickloop")):
            with pytest.raises(StoreError, match=r"permission denied for database .*: postgres\.user may not do this"):
                PostgresWarehouse(wrong)
        with closing(open_plain(ours)) as connection:
            assert connection.execute("SELECT current_schema()").fetchone() == ("tickloop",)
            for sql in (
                "CREATE TABLE public.x (a int)",
                "CREATE DATABASE x",
                "CREATE ROLE x",
                "SELECT * FROM pg_authid",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(sql)
        with closing(open_plain(reader)) as connection:
            assert connection.execute("SELECT count(*) FROM repair").fetchone() == (0,)
            for sql in ("INSERT INTO repair SELECT * FROM repair", "DELETE FROM repair", "CREATE TABLE x (a int)"):
                with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction)):
                    connection.execute(sql)
        with pytest.raises(StoreError, match=r"postgres\.user may not do this|only reads"):
            check_postgres(reader)


def test_tls_is_checked_against_the_authority_of_the_settings(tmp_path: Path) -> None:
    """The server's own certificate is its authority; another one's is refused."""
    client_required()
    with running("postgres", tmp_path / "server") as server:
        plain = server_at(server.address, "postgres")
        own = replace(plain, sslmode="verify-full", ca_file=tmp_path / "server" / "data" / "server.crt")
        other = tmp_path / "other.crt"
        make_certificate(other)

        assert "no tables yet" in check_postgres(own)
        with pytest.raises(StoreError, match=r"the server's certificate is not of postgres\.ca_file"):
            check_postgres(replace(own, ca_file=other))


def make_certificate(path: Path) -> None:
    subject = ["-subj", "/CN=other", "-keyout", str(path.with_suffix(".key")), "-out", str(path)]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run(command, check=True, capture_output=True)


def test_cluster_profile_stands_on_the_server_of_the_settings(postgres: PostgresServer, tmp_path: Path) -> None:
    """Warehouse and lock of an App; its end closes both."""
    section = PostgresSettings(
        host=postgres.host,
        port=postgres.port,
        database=postgres.database,
        user=postgres.user,
        password=SecretStr(PASSWORD),
        sslmode="disable",
    )

    with open_app(load_settings(tmp_path, profile="cluster", postgres=section)) as app:
        assert app.warehouse.read(REPAIR).height == 0
        with app.lock.hold("bars", "KRW-BTC", HOUR) as is_ours:
            assert is_ours

    until_sessions_are(postgres, 1)
    assert not (tmp_path / "warehouse.sqlite").exists()
