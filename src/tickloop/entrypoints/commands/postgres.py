"""The command that prepares a PostgreSQL server for the programs of a cluster."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Annotated

import typer

from tickloop.errors import SettingsError

_SALT_BYTES = 16
_READERS = "readers"


def register(app: typer.Typer) -> None:
    app.command("postgres-setup")(postgres_setup)


def postgres_setup(
    passwords: Annotated[
        Path,
        typer.Argument(
            help='TOML file that only its owner can read: a line `NAME = "password"` for each of tickloop, mlflow,'
            " airflow and optuna, and below [readers] for each who may read tickloop's tables."
        ),
    ],
) -> None:
    """Print the SQL by which an admin makes users, databases and schemas: psql < it, as often as you like."""
    from tickloop.adapters.postgres.roles import Account, script, setup

    owners, readers = _read(passwords)
    statements = setup(
        [Account(name, password, os.urandom(_SALT_BYTES)) for name, password in owners.items()],
        [(Account(name, password, os.urandom(_SALT_BYTES)), "tickloop") for name, password in readers.items()],
    )
    typer.echo(script(list(statements)), nl=False)


def _read(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Give the passwords of owners and readers by name; no password is in the text of an error."""
    from tickloop.adapters.postgres.roles import PROGRAMS

    try:
        mode = path.stat().st_mode & 0o777
        if mode & 0o077:
            raise SettingsError(f"{path} can be read by others (mode {mode:o}); valid: chmod 600")
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise SettingsError(f"{path} cannot be read: {exc.strerror}") from exc
    except ValueError:  # the texts of TOML show what stands there
        raise SettingsError(f'{path} is not valid TOML; valid: lines NAME = "password"') from None
    readers = values.pop(_READERS, {})
    unknown = sorted(values.keys() - set(PROGRAMS))
    missing = [name for name in PROGRAMS[:1] if name not in values]
    if unknown or missing:
        raise SettingsError(
            f"{path} names {unknown or 'not ' + missing[0]}; valid: {', '.join(PROGRAMS)}, [{_READERS}]"
        )
    if not isinstance(readers, dict) or (readers and "tickloop" not in values):
        raise SettingsError(f'{path}: [{_READERS}] is no table; valid: NAME = "password" below it')
    wrong = [name for name, value in {**values, **readers}.items() if not isinstance(value, str)]
    if wrong:
        raise SettingsError(f'{path}: the password of {wrong[0]} is no text; valid: "..."')
    return values, readers
