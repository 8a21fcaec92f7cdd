"""Read the order books that were recorded in a window."""

from __future__ import annotations

from tickloop.domain import depth
from tickloop.domain.depth import Depth
from tickloop.domain.window import Window
from tickloop.errors import NotEnoughDataError
from tickloop.services.steps import StepPorts


def depth_of(ports: StepPorts, market: str, window: Window) -> Depth:
    """Give the order books of a market from the raw store, in order of time.

    Raises:
        NotEnoughDataError: if none was recorded in the window.
        DataError: if one cannot stand, or the raw store does not hold all of the window any more.
    """
    found = depth.depth_from(ports.raw.events("orderbook", market, window), market)
    if not len(found.ts_ms):
        raise NotEnoughDataError(
            f"no order book of {market} was recorded in {window}; valid: a window that was collected with the setting "
            "collect.with_orderbook on, or fill model spread"
        )
    return found
