"""How a trade on the tape fills an order of ours: latency, the price against us, the quantity bought."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor

from tickloop.domain.kernel import kernel
from tickloop.domain.market import QTY_UNITS
from tickloop.domain.rules import LadderTable, tick_at

FILL_WINDOW_MS = 60_000
"""An order fills at the first trade from its instant on; if that trade comes later than this, it does not fill."""

_E8 = float(QTY_UNITS)


@dataclass(frozen=True)
class FillModel:
    """A stated assumption about execution.

    Attributes:
        latency_ms: from the decision to the instant from which trades can fill it; 0 is the deciding trade itself.
        ticks_against: how many price steps of that date worse than the trade's price the fill is.
        caveat: what a reader of a result must know about the model; empty for the default.
        is_by_depth: fills take what recorded order books hold; `ticks_against` then counts where none was recorded.
    """

    name: str
    latency_ms: int
    ticks_against: int
    caveat: str = ""
    is_by_depth: bool = False


FILL_MODELS = {
    "spread": FillModel("spread", latency_ms=300, ticks_against=1),
    "book": FillModel(
        "book",
        latency_ms=300,
        ticks_against=1,
        caveat="takes what the newest recorded order book of at most 10 s held, without what the trade shows to be "
        "gone; where there was none, one tick against us (fills_without_depth); what our own orders would have changed "
        "in later books is not modelled",
        is_by_depth=True,
    ),
    "last": FillModel(
        "last",
        latency_ms=0,
        ticks_against=0,
        caveat="fills at the deciding trade's own price, as the 2023 system assumed; no live order gets that",
    ),
}


@kernel
def price_against(ladders: LadderTable, price: float, at_ms: int, ticks: int) -> float:
    """Move a price by whole ticks of its time, up when `ticks` is above 0 (a buy), down when below (a sell).

    The result is the float64 next to the decimal price, as parsing its text would give.
    """
    tick = tick_at(ladders, price, at_ms)
    if tick >= 1.0:
        return price + ticks * tick
    per_krw = round(1.0 / tick)
    return round((price + ticks * tick) * per_krw) / per_krw


@kernel
def bought_e8(order_krw: float, price: float) -> int:
    """Give the quantity, in 1e-8, that an amount of KRW buys at a price: cut off after 8 decimals."""
    return affordable_e8(order_krw, e16_of(order_krw), price)


@kernel
def e16_of(krw: float) -> int:
    """Give an amount of KRW with 8 decimals in 1e-16, modulo 2**64: price x quantity is a whole number of these."""
    return round(krw * _E8) * QTY_UNITS


@kernel
def affordable_e8(krw: float, krw_e16: int, price: float) -> int:
    """Give the quantity, in 1e-8, that an amount of KRW buys, to the last digit, where a quotient of floats may miss.

    Args:
        krw: the amount, in float64 as near as it is.
        krw_e16: the same amount without error, as `e16_of` gives it.
        price: KRW, with at most 8 decimals.
    """
    price_e8 = round(price * _E8)
    guess = floor(krw * _E8 / price)
    # Both products lose their upper digits in int64, and their difference is small: it loses none.
    return int(guess + (krw_e16 - guess * price_e8) // price_e8)


@kernel
def funds_of(qty_e8: int, price: float) -> float:
    """Give price x quantity in KRW, without fee."""
    return price * qty_e8 / _E8
