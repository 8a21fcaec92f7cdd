"""Users, databases and schemas of the programs that share one PostgreSQL server, as SQL that its admin runs. Pure.

Each program has a user without any right of a superuser, a database that only it and its readers may connect to, and
there a schema of the user's own name, which PostgreSQL looks into first; nobody makes anything in `public`. Every
statement may be run again: what is there stays, but passwords become those given.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tickloop.errors import SettingsError

PROGRAMS = ("tickloop", "mlflow", "airflow", "optuna")
"""Programs that keep tables on the server of a cluster; each has a user and a database of its name."""

_ROUNDS = 4096  # what PostgreSQL itself uses (`scram_iterations`)
_NAME = re.compile(r"^[a-z][a-z0-9_]{0,62}$")
_PRINTABLE = re.compile(r"^[ -~]+$")


@dataclass(frozen=True)
class Account:
    """A user who owns a database, or who reads the tables of one.

    Attributes:
        salt: random bytes, 16 of them, new for each password.
    """

    name: str
    password: str = field(repr=False)
    salt: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not _NAME.match(self.name) or self.name.startswith("pg_"):
            raise SettingsError(f"user {self.name!r} is no name for PostgreSQL; valid: small letters, digits and _")
        if not _PRINTABLE.match(self.password):
            raise SettingsError(f"the password of {self.name} is empty or has other than printable ASCII characters")


class Statement(NamedTuple):
    """One statement, to be run in a database outside a transaction; only when `unless` finds nothing, if given."""

    database: str
    text: str
    unless: str | None = None


def setup(
    owners: Sequence[Account], readers: Sequence[tuple[Account, str]] = (), admin: str = "postgres"
) -> Iterator[Statement]:
    """Yield the statements that make users, databases and schemas.

    Args:
        owners: each gets a database and a schema of its name.
        readers: who may read all tables, also later ones, of which owner.
        admin: a database to start from.
    """
    for owner in owners:
        yield from _user(owner, admin)
        there = f"SELECT FROM pg_database WHERE datname = '{owner.name}'"
        yield Statement(
            admin, f"CREATE DATABASE {owner.name} OWNER {owner.name} ENCODING 'UTF8' TEMPLATE template0", there
        )
        yield from _own_database(owner.name)
    for reader, of in readers:
        yield from _user(reader, admin)
        yield Statement(of, f"GRANT CONNECT ON DATABASE {of} TO {reader.name}")
        yield Statement(of, f"GRANT USAGE ON SCHEMA {of} TO {reader.name}")
        yield Statement(of, f"GRANT SELECT ON ALL TABLES IN SCHEMA {of} TO {reader.name}")
        rights = f"ALTER DEFAULT PRIVILEGES FOR ROLE {of} IN SCHEMA {of} GRANT SELECT ON TABLES TO {reader.name}"
        yield Statement(of, rights)
        yield Statement(of, f"ALTER ROLE {reader.name} IN DATABASE {of} SET search_path = {of}")
        yield Statement(of, f"ALTER ROLE {reader.name} IN DATABASE {of} SET default_transaction_read_only = on")


def script(statements: Sequence[Statement]) -> str:
    """Give statements as a script for `psql`; it holds verifiers of the passwords, not the passwords."""
    lines = ["\\set ON_ERROR_STOP on"]
    database = None
    for statement in statements:
        if statement.database != database:
            database = statement.database
            lines.append(f"\\connect {database}")
        if statement.unless is None:
            lines.append(f"{statement.text};")
        else:
            text = statement.text.replace("'", "''")
            lines.append(f"SELECT '{text}' WHERE NOT EXISTS ({statement.unless}) \\gexec")
    return "\n".join([*lines, ""])


def scram_verifier(password: str, salt: bytes, rounds: int = _ROUNDS) -> str:
    """Give what PostgreSQL keeps of a password, so that the password itself is sent to no server and no log.

    Source: RFC 5802, section 3; PostgreSQL's `pg_authid.rolpassword`.
    """
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    stored, server, salt_text = (
        base64.b64encode(part).decode() for part in (hashlib.sha256(client_key).digest(), server_key, salt)
    )
    return f"SCRAM-SHA-256${rounds}:{salt_text}${stored}:{server}"


def _user(account: Account, admin: str) -> Iterator[Statement]:
    there = f"SELECT FROM pg_roles WHERE rolname = '{account.name}'"
    yield Statement(admin, f"CREATE ROLE {account.name} LOGIN", there)
    verifier = scram_verifier(account.password, account.salt)
    yield Statement(
        admin,
        f"ALTER ROLE {account.name} NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS LOGIN"
        f" PASSWORD '{verifier}'",
    )


def _own_database(name: str) -> Iterator[Statement]:
    yield Statement(name, f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")
    yield Statement(name, "REVOKE ALL ON SCHEMA public FROM PUBLIC")
    # From PostgreSQL 15 on, who owns a database owns its `public` too.
    yield Statement(name, "ALTER SCHEMA public OWNER TO CURRENT_USER")
    yield Statement(name, f"CREATE SCHEMA IF NOT EXISTS {name} AUTHORIZATION {name}")
