"""`tickloop postgres-setup`: the SQL that an admin runs, by the program itself, on a real server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from servers import running


def setup_sql(folder: Path, text: str, mode: int = 0o600) -> subprocess.CompletedProcess[str]:
    path = folder / "passwords.toml"
    path.write_text(text)
    path.chmod(mode)
    command = [sys.executable, "-m", "tickloop", "postgres-setup", str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, "HOME": str(folder)})


def test_script_makes_users_who_see_their_own_database_only(tmp_path: Path) -> None:
    """Run twice by psql; then each user logs in with its password, and not where it has no business."""
    with running("postgres", tmp_path / "server") as server:
        made = setup_sql(tmp_path, 'tickloop = "one"\nmlflow = "two"\n[readers]\ngrafana = "three"\n')
        assert made.returncode == 0, made.stderr
        for _ in range(2):
            done = subprocess.run(
                ["psql", server.address], input=made.stdout, capture_output=True, text=True, timeout=60
            )
            assert done.returncode == 0, done.stderr
        place = urlsplit(server.address)

        def login(user: str, password: str, database: str) -> psycopg.Connection:
            return psycopg.connect(
                host=place.hostname, port=place.port, user=user, password=password, dbname=database, autocommit=True
            )

        with login("tickloop", "one", "tickloop") as ours:
            ours.execute("CREATE TABLE seen (n int)")
        with login("grafana", "three", "tickloop") as reader:
            assert reader.execute("SELECT count(*) FROM seen").fetchone() == (0,)
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                reader.execute("DELETE FROM seen")
        with pytest.raises(psycopg.OperationalError):
            login("mlflow", "two", "tickloop")
    assert not any(word in made.stdout for word in ("'one'", "'two'", "'three'"))


@pytest.mark.parametrize(
    ("text", "mode", "says"),
    [
        ('tickloop = "one"', 0o644, "can be read by others"),
        ('mlflow = "two"', 0o600, "names not tickloop; valid: tickloop, mlflow, airflow, optuna"),
        (
            'tickloop = "one"\ngrafana = "x"',
            0o600,
            "names ['grafana']; valid: tickloop, mlflow, airflow, optuna, [readers]",
        ),
        ("tickloop = secret", 0o600, "is not valid TOML"),
        ("tickloop = 7", 0o600, "the password of tickloop is no text"),
    ],
)
def test_wrong_file_is_refused_without_a_word_of_what_stands_in_it(
    tmp_path: Path, text: str, mode: int, says: str
) -> None:
    """Exit code 1, one line, no password."""
    done = setup_sql(tmp_path, text, mode)

    assert done.returncode == 1
    assert says in done.stderr
    assert "secret" not in done.stderr
    assert done.stdout == ""
