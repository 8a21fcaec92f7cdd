"""Commands about the delivery of the journal, and about what may be removed of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tickloop.entrypoints.commands.options import AsJson, Home, print_json
from tickloop.errors import CheckFailedError, UsageError

if TYPE_CHECKING:
    from threading import Event

    from tickloop.services.janitor import Cleaned
    from tickloop.services.ship import Shipped


def register(app: typer.Typer) -> None:
    app.command()(ship)
    app.command()(janitor)
    app.command("fluentd-config")(fluentd_config)


def ship(
    once: Annotated[
        bool, typer.Option("--once", help="Deliver all that is there and end; 3 if some was refused.")
    ] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Deliver the journal to OpenSearch as it grows: the same as fluentd, without it."""
    from tickloop.bootstrap import open_app
    from tickloop.entrypoints import mains
    from tickloop.entrypoints.process import leave, run_threaded
    from tickloop.entrypoints.shipper import SHIPPER, figures_of, run_shipper, words_of

    if as_json and not once:
        raise UsageError("--json was given without --once; valid: --once --json, or tickloop status --json meanwhile")
    done: list[Shipped] = []

    def main(stop: Event) -> None:
        done.append(run_shipper(app, stop, once=once))

    with open_app(mains.start(SHIPPER, home)) as app:
        code = run_threaded(SHIPPER, app.board, main)
    if once and done:
        if as_json:
            print_json(figures_of(done[0]))
        else:
            typer.echo(words_of(done[0]))
        if done[0].refused:
            raise CheckFailedError(f"{done[0].refused:,} lines were refused; they are in the dead letter, with reasons")
    leave(code)


def janitor(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Delete nothing; say what would go.")] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Remove journal segments that are loaded, counted and delivered, and old days of OpenSearch."""
    from dataclasses import asdict

    from tickloop.bootstrap import open_app
    from tickloop.services.janitor import janitor as clean
    from tickloop.settings import load_settings

    with open_app(load_settings(home)) as app:
        done = clean(
            app,
            app.segment_keeper(),
            app.prunables(),
            keep_ms=app.journal_keep_ms,
            needs_delivery=app.needs_delivery,
            dry_run=dry_run,
        )
    if as_json:
        print_json({**asdict(done), "dry_run": dry_run})
    else:
        _show(done, "would be removed" if dry_run else "removed")


def fluentd_config(home: Home = None) -> None:
    """Print fluentd's configuration for this home, and write the index template that it names."""
    from tickloop.bootstrap import open_app
    from tickloop.settings import load_settings

    with open_app(load_settings(home)) as app:
        text, template = app.fluentd_config()
    typer.echo(text, nl=False)
    typer.echo(f"tickloop: wrote {template}", err=True)


def _show(done: Cleaned, verb: str) -> None:
    typer.echo(f"{len(done.removed)} segments {verb}, {done.removed_bytes:,} bytes; {done.young} are too young")
    for one in done.kept:
        typer.echo(f"  {one.name} stays: {one.reason}")
    if done.pruned:
        typer.echo(f"deleted: {', '.join(done.pruned)}")
