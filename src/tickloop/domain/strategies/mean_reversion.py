"""Buy below the forecast by more than both fees and an edge; sell when the price has come back to the forecast."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.kernel import kernel
from tickloop.domain.market import QTY_UNITS
from tickloop.domain.space import Range
from tickloop.domain.strategy import (
    BUY,
    COOLDOWN_MS,
    EARLY,
    FOREVER,
    HOLD_MS,
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


class MeanReversionParams(NamedTuple):
    """What can be set.

    Attributes:
        order_krw, fee_rate, min_total: as in `Params`.
        min_edge: what the forecast must promise beyond both fees, as a fraction of the price.
        hold_ms: a lot leaves when it was held this long, counted from its fill.
        cooldown_ms: a buy needs this much since the last buy decision.
    """

    order_krw: float = 6_000.0
    fee_rate: float = 0.0005
    min_total: float = 5_000.0
    min_edge: float = 0.0005
    hold_ms: int = 3_600_000
    cooldown_ms: int = 60_000


@kernel
def leaves(
    params: MeanReversionParams, _entry: float, filled_at_ms: int, ts_ms: int, price: float, forecast: float
) -> bool:
    """Every lot leaves at the forecast, and an old one at any price."""
    return price >= forecast or ts_ms - filled_at_ms >= params.hold_ms


@kernel
def decide(
    params: MeanReversionParams,
    entry: NDArray[np.float64],
    filled_at: NDArray[np.int64],
    qty_e8: NDArray[np.int64],
    lots: int,
    cash: float,
    last_buy_ms: int,
    in_flight: int,
    ts_ms: int,
    price: float,
    forecast: float,
) -> int:
    """SELL what leaves; else BUY if the forecast lies both fees and the edge above the price. No forecast, no buy."""
    if in_flight & SELL_IN_FLIGHT == 0:
        leaving_e8 = 0
        for lot in range(lots):
            if leaves(params, entry[lot], filled_at[lot], ts_ms, price, forecast):
                leaving_e8 += qty_e8[lot]
        if is_sendable(params, leaving_e8, price):
            return SELL
    if (
        in_flight == 0
        and price + price * _edge(params) < forecast
        and ts_ms - last_buy_ms >= params.cooldown_ms
        and is_affordable(params, cash)
    ):
        return BUY
    return NOTHING


@kernel
def _edge(params: MeanReversionParams) -> float:
    return 2.0 * params.fee_rate + params.min_edge


@kernel
def wake(
    params: MeanReversionParams,
    _entry: NDArray[np.float64],
    filled_at: NDArray[np.int64],
    qty_e8: NDArray[np.int64],
    lots: int,
    cash: float,
    last_buy_ms: int,
    in_flight: int,
    ts_ms: int,
    forecast: float,
) -> Wake:
    """The price to buy below, the forecast itself, and the times at which a lot grows old or the cooldown ends."""
    low, high, time_ms = -np.inf, np.inf, FOREVER
    if lots > 0 and in_flight & SELL_IN_FLIGHT == 0:
        is_any_late = False
        for lot in range(lots):
            if ts_ms - filled_at[lot] >= params.hold_ms:
                is_any_late = True
            else:
                time_ms = min(time_ms, filled_at[lot] + params.hold_ms)
        if is_any_late or not np.isnan(forecast):
            sendable = params.min_total * _E8 / qty_e8[:lots].sum()
            high = (sendable if is_any_late else max(sendable, forecast)) * (1.0 - EARLY)
    if in_flight == 0 and not np.isnan(forecast) and is_affordable(params, cash):
        if ts_ms - last_buy_ms >= params.cooldown_ms:
            low = forecast / (1.0 + _edge(params)) * (1.0 + EARLY)
        else:
            time_ms = min(time_ms, last_buy_ms + params.cooldown_ms)
    return Wake(low, high, time_ms)


mean_reversion = Strategy(
    "mean_reversion",
    decide,
    wake,
    {"default": MeanReversionParams()},
    leaves=leaves,
    space={
        "order_krw": ORDER_KRW,
        "min_edge": Range(0.0, 0.02, step=0.0001),
        "hold_ms": HOLD_MS,
        "cooldown_ms": COOLDOWN_MS,
    },
)
