"""Backup and restore of the databases, by the very scripts that the cluster runs, on a real PostgreSQL."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from deploy_manifests import KUBERNETES

from postgres_servers import admin, client_required
from servers import Server, required, running

pytestmark = pytest.mark.server

SCRIPTS = KUBERNETES / "base" / "scripts"
OWNER = "tickloop"
READER = "analyst"


@dataclass(frozen=True)
class Store:
    """A server of the test's own, whose databases may go, and the folder of its backups."""

    server: Server
    folder: Path
    tools: str

    def run(self, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
        url = urlsplit(self.server.address)
        where = {
            "PGHOST": url.hostname or "",
            "PGPORT": str(url.port),
            "PGUSER": url.username or "",
            "PGPASSWORD": url.password or "",
        }
        line = ["bash", str(SCRIPTS / script), str(self.folder)]
        variables = {**os.environ, **where, "PATH": f"{self.tools}:{os.environ['PATH']}", **environment}
        return subprocess.run(line, env=variables, capture_output=True, text=True, check=False)

    def backups(self) -> list[str]:
        return sorted(one.name for one in self.folder.iterdir())

    def ask(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        with admin(self.server.address, database) as connection:
            return list(connection.execute(statement))

    def do(self, *statements: str, database: str = "postgres") -> None:
        with admin(self.server.address, database) as connection:
            for statement in statements:
                connection.execute(statement)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    client_required()
    required("postgres")
    with running("postgres", tmp_path_factory.mktemp("backups") / "server") as server:
        yield server


@pytest.fixture
def store(server: Server, tmp_path: Path) -> Iterator[Store]:
    store = Store(server, tmp_path / "backups", str(_tools()))
    store.do(
        f"CREATE ROLE {OWNER} LOGIN PASSWORD 'one'",
        f"CREATE ROLE {READER} LOGIN PASSWORD 'two'",
        f"CREATE DATABASE {OWNER} OWNER {OWNER} ENCODING 'UTF8' TEMPLATE template0",
        f"REVOKE ALL ON DATABASE {OWNER} FROM PUBLIC",
        f"GRANT CONNECT ON DATABASE {OWNER} TO {READER}",
        f"ALTER ROLE {READER} IN DATABASE {OWNER} SET search_path = {OWNER}",
    )
    store.do(
        f"CREATE SCHEMA {OWNER} AUTHORIZATION {OWNER}",
        f"SET ROLE {OWNER}",
        "CREATE TABLE trade (id bigint PRIMARY KEY, price double precision)",
        "INSERT INTO trade SELECT n, n * 0.1 FROM generate_series(1, 10000) n",
        f"GRANT USAGE ON SCHEMA {OWNER} TO {READER}",
        f"GRANT SELECT ON trade TO {READER}",
        database=OWNER,
    )
    yield store
    for name in store.ask("SELECT datname FROM pg_database WHERE datname LIKE 'tickloop%'"):
        store.do(f'ALTER DATABASE "{name[0]}" WITH ALLOW_CONNECTIONS true', f'DROP DATABASE "{name[0]}" WITH (FORCE)')
    store.do(f"DROP ROLE {OWNER}", f"DROP ROLE {READER}")


def test_what_was_lost_comes_back_with_owner_rights_and_settings(store: Store) -> None:
    before = _fingerprint(store)
    rights = _rights(store)
    assert _ok(store.run("backup.sh"))
    store.do("DELETE FROM tickloop.trade WHERE id % 3 = 0", database=OWNER)

    restored = store.run("restore.sh")

    assert _ok(restored)
    assert _fingerprint(store) == before
    assert _rights(store) == rights
    assert store.ask("SELECT has_table_privilege('analyst', 'tickloop.trade', 'SELECT')", OWNER) == [(True,)]


def test_a_database_that_is_gone_comes_back_with_its_users(store: Store) -> None:
    before = _fingerprint(store)
    rights = _rights(store)
    assert _ok(store.run("backup.sh"))
    store.do(f"DROP DATABASE {OWNER} WITH (FORCE)", f"DROP ROLE {READER}", f"DROP ROLE {OWNER}")

    restored = store.run("restore.sh")

    assert _ok(restored)
    assert _fingerprint(store) == before
    assert _rights(store) == rights


def test_what_was_there_before_a_restore_is_kept_beside_it(store: Store) -> None:
    assert _ok(store.run("backup.sh"))
    store.do("DELETE FROM tickloop.trade WHERE id > 10", database=OWNER)

    assert _ok(store.run("restore.sh"))

    store.do(f"ALTER DATABASE {OWNER}_before WITH ALLOW_CONNECTIONS true")
    assert store.ask("SELECT count(*) FROM tickloop.trade", f"{OWNER}_before") == [(10,)]


def test_a_damaged_backup_changes_nothing(store: Store) -> None:
    assert _ok(store.run("backup.sh"))
    store.do("DELETE FROM tickloop.trade WHERE id > 10", database=OWNER)
    dump = store.folder / store.backups()[0] / f"{OWNER}.dump"
    dump.write_bytes(dump.read_bytes()[:-100])

    restored = store.run("restore.sh")

    assert restored.returncode != 0
    assert "is damaged" in restored.stderr
    assert store.ask("SELECT count(*) FROM tickloop.trade", OWNER) == [(10,)]


def test_a_backup_that_is_not_there_is_named_with_those_that_are(store: Store) -> None:
    assert _ok(store.run("backup.sh"))

    restored = store.run("restore.sh", FROM="2020-01-01T000000Z")

    assert restored.returncode == 1
    assert store.backups()[0] in restored.stderr


def test_old_backups_go_and_the_newest_stay(store: Store) -> None:
    store.folder.mkdir()
    for day in (1, 2, 3):
        (store.folder / f"2020-01-0{day}T000000Z").mkdir()
    (store.folder / ".part.2020-01-04T000000Z").mkdir()

    assert _ok(store.run("backup.sh", KEEP="2"))

    old, new = store.backups()
    assert old == "2020-01-03T000000Z"
    assert (store.folder / new / "users.sql").is_file()


def test_a_backup_that_fails_leaves_no_folder_that_counts(store: Store) -> None:
    store.folder.mkdir()

    failed = store.run("backup.sh", PGPORT="1")

    assert failed.returncode != 0
    assert [name for name in store.backups() if not name.startswith(".part.")] == []


def _ok(done: subprocess.CompletedProcess[str]) -> bool:
    assert done.returncode == 0, done.stderr
    return True


def _fingerprint(store: Store) -> list[tuple[object, ...]]:
    return store.ask(
        "SELECT count(*), sum(id), md5(string_agg(id || ':' || price, ',' ORDER BY id)) FROM tickloop.trade", OWNER
    )


def _rights(store: Store) -> list[tuple[object, ...]]:
    return store.ask(
        "SELECT r.rolname, d.datacl::text, s.setconfig::text FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba"
        f" LEFT JOIN pg_db_role_setting s ON s.setdatabase = d.oid WHERE datname = '{OWNER}'"
    )


def _tools() -> Path:
    """Give the folder of pg_dump and pg_restore that are as new as the server."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_dump"), key=lambda path: int(path.parts[-3]))
    path = str(found[-1]) if found else shutil.which("pg_dump")
    assert path is not None, "pg_dump is not there; on Debian: apt-get install postgresql"
    return Path(path).parent
