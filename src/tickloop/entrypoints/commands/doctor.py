"""The command that looks a home over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from tickloop.entrypoints.commands.options import AsJson, Home, print_json
from tickloop.errors import CheckFailedError, SettingsError

if TYPE_CHECKING:
    from tickloop.domain.health import Check


def register(app: typer.Typer) -> None:
    app.command()(doctor)


def doctor(home: Home = None, as_json: AsJson = False) -> None:
    """Check installation, home, exchange, clock, streams and data; exit 3 when a check fails."""
    from tickloop.domain.health import Level

    done: list[Check] = []
    for check in _checks(home):
        done.append(check)
        if not as_json:
            _show(check)
    if as_json:
        print_json({"checks": done})
    failed = [check.name for check in done if check.state is Level.FAIL]
    if failed:
        raise CheckFailedError(f"failed: {', '.join(failed)}")


def _checks(home: Path | None) -> Iterator[Check]:
    from tickloop.bootstrap import open_app
    from tickloop.domain.health import Check, Level
    from tickloop.services.doctor import checks
    from tickloop.settings import load_settings

    try:
        settings = load_settings(home)
    except SettingsError as exc:
        yield Check("settings", Level.FAIL, str(exc), "correct tickloop.toml or the TICKLOOP_* variable named")
        return
    yield Check("settings", Level.OK, f"home {settings.paths.home}, markets {', '.join(settings.markets)}")
    with open_app(settings) as app:
        yield from checks(app.probes(_recordings))


def _recordings() -> str:
    from tickloop.simulator.prices.recording import RECORDINGS, load_recording

    found = [load_recording(name) for name in RECORDINGS]
    return ", ".join(f"{one.name} ({sum(frame.height for frame in one.frames.values()):,} rows)" for one in found)


def _show(check: Check) -> None:
    typer.echo(f"{check.state.value:<5} {check.name:<18} {check.figure}")
    if check.remedy:
        typer.echo(f"{'':24} -> {check.remedy}")
