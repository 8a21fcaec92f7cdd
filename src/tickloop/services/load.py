"""The lake's objects of a window -> the warehouse's trades."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from tickloop.domain.tables import TRADE
from tickloop.domain.window import Window
from tickloop.errors import DataError
from tickloop.services.steps import StepPorts


def load(ports: StepPorts, market: str, window: Window) -> dict[str, Any]:
    """Replace the warehouse's trades of a window by the lake's, some at a time in one transaction; counts: `rows`.

    Raises:
        DataError: if an hour was never extracted.
    """
    return {"rows": ports.warehouse.replace_by_parts(TRADE, market, window, _parts(ports, market, window))}


def _parts(ports: StepPorts, market: str, window: Window) -> Iterator[pl.DataFrame]:
    for hour in window.hours():
        parts = ports.lake.parts(market, hour)
        if parts is None:
            raise DataError(f"the lake has no object of {market} for hour {hour}; run extract for it first")
        yield from parts
