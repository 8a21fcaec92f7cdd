"""`tickloop demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tickloop.entrypoints.commands.options import AsJson
from tickloop.errors import UsageError


def register(app: typer.Typer) -> None:
    app.command()(demo)


def demo(
    once: Annotated[bool, typer.Option("--once", help="Headless: one round through all parts, then stop.")] = False,
    as_json: AsJson = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over: empty the demo's home first.")] = False,
    home: Annotated[Path | None, typer.Option("--home", help="Folder of state (~/.local/share/tickloop/demo).")] = None,
    speed: Annotated[
        float | None, typer.Option("--speed", help="Market seconds per second (60; 360 with --once).")
    ] = None,
    recording: Annotated[str, typer.Option("--recording", help="candles or bursts.")] = "candles",
    port: Annotated[
        int, typer.Option("--port", help="Dashboard port; another free one is taken if it is busy.")
    ] = 8501,
) -> None:
    """Run everything on a shipped recording: simulator, collector, pipeline, API, dashboard and bot."""
    from tickloop.entrypoints.demo.plan import DEFAULT_HOME, DEFAULT_SPEED, ONCE_SPEED, RECORDINGS, DemoOptions

    if recording not in RECORDINGS:
        raise UsageError(f"recording {recording!r} is not shipped; valid: {', '.join(RECORDINGS)}")
    chosen = speed if speed is not None else (ONCE_SPEED if once else DEFAULT_SPEED)
    if not 1 <= chosen <= 3_600:
        raise UsageError(f"speed {chosen:g} is out of range; valid: 1 to 3600 market seconds per second")
    if not 0 < port < 65_536:
        raise UsageError(f"port {port} is out of range; valid: 1 to 65535")
    from tickloop.entrypoints.demo.run import run_demo

    run_demo(
        DemoOptions(
            home=(home or DEFAULT_HOME).expanduser().absolute(),
            recording=RECORDINGS[recording],
            speed=chosen,
            is_once=once,
            is_fresh=fresh,
            as_json=as_json,
            dashboard_port=port,
        )
    )
