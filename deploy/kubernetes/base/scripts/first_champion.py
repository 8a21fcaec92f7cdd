"""Let each market begin with the baseline as champion; where there is one, nothing changes."""

from __future__ import annotations

from tickloop.bootstrap import open_app
from tickloop.services.promote import ensure_champion
from tickloop.settings import load_settings

with open_app(load_settings()) as app:
    for market in app.markets:
        print(f"{market}: {ensure_champion(app.registry, market, app.clock).name}")  # noqa: T201
