"""The periods that candles come in, from a second to a year, and where each begins. All in UTC."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.window import DAY_MS, MINUTE_MS, to_datetime, to_ms

SECOND_MS = 1_000
MINUTE_UNITS = (1, 3, 5, 10, 15, 30, 60, 240)

SECONDS_KEPT_MS = 90 * DAY_MS
"""Candles of seconds are told for the last three months only (Upbit developer centre, second candles)."""

_MONDAY_DAYS = 3  # 1970-01-01 was a Thursday


@dataclass(frozen=True)
class Period:
    """One kind of candle.

    Attributes:
        name: the last part of its REST path: seconds, minutes, days, weeks, months, years.
        unit: minutes of a minute candle, else 0.
    """

    name: str
    start_of: Callable[[int], int]
    unit: int = 0

    @property
    def is_within_a_day(self) -> bool:
        return self.name in ("seconds", "minutes")

    def starts_of(self, ts_ms: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give where the candle of each time begins."""
        if self.name == "seconds":
            return ts_ms - ts_ms % SECOND_MS
        if self.name == "minutes":
            return ts_ms - ts_ms % (self.unit * MINUTE_MS)
        return np.array([self.start_of(int(one)) for one in ts_ms], dtype=np.int64)


def every_minutes(unit: int) -> Period:
    return Period("minutes", lambda ts_ms: ts_ms - ts_ms % (unit * MINUTE_MS), unit)


def _week_of(ts_ms: int) -> int:
    day = ts_ms // DAY_MS
    return (day - (day + _MONDAY_DAYS) % 7) * DAY_MS


def _month_of(ts_ms: int) -> int:
    moment = to_datetime(ts_ms)
    return to_ms(datetime(moment.year, moment.month, 1, tzinfo=UTC))


def _year_of(ts_ms: int) -> int:
    return to_ms(datetime(to_datetime(ts_ms).year, 1, 1, tzinfo=UTC))


SECONDS = Period("seconds", lambda ts_ms: ts_ms - ts_ms % SECOND_MS)
DAYS = Period("days", lambda ts_ms: ts_ms - ts_ms % DAY_MS)
WEEKS = Period("weeks", _week_of)
MONTHS = Period("months", _month_of)
YEARS = Period("years", _year_of)

LONG = {period.name: period for period in (SECONDS, DAYS, WEEKS, MONTHS, YEARS)}
"""By the last part of their REST path; minutes have their unit there."""
