"""Options that several commands share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

Home = Annotated[Path | None, typer.Option("--home", help="Folder of state. Default: TICKLOOP_HOME, else settings.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Market = Annotated[str, typer.Option("--market", help="Market, for example KRW-BTC.")]


def print_json(value: Any) -> None:
    """Print one JSON object on stdout."""
    import msgspec

    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
    sys.stdout.buffer.flush()
