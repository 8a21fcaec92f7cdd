"""The default strategy: when to buy and when to sell, as pure functions over plain values.

Back-test and bot call the same compiled functions with the same state, so equal inputs give equal decisions.
A plug-in gives a `Strategy` of its own through the entry-point group `tickloop.strategies`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tickloop.domain import rules
from tickloop.domain.kernel import kernel
from tickloop.domain.market import QTY_UNITS
from tickloop.domain.space import Range
from tickloop.errors import UsageError

NOTHING = 0
SELL = 1
BUY = 2

SELL_IN_FLIGHT = 1
BUY_IN_FLIGHT = 2
"""Bits of `in_flight`: the orders of this market that can still fill."""

NEVER = -(1 << 62)
"""`last_buy_ms` of a state that has not bought yet."""

FOREVER = 1 << 62
"""A time that does not come: `wake` gives it when only a price can make `decide` act."""

_E8 = float(QTY_UNITS)

# A wake price may come too early, never too late: it is moved by far more than the rounding of its own arithmetic.
EARLY = 1e-12


class OrderParams(Protocol):
    """What fills need of any strategy's parameters; each strategy has a NamedTuple of its own with these three in it.

    Attributes:
        order_krw, fee_rate, min_total: as in `Params`.
    """

    @property
    def order_krw(self) -> float: ...
    @property
    def fee_rate(self) -> float: ...
    @property
    def min_total(self) -> float: ...
    def _asdict(self) -> dict[str, Any]: ...


class Params(NamedTuple):
    """What can be set about the strategy; plain values, so that compiled and plain code take the same object.

    Attributes:
        order_krw: KRW spent by one buy, without the fee.
        min_edge: a buy needs price + price * min_edge strictly below the forecast.
        fee_rate: fee of one side as a fraction of the funds.
        take_profit_num, take_profit_den: a lot is due when price * den >= entry * num (1002 / 1000: 0.2 % up).
        hold_ms: a lot is due when it was held this long, counted from its fill.
        cooldown_ms: a buy needs strictly more than this since the last buy decision.
        min_total: KRW below which the exchange takes no order.
    """

    order_krw: float = 6_000.0
    min_edge: float = 0.001
    fee_rate: float = 0.0005
    take_profit_num: int = 1002
    take_profit_den: int = 1000
    hold_ms: int = 3_600_000
    cooldown_ms: int = 60_000
    min_total: float = 5_000.0


PRESETS: dict[str, Params] = {
    "default": Params(),
    # What the 2023 system did: it loses even when it knows the next minute's mean.
    "seed2023": Params(order_krw=5_000.0, min_edge=0.0),
}


def params_of(preset: str, market: str, at_ms: int, order_notional: Decimal | None = None) -> Params:
    """Give a preset with the exchange's fee and minimum total of that time, and with another order size if one is set.

    Raises:
        UsageError: if there is no such preset, or the exchange would not take orders of that size.
    """
    if preset not in PRESETS:
        raise UsageError(f"preset {preset!r} is not known; valid: {', '.join(PRESETS)}")
    params = PRESETS[preset]._replace(
        fee_rate=float(rules.fee_rate(market, at_ms)), min_total=float(rules.min_total(market, at_ms))
    )
    if order_notional is None:
        return params
    low, high = rules.min_total(market, at_ms), rules.max_total(market, at_ms)
    if not low <= order_notional <= high:
        raise UsageError(f"order_notional {order_notional} KRW is not an order of {market}; valid: {low} to {high}")
    return params._replace(order_krw=float(order_notional))


@kernel
def is_due(params: Params, entry: float, filled_at_ms: int, ts_ms: int, price: float) -> bool:
    """Tell whether a lot is to be sold at this trade: target reached, or held long enough.

    Args:
        entry: executed funds / executed volume of its buy, without fee, KRW.
        filled_at_ms: when that buy filled.
    """
    return is_late(params, filled_at_ms, ts_ms) or price * params.take_profit_den >= entry * params.take_profit_num


@kernel
def is_late(params: Params, filled_at_ms: int, ts_ms: int) -> bool:
    """Tell whether a lot has been held for `hold_ms` or more."""
    return ts_ms - filled_at_ms >= params.hold_ms


@kernel
def is_sendable(params: OrderParams, qty_e8: int, price: float) -> bool:
    """Tell whether a sell of this quantity reaches the exchange's minimum total at the price of the last trade."""
    return qty_e8 > 0 and price * qty_e8 >= params.min_total * _E8


@kernel
def is_wanted(params: Params, price: float, forecast: float) -> bool:
    """Tell whether the forecast lies far enough above the price; False without one (NaN)."""
    return price + price * params.min_edge < forecast


@kernel
def is_affordable(params: OrderParams, cash: float) -> bool:
    """Tell whether the cash covers one buy with its fee."""
    return cash >= params.order_krw + params.order_krw * params.fee_rate


