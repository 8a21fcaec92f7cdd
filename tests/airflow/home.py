"""Homes for the DAGs: two days of history and two live hours on a simulated exchange whose clock stands."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

from digests import home_digests
from fakes import START_MS
from tickloop.bootstrap import App, open_app
from tickloop.domain.window import HOUR_MS, MINUTE_MS, Window
from tickloop.services.pipeline import ensure_history, run_pipeline
from tickloop.services.run_ledger import HISTORY
from tickloop.services.steps import RunRow, record_runs
from tickloop.settings import SETTINGS_FILE, load_settings

MARKETS = ("KRW-BTC", "KRW-ETH")
NOW_MS = START_MS + HOUR_MS
LIVE = Window(START_MS - 2 * HOUR_MS, START_MS)
"""2024-01-21T22..2024-01-22T00: both hours closed, one slot."""

LOST = Window(LIVE.start_ms + 10 * MINUTE_MS, LIVE.start_ms + 13 * MINUTE_MS)
"""Minutes of KRW-BTC that the journal lacks and REST gives: verify fetches them and the chain goes back."""

_HISTORY = Window(LIVE.start_ms - 48 * HOUR_MS, LIVE.start_ms)


def make_base(folder: Path, rest_url: str) -> Path:
    """Make a home with its history fetched and the live hours in its journal; no step has run on them.

    The simulator of `rest_url` must keep its state in `folder/sim`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SETTINGS_FILE).write_text(
        f"""
clock = "shared"
markets = {list(MARKETS)}

[exchange]
rest_url = "{rest_url}"
is_path_invented = true

[training]
slot_hours = 2
training_hours = 24
gate_hours = 6
"""
    )
    with open_app(load_settings(folder)) as app:
        record_runs(app, [RunRow(HISTORY, market, _HISTORY, "due", {}) for market in MARKETS])
        ensure_history(app, app.settings.history, lambda *_a, **_k: None, threading.Event())
        for market in MARKETS:
            trades = app.market_data.trades(market, LIVE)
            lost = [one for one in trades if market == MARKETS[0] and one.ts_event_ms in LOST]
            app.raw.append_repairs([one for one in trades if one not in lost])
    return folder


def copy_of(base: Path, folder: Path) -> Path:
    """Give a home of the same data, on the same simulator."""
    shutil.copytree(base, folder, ignore=shutil.ignore_patterns("sim"))
    (folder / "sim").symlink_to(base / "sim")
    return folder


def run_laptop_loop(home: Path) -> None:
    """Run the laptop's scheduler until nothing is due."""
    stop = threading.Event()

    def status(_state: str, message: str = "", **_detail: Any) -> None:
        if message.startswith("nothing is due"):
            stop.set()

    with open_app(load_settings(home)) as app:
        run_pipeline(app, app.settings.history, status, stop)


def digests_of(home: Path) -> dict[str, Any]:
    with open_app(load_settings(home)) as app:
        return home_digests(app.warehouse, app.lake, app.registry, MARKETS, LIVE)


def champions_of(app: App) -> dict[str, str]:
    return {market: one.name for market in app.markets if (one := app.registry.champion(market)) is not None}
