"""The SQL that makes users, databases and schemas."""

from __future__ import annotations

import pytest

from tickloop.errors import SettingsError

pytest.importorskip("psycopg")
from tickloop.adapters.postgres.roles import Account, scram_verifier, script, setup

OWNER = Account("tickloop", "it's secret", b"0123456789abcdef")
READER = Account("grafana", "other secret", b"fedcba9876543210")


def test_script_holds_no_password() -> None:
    """It may be kept, and the server may log it."""
    text = script(list(setup([OWNER], [(READER, "tickloop")])))

    assert "secret" not in text
    assert "ALTER ROLE tickloop NOSUPERUSER NOCREATEDB NOCREATEROLE" in text
    assert "\\connect tickloop\nREVOKE ALL ON DATABASE tickloop FROM PUBLIC;" in text


def test_verifier_depends_on_password_and_salt() -> None:
    """That PostgreSQL lets a user in by it is shown with a real server."""
    salt = bytes.fromhex("00" * 16)

    assert scram_verifier("secret", salt).startswith("SCRAM-SHA-256$4096:AAAAAAAAAAAAAAAAAAAAAA==$")
    assert scram_verifier("secret", salt) != scram_verifier("Secret", salt)


@pytest.mark.parametrize("name", ["", "Tick", "a b", "a;b", "pg_x", 'a"b', "é"])
def test_name_that_would_need_quotes_is_refused(name: str) -> None:
    """Names stand in the SQL as they are."""
    with pytest.raises(SettingsError, match="is no name for PostgreSQL; valid: small letters"):
        Account(name, "secret", b"")


@pytest.mark.parametrize("password", ["", "geheimß", "a\nb"])
def test_password_that_clients_may_write_differently_is_refused(password: str) -> None:
    """Its text is not shown."""
    with pytest.raises(SettingsError, match="other than printable ASCII") as found:
        Account("tickloop", password, b"")

    assert password == "" or password not in str(found.value)
