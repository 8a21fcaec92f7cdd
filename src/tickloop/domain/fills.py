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
    """

    name: str
    latency_ms: int
    ticks_against: int
    caveat: str = ""


FILL_MODELS = {
    "spread": FillModel("spread", latency_ms=300, ticks_against=1),
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
    return floor(order_krw * _E8 / price)


@kernel
def funds_of(qty_e8: int, price: float) -> float:
    """Give price x quantity in KRW, without fee."""
    return price * qty_e8 / _E8
