"""The lake's objects of a window -> the warehouse's trades."""

from __future__ import annotations

from typing import Any

import polars as pl

from tickloop.domain.tables import TRADE, TRADE_ORDER
from tickloop.domain.window import Window
from tickloop.errors import DataError
from tickloop.services.steps import StepPorts


def load(ports: StepPorts, market: str, window: Window) -> dict[str, Any]:
    """Replace the warehouse's trades of a window by the lake's; counts: `rows`.

    Raises:
        DataError: if an hour was never extracted.
    """
    trades = pl.concat([_hour(ports, market, hour) for hour in window.hours()]).sort(TRADE_ORDER)
    return {"rows": ports.warehouse.replace(TRADE, market, window, trades)}


def _hour(ports: StepPorts, market: str, hour: Window) -> pl.DataFrame:
    trades = ports.lake.get(market, hour)
    if trades is None:
        raise DataError(f"the lake has no object of {market} for hour {hour}; run extract for it first")
    return trades