@kernel
def decide(
    params: Params,
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
    """Say what to do at one trade of one market: NOTHING, SELL (all lots that are due, as one order) or BUY.

    Args:
        entry, filled_at, qty_e8: the lots held, in the first `lots` places: entry price in KRW, time of the fill
            in ms, quantity in 1e-8. Lots that an order in flight gives away are still among them.
        cash: KRW left by the fills processed so far.
        last_buy_ms: time of the last buy decision that the exchange took, filled or not; NEVER before the first.
        in_flight: SELL_IN_FLIGHT and BUY_IN_FLIGHT, or-ed.
        ts_ms, price: event time and price of the trade.
        forecast: price forecast for this trade's minute if it may be used already, else NaN.

    With a SELL those lots leave for which `is_due` holds at this trade.
    """
    if in_flight & SELL_IN_FLIGHT == 0:
        due_e8 = 0
        for lot in range(lots):
            if is_due(params, entry[lot], filled_at[lot], ts_ms, price):
                due_e8 += qty_e8[lot]
        if is_sendable(params, due_e8, price):
            return SELL
    if (
        in_flight == 0
        and is_wanted(params, price, forecast)
        and ts_ms - last_buy_ms > params.cooldown_ms
        and is_affordable(params, cash)
    ):
        return BUY
    return NOTHING


class Wake(NamedTuple):
    """Until `time_ms`, and while price_low < price < price_high, `decide` returns NOTHING (state unchanged)."""

    price_low: float
    price_high: float
    time_ms: int


@kernel
def wake(
    params: Params,
    entry: NDArray[np.float64],
    filled_at: NDArray[np.int64],
    qty_e8: NDArray[np.int64],
    lots: int,
    cash: float,
    last_buy_ms: int,
    in_flight: int,
    ts_ms: int,
    forecast: float,
) -> Wake:
    """Give the prices and the time before which `decide` cannot act, for this state and forecast.

    Arguments as for `decide`; `ts_ms` is the time of the last trade seen.
    """
    price_low = -np.inf
    price_high = np.inf
    time_ms = FOREVER
    if in_flight & SELL_IN_FLIGHT == 0:
        price_high = _first_sell_price(params, entry, filled_at, qty_e8, lots, ts_ms) * (1.0 - EARLY)
        for lot in range(lots):
            if not is_late(params, filled_at[lot], ts_ms):
                time_ms = min(time_ms, filled_at[lot] + params.hold_ms)
    if in_flight == 0 and not np.isnan(forecast) and is_affordable(params, cash):
        if ts_ms - last_buy_ms > params.cooldown_ms:
            price_low = forecast / (1.0 + params.min_edge) * (1.0 + EARLY)
        else:
            time_ms = min(time_ms, last_buy_ms + params.cooldown_ms + 1)
    return Wake(price_low, price_high, time_ms)


@kernel
def _first_sell_price(
    params: Params,
    entry: NDArray[np.float64],
    filled_at: NDArray[np.int64],
    qty_e8: NDArray[np.int64],
    lots: int,
    ts_ms: int,
) -> float:
    """Give the lowest price at which the lots then due reach the minimum total, with time standing still.

    With the price the due lots only grow in number and value, so the lowest of all lots' own answers is it.
    """
    lowest = np.inf
    for lot in range(lots):
        level = _due_price(params, entry[lot], filled_at[lot], ts_ms)
        due_e8 = 0
        for other in range(lots):
            if _due_price(params, entry[other], filled_at[other], ts_ms) <= level:
                due_e8 += qty_e8[other]
        lowest = min(lowest, max(level, params.min_total * _E8 / max(due_e8, 1)))
    return lowest


@kernel
def _due_price(params: Params, entry: float, filled_at_ms: int, ts_ms: int) -> float:
    if is_late(params, filled_at_ms, ts_ms):
        return 0.0
    return entry * params.take_profit_num / params.take_profit_den


@dataclass(frozen=True)
class Strategy:
    """A strategy as a plug-in gives it.

    Attributes:
        decide: as `decide` above; if numba cannot compile it, it runs slower and not differently.
        wake: as `wake` above, or None: `decide` is then asked at every trade.
        presets: parameter sets by name, `default` among them.
        leaves: (params, entry, filled_at_ms, ts_ms, price, forecast) -> whether a SELL at this trade takes that lot
            along. None: `is_due` tells. Asked with a price of NaN it tells what no price can change.
        signal: (params, close) -> float64 (n,): what is wanted after each bar's close, from closes up to it: 1.0 to
            hold a lot, 0.0 to hold none, NaN to stay. `decide` then gets it, from the next bar on, as its `forecast`.
        space: valid values of the parameters that may be set; fee and minimum total are the exchange's.
        problem: params -> why their values do not go together, or an empty text.
        uses_forecasts: False for one that never looks at a model's forecast: a back-test then needs no model.
    """

    name: str
    decide: Callable[..., int]
    wake: Callable[..., Any] | None
    presets: Mapping[str, OrderParams]
    leaves: Callable[..., bool] | None = None
    signal: Callable[..., NDArray[np.float64]] | None = None
    space: Mapping[str, Range] = field(default_factory=dict)
    problem: Callable[[Any], str] | None = None
    uses_forecasts: bool = True


ORDER_KRW = Range(5_000.0, 1e9, is_log=True)
HOLD_MS = Range(60_000, 86_400_000, is_log=True)
COOLDOWN_MS = Range(0, 3_600_000, step=10_000)

default = Strategy(
    "default",
    decide,
    wake,
    PRESETS,
    space={
        "order_krw": ORDER_KRW,
        "min_edge": Range(0.0, 0.01, step=0.0001),
        "take_profit_num": Range(1001, 1050, step=1),
        "hold_ms": HOLD_MS,
        "cooldown_ms": COOLDOWN_MS,
    },
)
