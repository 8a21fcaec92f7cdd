"""Buy a lot, one more each time the price has fallen a step below the lowest, and sell each a step above its entry."""

from __future__ import annotations

from typing import NamedTuple

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
    ORDER_KRW,
    SELL,
    SELL_IN_FLIGHT,
    Strategy,
    Wake,
    is_affordable,
    is_sendable,
)

_E8 = float(QTY_UNITS)
_BP = 10_000


class GridParams(NamedTuple):
    """What can be set.

    Attributes:
        order_krw, fee_rate, min_total: as in `Params`.
        fall_bp: a further lot is bought when the price is this many basis points below the lowest entry held.
        rise_bp: a lot is sold when the price is this many basis points above its entry.
        max_lots: no buy while so many are held.
    """

    order_krw: float = 6_000.0
    fee_rate: float = 0.0005
    min_total: float = 5_000.0
    fall_bp: int = 50
    rise_bp: int = 50
    max_lots: int = 8


@kernel
def _lowest(entry: NDArray[np.float64], lots: int) -> float:
    lowest = np.inf
    for lot in range(lots):
        lowest = min(lowest, entry[lot])
    return lowest


@kernel
def leaves(params: GridParams, entry: float, _filled_at_ms: int, _ts_ms: int, price: float, _forecast: float) -> bool:
    """A lot leaves a step above its entry."""
    return price * _BP >= entry * (_BP + params.rise_bp)


@kernel
def decide(
    params: GridParams,
    entry: NDArray[np.float64],
    filled_at: NDArray[np.int64],
    qty_e8: NDArray[np.int64],
    lots: int,
    cash: float,
    _last_buy_ms: int,
    in_flight: int,
    ts_ms: int,
    price: float,
    forecast: float,
) -> int:
    """SELL what has risen a step; BUY the first lot at any price, the next ones a step below the lowest."""
    if in_flight & SELL_IN_FLIGHT == 0:
        leaving_e8 = 0
        for lot in range(lots):
            if leaves(params, entry[lot], filled_at[lot], ts_ms, price, forecast):
                leaving_e8 += qty_e8[lot]
        if is_sendable(params, leaving_e8, price):
            return SELL
    if (
        in_flight == 0
        and lots < params.max_lots
        and price * _BP <= _lowest(entry, lots) * (_BP - params.fall_bp)
        and is_affordable(params, cash)
    ):
        return BUY
    return NOTHING


@kernel
def wake(
    params: GridParams,
    entry: NDArray[np.float64],
    _filled_at: NDArray[np.int64],
    qty_e8: NDArray[np.int64],
    lots: int,
    cash: float,
    _last_buy_ms: int,
    in_flight: int,
    _ts_ms: int,
    _forecast: float,
) -> Wake:
    """The next step down, and the lowest target at which all lots together would reach the minimum total."""
    low, high = -np.inf, np.inf
    lowest = _lowest(entry, lots)
    if lots > 0 and in_flight & SELL_IN_FLIGHT == 0:
        sendable = params.min_total * _E8 / qty_e8[:lots].sum()
        high = max(sendable, lowest * (_BP + params.rise_bp) / _BP) * (1.0 - EARLY)
    if in_flight == 0 and lots < params.max_lots and is_affordable(params, cash):
        low = lowest * (_BP - params.fall_bp) / _BP * (1.0 + EARLY)
    return Wake(low, high, FOREVER)


grid = Strategy(
    "grid",
    decide,
    wake,
    {"default": GridParams()},
    leaves=leaves,
    space={
        "order_krw": ORDER_KRW,
        "fall_bp": Range(1, 2_000, is_log=True),
        "rise_bp": Range(1, 2_000, is_log=True),
        "max_lots": Range(1, 200, step=1),
    },
    uses_forecasts=False,
)
