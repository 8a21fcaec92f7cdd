"""`tickloop`: the one program. Commands parse input, call one service, and show the result."""

from __future__ import annotations

import sys

import typer

from tickloop import __version__
from tickloop.entrypoints.commands import (
    backtests,
    data,
    demo,
    doctor,
    models,
    postgres,
    processes,
    ship,
    sweep,
    walkforward,
)
from tickloop.errors import TickloopError

app = typer.Typer(
    help="Upbit's KRW markets from tick to trade.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for module in (demo, data, doctor, models, backtests, sweep, walkforward, processes, ship, postgres):
    module.register(app)


@app.callback(invoke_without_command=True)
def root(
    version: bool = typer.Option(False, "--version", help="Show the version and exit."),
) -> None:
    if version:
        typer.echo(f"tickloop {__version__}")
        raise typer.Exit


def main() -> None:
    """Run a command; end with 0 done, 1 a failure, 2 wrong use, 3 a check that did not hold."""
    try:
        app()
    except TickloopError as exc:
        typer.echo(f"tickloop: {exc}", err=True)
        sys.exit(exc.exit_code)
