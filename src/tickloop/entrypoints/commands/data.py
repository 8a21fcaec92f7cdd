"""Commands about data: back-fill, ledger, steps and their runs, status."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tickloop.domain.window import Window, parse_window, to_datetime
from tickloop.entrypoints.commands.options import AsJson, Home, print_json
from tickloop.errors import CheckFailedError, UnknownMarketError, WindowError


def register(app: typer.Typer) -> None:
    for command in (backfill, ledger, run, steps, status):
        app.command()(command)


WindowText = Annotated[str, typer.Option("--window", help="Whole hours of UTC: 2024-01-02T03 or 2024-01-02T03..T05.")]
MarketText = Annotated[str | None, typer.Option("--market", help="One market; all of the settings when left out.")]


def backfill(window: WindowText, home: Home = None, as_json: AsJson = False) -> None:
    """Fetch bars of a window from the exchange's candles; days that are there are skipped."""
    from tickloop.bootstrap import open_app
    from tickloop.services.backfill import backfill as run_backfill
    from tickloop.settings import load_settings

    with open_app(load_settings(home)) as app:
        result = run_backfill(app, _past(parse_window(window), app.clock.now_ms()), _show_progress)
    print_json(result) if as_json else typer.echo(", ".join(f"{name} {value}" for name, value in result.items()))


def ledger(market: MarketText = None, window: WindowText = "", home: Home = None, as_json: AsJson = False) -> None:
    """Show completeness per market; exit 3 when a minute is unknown."""
    from tickloop.bootstrap import open_app
    from tickloop.domain.tables import LEDGER
    from tickloop.settings import load_settings

    with open_app(load_settings(home)) as app:
        markets = _markets(market, app.settings.markets)
        chosen = parse_window(window) if window else None
        counts = {
            name: {
                str(state): int(count)
                for state, count in app.warehouse.read(LEDGER, name, chosen)["state"]
                .value_counts(sort=True)
                .iter_rows()
            }
            for name in markets
        }
    if as_json:
        print_json(counts)
    else:
        for name, states in counts.items():
            typer.echo(f"{name}: " + (", ".join(f"{state} {count}" for state, count in states.items()) or "no minutes"))
    unknown = {name: states["unknown"] for name, states in counts.items() if "unknown" in states}
    if unknown:
        raise CheckFailedError(f"unknown minutes: {unknown}; they are settled by `tickloop run verify` of their hours")


def run(
    step: Annotated[str, typer.Argument(help="A step's name, or `all`.")],
    window: WindowText,
    market: MarketText = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Run a step, or all of them, for a window; what the window held before is replaced."""
    from tickloop.bootstrap import open_app
    from tickloop.services.chain import run_window
    from tickloop.settings import load_settings

    with open_app(load_settings(home)) as app:
        markets = _markets(market, app.settings.markets)
        chosen = _past(parse_window(window), app.clock.now_ms())
        results = [result for name in markets for result in run_window(app, step, name, chosen)]
    shown = [
        {
            "step": done.step,
            "market": done.market,
            "window": str(done.window),
            "state": done.state,
            "detail": done.detail,
        }
        for done in results
    ]
    if as_json:
        print_json(shown)
    else:
        for row in shown:
            typer.echo(f"{row['step']} {row['market']} {row['window']} {row['state']} {row['detail']}")


def steps(home: Home = None, as_json: AsJson = False) -> None:
    """List the steps in order, with their last runs."""
    import polars as pl

    from tickloop.bootstrap import open_app
    from tickloop.domain.tables import RUN
    from tickloop.services.chain import STEPS
    from tickloop.settings import load_settings

    with open_app(load_settings(home)) as app:
        runs = app.warehouse.read(RUN).sort("window_start")
    shown = []
    for step in STEPS:
        own = runs.filter(pl.col("step") == step.name)
        last = own.row(-1, named=True) if own.height else None
        shown.append(
            {
                "step": step.name,
                "runs": own.height,
                "failed": own.filter(pl.col("state") == "failed").height,
                "last_window": last["window_start"].isoformat() if last else None,
                "last_state": last["state"] if last else None,
            }
        )
    if as_json:
        print_json(shown)
    else:
        for row in shown:
            typer.echo(
                f"{row['step']:<9} runs {row['runs']:>5}  failed {row['failed']}  last {row['last_window'] or '-'}"
            )


def status(home: Home = None, as_json: AsJson = False) -> None:
    """Show what runs on this home and how fresh it is; exit 3 when a process has failed."""
    from tickloop.adapters.local.status import StatusBoard
    from tickloop.settings import load_settings

    found = StatusBoard(load_settings(home).paths.status).read_all()
    if as_json:
        import msgspec

        print_json([msgspec.to_builtins(one) for one in found])
    else:
        for one in found:
            typer.echo(f"{one.name:<10} {one.state:<9} pid {one.pid:<8} {one.message}")
        if not found:
            typer.echo("nothing has run on this home yet")
    failed = [one.name for one in found if one.state == "failed"]
    if failed:
        raise CheckFailedError(f"failed: {', '.join(failed)}")


def _markets(market: str | None, known: tuple[str, ...]) -> tuple[str, ...]:
    if market is None:
        return known
    if market not in known:
        raise UnknownMarketError(market, known)
    return (market,)


def _past(window: Window, now_ms: int) -> Window:
    if window.end_ms > now_ms:
        raise WindowError(
            f"window {window} is not over; valid: an end at or before {to_datetime(now_ms):%Y-%m-%dT%H:%M}Z"
        )
    return window


def _show_progress(market: str, done: int, total: int) -> None:
    if sys.stderr.isatty():
        typer.echo(f"\r{market} {done:,} of {total:,} minutes", err=True, nl=done >= total)
