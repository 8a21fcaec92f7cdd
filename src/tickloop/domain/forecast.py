"""A forecast for one market-minute."""

from __future__ import annotations

from dataclasses import dataclass

MAX_BAR_AGE_MIN = 5
"""A forecast for minute m needs a bar that opened at most this many minutes before m."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What one model says of the volume-weighted price of `target_minute`, made from bars before it.

    Attributes:
        target_minute_ms: start of the minute that is forecast, epoch ms UTC.
        model_version: name of the model version.
        made_at_ms: market time at which it was ready.
        last_bar_ms: open time of the last bar used.
        last_price: close of that bar, KRW.
        log_return: the model's output, log(vwap / last_price).
        price: last_price * exp(log_return), KRW.
    """

    market: str
    target_minute_ms: int
    model_version: str
    made_at_ms: int
    last_bar_ms: int
    last_price: float
    log_return: float
    price: float
