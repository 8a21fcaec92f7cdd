"""Commands about models: the registry, and the way back."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tickloop.entrypoints.commands.options import AsJson, Home, print_json
from tickloop.errors import UnknownMarketError


def register(app: typer.Typer) -> None:
    for command in (models, rollback):
        app.command()(command)


def models(home: Home = None, as_json: AsJson = False) -> None:
    """List the registered models of every market, the champion, and why it is."""
    from tickloop.bootstrap import open_app
    from tickloop.settings import load_settings

    with open_app(load_settings(home)) as app:
        shown: list[dict[str, Any]] = [
            {
                "market": market,
                "champion": champion.name if (champion := app.registry.champion(market)) is not None else None,
                "decisions": [decision.reason for decision in app.registry.decisions(market)],
                "versions": [
                    {"name": version.name, "aliases": list(version.aliases), "metrics": dict(version.metrics)}
                    for version in app.registry.versions(market)
                ],
            }
            for market in app.settings.markets
        ]
    if as_json:
        print_json(shown)
        return
    for row in shown:
        typer.echo(f"{row['market']}: champion {row['champion']}")
        for version in row["versions"]:
            figures = ", ".join(f"{name} {value:.4g}" for name, value in sorted(version["metrics"].items()))
            typer.echo(f"  {version['name']:<16} {','.join(version['aliases']):<10} {figures}")
        for reason in row["decisions"]:
            typer.echo(f"  - {reason}")


def rollback(
    market: Annotated[str, typer.Option("--market", help="Market, for example KRW-BTC.")], home: Home = None
) -> None:
    """Make the previous champion the champion again."""
    from tickloop.bootstrap import open_app
    from tickloop.services.promote import rollback as roll_back
    from tickloop.settings import load_settings

    with open_app(load_settings(home)) as app:
        if market not in app.settings.markets:
            raise UnknownMarketError(market, app.settings.markets)
        typer.echo(roll_back(app.registry, market, app.clock).reason)
