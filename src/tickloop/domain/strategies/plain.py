"""The two that every other strategy is held against: buy once and hold, and do nothing."""

from __future__ import annotations

from math import floor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.kernel import kernel
from tickloop.domain.strategy import BUY, FOREVER, NOTHING, ORDER_KRW, OrderParams, Strategy, Wake, is_affordable


class PlainParams(NamedTuple):
    """Order size and costs; as in `Params`."""

    order_krw: float = 6_000.0
    fee_rate: float = 0.0005
    min_total: float = 5_000.0


def all_of(cash: float, fee_rate: float) -> float:
    """Give the whole KRW that cash buys for with the fee: the `order_krw` of one buy of everything."""
    return float(floor(cash / (1.0 + fee_rate)))


@kernel
def hold_decide(
    params: OrderParams,
    _entry: NDArray[np.float64],
    _filled_at: NDArray[np.int64],
    _qty_e8: NDArray[np.int64],
    lots: int,
    cash: float,
    _last_buy_ms: int,
    in_flight: int,
    _ts_ms: int,
    _price: float,
    _forecast: float,
) -> int:
    """BUY at the first trade, and again at the next one if the order found no fill; never sell."""
    if lots == 0 and in_flight == 0 and is_affordable(params, cash):
        return BUY
    return NOTHING


@kernel
def hold_wake(
    params: OrderParams,
    _entry: NDArray[np.float64],
    _filled_at: NDArray[np.int64],
    _qty_e8: NDArray[np.int64],
    lots: int,
    cash: float,
    _last_buy_ms: int,
    in_flight: int,
    _ts_ms: int,
    _forecast: float,
) -> Wake:
    """Any price before the first fill, none after it."""
    can_buy = lots == 0 and in_flight == 0 and is_affordable(params, cash)
    return Wake(np.inf if can_buy else -np.inf, np.inf, FOREVER)


@kernel
def rest_decide(
    _params: OrderParams,
    _entry: NDArray[np.float64],
    _filled_at: NDArray[np.int64],
    _qty_e8: NDArray[np.int64],
    _lots: int,
    _cash: float,
    _last_buy_ms: int,
    _in_flight: int,
    _ts_ms: int,
    _price: float,
    _forecast: float,
) -> int:
    """NOTHING, ever."""
    return NOTHING


@kernel
def rest_wake(
    _params: OrderParams,
    _entry: NDArray[np.float64],
    _filled_at: NDArray[np.int64],
    _qty_e8: NDArray[np.int64],
    _lots: int,
    _cash: float,
    _last_buy_ms: int,
    _in_flight: int,
    _ts_ms: int,
    _forecast: float,
) -> Wake:
    """Never."""
    return Wake(-np.inf, np.inf, FOREVER)


@kernel
def never_leaves(
    _params: OrderParams, _entry: float, _filled_at_ms: int, _ts_ms: int, _price: float, _forecast: float
) -> bool:
    """No lot is ever sold."""
    return False


buy_and_hold = Strategy(
    "buy_and_hold",
    hold_decide,
    hold_wake,
    {"default": PlainParams()},
    leaves=never_leaves,
    space={"order_krw": ORDER_KRW},
    uses_forecasts=False,
)

do_nothing = Strategy(
    "do_nothing", rest_decide, rest_wake, {"default": PlainParams()}, leaves=never_leaves, uses_forecasts=False
)
