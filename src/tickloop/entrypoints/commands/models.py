"""Commands about models: the registry, back-tests, and the way back."""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

import typer

from tickloop.entrypoints.commands.options import AsJson, Home, print_json
from tickloop.errors import UnknownMarketError


def register(app: typer.Typer) -> None:
    for command in (models, backtest, rollback):
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


def backtest(
    market: Annotated[str, typer.Option("--market", help="Market, for example KRW-BTC.")],
    window: Annotated[str, typer.Option("--window", help="Whole hours of UTC: 2024-01-20T00..2024-01-22T00.")],
    preset: Annotated[str, typer.Option("--preset", help="default or seed2023.")] = "default",
    model: Annotated[
        str | None, typer.Option("--model", help="A version such as ridge-2; the champion if left out.")
    ] = None,
    mode: Annotated[str, typer.Option("--mode", help="bars or ticks.")] = "bars",
    fill_model: Annotated[str, typer.Option("--fill-model", help="Ticks only: spread, or last (2023).")] = "spread",
    latency_ms: Annotated[
        int | None, typer.Option("--latency-ms", help="Ticks only; the fill model's if left out.")
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Replay a window through the strategy and print what it would have earned after fees."""
    from tickloop.bootstrap import open_app
    from tickloop.domain.backtest_job import Job
    from tickloop.domain.window import parse_window
    from tickloop.services.backtest_run import run_job
    from tickloop.settings import load_settings

    job = Job(
        market,
        parse_window(window),
        preset=preset,
        mode=cast("Literal['bars', 'ticks']", mode),
        version=model,
        fill_model=fill_model,
        latency_ms=latency_ms,
    )
    with open_app(load_settings(home)) as app:
        result = run_job(app, job)
    summary = result.summary()
    if as_json:
        print_json(summary)
    else:
        for name, value in summary.items():
            typer.echo(f"{name:<28} {value}")


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
