"""What one setting of a sweep holds, owes and has earned, on the way over the trades; no order is kept."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.fills import FILL_WINDOW_MS, bought_e8, funds_of, price_against
from tickloop.domain.kernel import kernel
from tickloop.domain.market import QTY_UNITS
from tickloop.domain.rules import LadderTable
from tickloop.domain.strategy import FOREVER, NEVER, SELL, Params, is_due

_E8 = float(QTY_UNITS)

_PURSE_DTYPE = np.dtype(
    [
        ("cash", "f8"),
        ("last_buy_ms", "i8"),
        ("lots", "i8"),
        ("sell_at", "i8"),  # the instant from which trades can fill the sell in flight; FOREVER without one
        ("buy_at", "i8"),
        ("orders", "i8"),
        ("trades", "i8"),  # lots bought and sold
        ("fees", "f8"),
        ("turnover", "f8"),
        ("minute", "i8"),  # the first one not valued yet
        ("held", "i8"),  # minutes at whose end a lot was held
        ("peak", "f8"),  # of equity at the ends of minutes, and the greatest fall from one
        ("drawdown", "f8"),
    ]
)


class Seat(NamedTuple):
    """One setting's purse, and its lots, oldest first, in the first places of arrays.

    Attributes:
        purse: _PURSE_DTYPE (1,).
        entry, filled_at, qty_e8: as `decide` takes them.
        is_leaving: lots that the sell in flight gives away.
    """

    purse: NDArray[np.void]
    entry: NDArray[np.float64]
    filled_at: NDArray[np.int64]
    qty_e8: NDArray[np.int64]
    is_leaving: NDArray[np.bool_]


def seat_for(most_lots: int) -> Seat:
    """Make room for one setting at a time; places that stay unused cost no memory."""
    return Seat(
        np.zeros(1, _PURSE_DTYPE),
        np.empty(most_lots, np.float64),
        np.empty(most_lots, np.int64),
        np.empty(most_lots, np.int64),
        np.empty(most_lots, np.bool_),
    )


@kernel
def clear(seat: Seat, cash: float) -> None:
    """Begin anew."""
    purse = seat.purse[0]
    purse["cash"] = purse["peak"] = cash
    purse["last_buy_ms"] = NEVER
    purse["sell_at"] = purse["buy_at"] = FOREVER
    purse["lots"] = purse["orders"] = purse["trades"] = purse["minute"] = purse["held"] = 0
    purse["fees"] = purse["turnover"] = purse["drawdown"] = 0.0


@kernel
def held_e8(seat: Seat) -> int:
    """Give the quantity of all lots in 1e-8."""
    held = 0
    for lot in range(seat.purse[0]["lots"]):
        held += seat.qty_e8[lot]
    return held


@kernel
def value_of(held: int, price: float, fee_rate: float) -> float:
    """Give what a quantity in 1e-8 is worth after the fee of selling."""
    return held * price / _E8 * (1.0 - fee_rate)


@kernel
def mark(
    minute_at: NDArray[np.int64],
    minute_close: NDArray[np.float64],
    part: NDArray[np.int64],
    at: int,
    fee_rate: float,
    seat: Seat,
    ends: NDArray[np.float64],
) -> None:
    """Value what is held at the ends of the minutes before the one of trade `at`; nothing has changed in them.

    Args:
        part: which part of the time each minute lies in; its last one leaves its equity in `ends`.
    """
    purse = seat.purse[0]
    cash, held = purse["cash"], held_e8(seat)
    minute, peak, drawdown = purse["minute"], purse["peak"], purse["drawdown"]
    while minute + 1 < len(minute_at) and minute_at[minute + 1] <= at:
        equity = cash + value_of(held, minute_close[minute], fee_rate)
        peak = max(peak, equity)
        drawdown = max(drawdown, peak - equity)
        ends[part[minute]] = equity
        minute += 1
    if held > 0:
        purse["held"] += minute - purse["minute"]
    purse["minute"], purse["peak"], purse["drawdown"] = minute, peak, drawdown


@kernel
def send(seat: Seat, params: Params, action: int, latency_ms: int, now: int, price: float) -> None:
    """Put an order on its way; a sell takes the lots along that are due at this trade."""
    purse = seat.purse[0]
    purse["orders"] += 1
    if action == SELL:
        for lot in range(purse["lots"]):
            seat.is_leaving[lot] = is_due(params, seat.entry[lot], seat.filled_at[lot], now, price)
        purse["sell_at"] = now + latency_ms
    else:
        purse["buy_at"] = now + latency_ms
        purse["last_buy_ms"] = now


@kernel
def resolve(seat: Seat, params: Params, ladders: LadderTable, ticks_against: int, now: int, price: float) -> None:
    """Fill, or give up, the orders that this trade is the first to reach; a buy was decided first."""
    purse = seat.purse[0]
    if purse["buy_at"] <= now:
        if now - purse["buy_at"] <= FILL_WINDOW_MS:
            _buy(seat, params, now, price_against(ladders, price, now, ticks_against))
        purse["buy_at"] = FOREVER
    if purse["sell_at"] <= now:
        if now - purse["sell_at"] <= FILL_WINDOW_MS:
            _sell(seat, params, price_against(ladders, price, now, -ticks_against))
        purse["sell_at"] = FOREVER


@kernel
def _buy(seat: Seat, params: Params, now: int, price: float) -> None:
    purse = seat.purse[0]
    lot = purse["lots"]
    seat.entry[lot] = price
    seat.filled_at[lot] = now
    seat.qty_e8[lot] = bought_e8(params.order_krw, price)
    seat.is_leaving[lot] = False
    purse["lots"] = lot + 1
    funds = funds_of(seat.qty_e8[lot], price)
    fee = funds * params.fee_rate
    purse["cash"] -= funds + fee
    purse["turnover"] += funds
    purse["fees"] += fee


@kernel
def _sell(seat: Seat, params: Params, price: float) -> None:
    """Sell the lots that are leaving, at one price; the others keep their order."""
    purse = seat.purse[0]
    kept = sold_e8 = 0
    for lot in range(purse["lots"]):
        if seat.is_leaving[lot]:
            sold_e8 += seat.qty_e8[lot]
        else:
            seat.entry[kept] = seat.entry[lot]
            seat.filled_at[kept] = seat.filled_at[lot]
            seat.qty_e8[kept] = seat.qty_e8[lot]
            seat.is_leaving[kept] = False
            kept += 1
    purse["trades"] += purse["lots"] - kept
    purse["lots"] = kept
    funds = funds_of(sold_e8, price)
    fee = funds * params.fee_rate
    purse["cash"] += funds - fee
    purse["turnover"] += funds
    purse["fees"] += fee
