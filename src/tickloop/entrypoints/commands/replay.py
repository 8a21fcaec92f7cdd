"""`tickloop backtest --replay SESSION`: what a bot's session decided, decided again and shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from tickloop.entrypoints.commands.options import print_json
from tickloop.errors import CheckFailedError

if TYPE_CHECKING:
    from pathlib import Path

    from tickloop.services.replay_result import ReplayResult


def replay(session: str, home: Path | None, *, as_json: bool) -> None:
    """Replay a session of the home's bot by its name or folder, or the `last` one, and show what came of it.

    Raises:
        UsageError: there is no such session.
        DataError: it is incomplete, with the reason.
        CheckFailedError: replay and session are not equal; says where they part.
    """
    from tickloop.bootstrap import open_app
    from tickloop.services.replay_session import replay_session
    from tickloop.settings import load_settings

    with open_app(load_settings(home)) as app:
        result = replay_session(app.recorded_session(session))
    if as_json:
        print_json({**result.summary(), "rows": result.rows()})
    else:
        show(result)
    if not result.is_equal:
        raise CheckFailedError(f"session {result.session}: {result.difference}")


def show(result: ReplayResult) -> None:
    """Print the orders as a table, and the figures below."""
    for row in result.rows():
        filled = f"{row['executed_qty']} for {row['executed_funds']} KRW" if row["filled_at"] else "nothing"
        typer.echo(
            f"{row['decided_at']:<32} {row['market']:<10} {row['side']:<4} {row['requested']:>14} at"
            f" {row['price']:>14,.10g}  {row['state']:<12} {filled}"
        )
    for name, value in result.summary().items():
        typer.echo(f"{name:<12} {value}")
