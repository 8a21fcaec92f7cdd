"""Commands that run until they are stopped: one for each process of a home."""

from __future__ import annotations

from typing import Annotated

import typer

from tickloop.entrypoints.commands.options import Home
from tickloop.errors import SettingsError, UsageError


def register(app: typer.Typer) -> None:
    for command in (init, up, sim, collect, pipeline, serve, dashboard, trade):
        app.command()(command)


def init(home: Home = None) -> None:
    """Write a commented `tickloop.toml`; settings that are there are left alone."""
    from tickloop.adapters.local.home import prepare_home
    from tickloop.settings import SETTINGS_FILE, load_settings, settings_text

    folder = load_settings(home).paths.home
    prepare_home(folder)
    path = folder / SETTINGS_FILE
    if path.exists():
        raise SettingsError(f"{path} is there already; valid: edit it, or another --home")
    path.write_text(settings_text(), encoding="utf-8")
    typer.echo(f"wrote {path}; every line is a default and commented out. Next: tickloop up --home {folder}")


def up(home: Home = None) -> None:
    """Run collector, pipeline, API and dashboard on the exchange of the settings, and the bot if it is simulated."""
    from tickloop.entrypoints.up import run_up
    from tickloop.settings import load_settings

    run_up(load_settings(home), lambda line: typer.echo(f"tickloop: {line}", err=True))


def sim(
    home: Home = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port to listen on; 0 takes a free one.")] = 9000,
    recording: Annotated[
        str,
        typer.Option(
            "--recording",
            help="candles, bursts, seeded, a file of candles, trades or raw frames, or a folder of frames.",
        ),
    ] = "candles",
    markets: Annotated[
        str, typer.Option("--markets", help="Markets of a seeded exchange: how many, or which, with commas.")
    ] = "2",
    listing: Annotated[
        list[str] | None,
        typer.Option("--listing", help="A seeded market that comes later: KRW-S005:+2h, from the start; repeat."),
    ] = None,
    delisting: Annotated[
        list[str] | None, typer.Option("--delisting", help="A seeded market that goes: KRW-S003:+3h; repeat.")
    ] = None,
    start_ms: Annotated[
        int | None,
        typer.Option(
            "--start-ms", help="Market time of the first start, epoch ms UTC; default: 2024-01-22 or the file's."
        ),
    ] = None,
    speed: Annotated[float, typer.Option("--speed", help="Market seconds per second.")] = 60.0,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the made trades.")] = 20240122,
    hold: Annotated[bool, typer.Option("--hold", help="Let the market clock stand until it is told to run.")] = False,
    stepped: Annotated[
        bool, typer.Option("--stepped", help="Let the clock move by /control/step alone, for tests that must repeat.")
    ] = False,
    gaps: Annotated[
        bool, typer.Option("--gaps", help="Withhold trades, so that the ledger has something to show.")
    ] = False,
    fault: Annotated[
        list[str] | None,
        typer.Option("--fault", help="Trouble from the start, e.g. kind=rate_limited,path=/v1/orders,count=2; repeat."),
    ] = None,
    order_limit: Annotated[
        int, typer.Option("--order-limit", help="Orders per market second: 8, or 12 as since 2026-08-21.")
    ] = 8,
    smp_default: Annotated[
        str, typer.Option("--smp-default", help="When own orders meet and none asked: none, or cancel_maker.")
    ] = "none",
    text_frames: Annotated[
        bool, typer.Option("--text-frames", help="Send WebSocket data in text frames, not binary ones.")
    ] = False,
) -> None:
    """Run the exchange simulator alone."""
    from tickloop.entrypoints import mains
    from tickloop.entrypoints.process import leave
    from tickloop.simulator.config import SimulatorConfig
    from tickloop.simulator.control.fault_orders import fault_of_text
    from tickloop.simulator.prices.made_markets import SEEDED, START_MS, markets_of, spans_of

    try:
        faults = tuple(fault_of_text(text) for text in fault or ())
    except ValueError as exc:
        raise UsageError(str(exc)) from exc
    settings = mains.start("simulator", home)
    exchange = settings.exchange
    config = SimulatorConfig(
        folder=settings.paths.simulator,
        recording=recording,
        start_ms=START_MS if start_ms is None and recording in ("candles", SEEDED) else start_ms,
        speed=speed,
        host=host,
        port=port,
        is_held=hold,
        is_stepped=stepped,
        with_gaps=gaps,
        seed=seed,
        faults=faults,
        markets=markets_of(markets),
        spans=spans_of(listing or (), delisting or (), START_MS if start_ms is None else start_ms),
        order_limit_per_s=order_limit,
        smp_default=smp_default,
        binary_frames=not text_frames,
        access_key=exchange.access_key.get_secret_value() if exchange.access_key else "simulator",
        secret_key=exchange.secret_key.get_secret_value() if exchange.secret_key else "simulator",
    )
    leave(mains.simulator(settings, config))


def collect(home: Home = None) -> None:
    """Stream live trades and tickers into the journal."""
    from tickloop.entrypoints import mains
    from tickloop.entrypoints.process import leave

    leave(mains.collector(mains.start("collector", home)))


def pipeline(home: Home = None) -> None:
    """Back-fill, then run every step whose window is due."""
    from tickloop.entrypoints import mains
    from tickloop.entrypoints.process import leave

    leave(mains.pipeline(mains.start("pipeline", home)))


def serve(home: Home = None) -> None:
    """Run the forecast API."""
    from tickloop.entrypoints import mains
    from tickloop.entrypoints.process import leave

    leave(mains.api(mains.start("api", home)))


def dashboard(home: Home = None) -> None:
    """Run the pages; their live source is the API."""
    from tickloop.entrypoints import mains
    from tickloop.entrypoints.process import leave

    leave(mains.dashboard(mains.start("dashboard", home)))


def trade(home: Home = None) -> None:
    """Run the bot against the exchange of the settings; only a simulated one is allowed so far."""
    from tickloop.entrypoints import mains
    from tickloop.entrypoints.process import leave

    leave(mains.bot(mains.start("bot", home)))
