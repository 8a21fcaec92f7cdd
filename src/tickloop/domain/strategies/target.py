"""Strategies that only say after each close whether to hold a lot or none: they share what follows from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.kernel import kernel
from tickloop.domain.market import QTY_UNITS
from tickloop.domain.space import Range
from tickloop.domain.strategy import (
    BUY,
    EARLY,
    FOREVER,
    NOTHING,
    SELL,
    SELL_IN_FLIGHT,
    OrderParams,
    Strategy,
    Wake,
    is_affordable,
    is_sendable,
)

_E8 = float(QTY_UNITS)


def target_strategy(
    name: str,
    signal: Callable[..., NDArray[np.float64]],
    presets: Mapping[str, OrderParams],
    space: Mapping[str, Range],
    problem: Callable[[Any], str] | None = None,
) -> Strategy:
    """Make a strategy of a signal alone; arguments as the attributes of Strategy. Bar mode replays it in one pass."""
    return Strategy(name, decide, wake, presets, leaves, signal, space, problem, uses_forecasts=False)


@kernel
def decide(
    params: OrderParams,
    _entry: NDArray[np.float64],
    _filled_at: NDArray[np.int64],
    qty_e8: NDArray[np.int64],
    lots: int,
    cash: float,
    _last_buy_ms: int,
    in_flight: int,
    _ts_ms: int,
    price: float,
    forecast: float,
) -> int:
    """Follow the signal of the bars closed so far, which stands in `forecast`: 1.0 hold a lot, 0.0 hold none."""
    if forecast == 0.0 and in_flight & SELL_IN_FLIGHT == 0 and is_sendable(params, qty_e8[:lots].sum(), price):
        return SELL
    if forecast == 1.0 and lots == 0 and in_flight == 0 and is_affordable(params, cash):
        return BUY
    return NOTHING


@kernel
def wake(
    params: OrderParams,
    _entry: NDArray[np.float64],
    _filled_at: NDArray[np.int64],
    qty_e8: NDArray[np.int64],
    lots: int,
    cash: float,
    _last_buy_ms: int,
    in_flight: int,
    _ts_ms: int,
    forecast: float,
) -> Wake:
    """Any price for a buy; for a sell the one at which it reaches the minimum total."""
    if forecast == 0.0 and lots > 0 and in_flight & SELL_IN_FLIGHT == 0:
        return Wake(-np.inf, params.min_total * _E8 / qty_e8[:lots].sum() * (1.0 - EARLY), FOREVER)
    if forecast == 1.0 and lots == 0 and in_flight == 0 and is_affordable(params, cash):
        return Wake(np.inf, np.inf, FOREVER)
    return Wake(-np.inf, np.inf, FOREVER)


@kernel
def leaves(
    _params: OrderParams, _entry: float, _filled_at_ms: int, _ts_ms: int, _price: float, forecast: float
) -> bool:
    """Everything leaves when the signal says so."""
    return forecast == 0.0
