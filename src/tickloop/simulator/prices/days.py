"""The trades of one market by UTC day, made when asked for; a bounded number of days is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tickloop.domain.market import QTY_UNITS, Side
from tickloop.domain.window import DAY_MS, MINUTE_MS
from tickloop.simulator.prices.candles import Candles, day_of_trades, minutes_of
from tickloop.simulator.prices.recording import Recording
from tickloop.simulator.prices.tape import SIDES, Tape, trades_as_recorded, trades_from_candles

DAYS_KEPT = 10
"""Today and the seven days back that trades can be asked for, and room for a back-fill; some 3 MB each for KRW-BTC."""

MINUTES_KEPT = 40
"""Days of one-minute candles: a back-fill's page costs no new trades. 0.1 MB each."""

CANDLES_KEPT = 3_000
"""Days of which the one candle is kept: eight years of them, 1 KB each, for candles of weeks, months and years."""

YEAR_DAYS = 364  # 52 weeks


@dataclass(frozen=True)
class Extreme:
    """Highest and lowest price of a span, with the UTC days they fell on."""

    high: float
    high_day_ms: int
    low: float
    low_day_ms: int


class Day:
    """The trades of one UTC day and what a ticker adds up over it; arrays run along with the tape."""

    def __init__(self, tape: Tape, before: Callable[[], Extreme | None]) -> None:
        """Keep a day's trades.

        Args:
            before: gives the extremes of the 52 weeks before it; asked once, when a ticker needs them.
        """
        self.tape = tape
        self._before = before

    @cached_property
    def before(self) -> Extreme | None:
        return self._before()

    @cached_property
    def notional(self) -> NDArray[np.float64]:
        result: NDArray[np.float64] = np.cumsum(self.tape.price * (self.tape.qty_e8 / QTY_UNITS))
        return result

    @cached_property
    def qty_e8(self) -> NDArray[np.int64]:
        result: NDArray[np.int64] = np.cumsum(self.tape.qty_e8)
        return result

    @cached_property
    def buy_qty_e8(self) -> NDArray[np.int64]:
        result: NDArray[np.int64] = np.cumsum(np.where(self.tape.side == SIDES.index(Side.BUY), self.tape.qty_e8, 0))
        return result

    @cached_property
    def high(self) -> NDArray[np.float64]:
        return np.maximum.accumulate(self.tape.price)

    @cached_property
    def low(self) -> NDArray[np.float64]:
        return np.minimum.accumulate(self.tape.price)

    def count_until(self, ts_ms: int) -> int:
        """Count the trades up to a moment, itself included."""
        return int(np.searchsorted(self.tape.ts_event, ts_ms, side="right"))

    def between(self, start_ms: int, end_ms: int) -> Tape:
        """Give the trades of `[start_ms, end_ms)`."""
        first, last = np.searchsorted(self.tape.ts_event, (start_ms, end_ms))
        return self.tape.take(slice(int(first), int(last)))


class TradeDays(Protocol):
    """All days of one market, wherever its trades come from."""

    @property
    def market(self) -> str: ...
    @property
    def start_ms(self) -> int: ...
    @property
    def end_ms(self) -> int: ...
    @property
    def day(self) -> Callable[[int], Day]: ...
    @property
    def minutes(self) -> Callable[[int], Candles]: ...
    @property
    def whole(self) -> Callable[[int], Candles]:
        """Give the one candle of a whole day, or none."""

    def day_before(self, ts_ms: int) -> int | None:
        """Give the start of the last day with trades among those that start before a moment, or None."""

    def day_from(self, ts_ms: int) -> int | None:
        """Give the start of the first day with trades that starts at a moment or later, or None."""


class TradeSource(Protocol):
    """Where the prices of an exchange come from."""

    @property
    def markets(self) -> tuple[str, ...]: ...

    def days(self, market: str, seed: int) -> TradeDays: ...


class RecordedMarkets:
    """A recording as a source of prices."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self.markets = recording.markets

    def days(self, market: str, seed: int) -> TradeDays:
        return MarketDays(self._recording, market, seed)


class MarketDays:
    """All days of one market of a recording.

    Attributes:
        start_ms: when the recording begins: its first candle's minute or its first trade.
        end_ms: exclusive: the end of its last candle's minute, or 1 ms after its last trade.
    """

    def __init__(self, recording: Recording, market: str, seed: int) -> None:
        self.market = market
        self._frame = recording.frames[market]
        self._seed = seed
        self._times: NDArray[np.int64] = self._frame[recording.time].to_numpy()
        is_candles = recording.kind == "candles"
        self.start_ms = int(self._times[0])
        self.end_ms = int(self._times[-1]) + (MINUTE_MS if is_candles else 1)
        self._make: Callable[[int, int], Tape] = self._from_candles if is_candles else self._from_trades
        self._daily = _daily(self._frame, recording)
        self.day = lru_cache(DAYS_KEPT)(self._day)
        self.minutes = lru_cache(MINUTES_KEPT)(self._minutes)
        self.whole = lru_cache(CANDLES_KEPT)(self._whole)

    def day_before(self, ts_ms: int) -> int | None:
        """Give the start of the last day with trades among those that start before a moment, or None."""
        starts = self._daily["day"].to_numpy()
        place = int(np.searchsorted(starts, ts_ms))
        return int(starts[place - 1]) if place else None

    def day_from(self, ts_ms: int) -> int | None:
        """Give the start of the first day with trades that starts at a moment or later, or None."""
        starts = self._daily["day"].to_numpy()
        place = int(np.searchsorted(starts, ts_ms))
        return int(starts[place]) if place < len(starts) else None

    def _day(self, start_ms: int) -> Day:
        return Day(self._tape(start_ms), partial(self._extreme_before, start_ms))

    def _tape(self, start_ms: int) -> Tape:
        first, last = np.searchsorted(self._times, (start_ms, start_ms + DAY_MS))
        return self._make(int(first), int(last))

    def _minutes(self, start_ms: int) -> Candles:
        return minutes_of(self.day(start_ms).tape)

    def _whole(self, start_ms: int) -> Candles:
        # Past the days that are kept: a page of years would drive out today's.
        return day_of_trades(self._tape(start_ms))

    def _from_candles(self, first: int, last: int) -> Tape:
        return trades_from_candles(self.market, self._frame[first:last], self._seed)

    def _from_trades(self, first: int, last: int) -> Tape:
        return self._recorded.take(slice(first, last))

    @cached_property
    def _recorded(self) -> Tape:
        return trades_as_recorded(self.market, self._frame, self._seed)

    def _extreme_before(self, day_ms: int) -> Extreme | None:
        """Give the extremes of the 52 weeks before a day, as far as the recording goes back."""
        days = self._daily.filter(pl.col("day").is_between(day_ms - YEAR_DAYS * DAY_MS, day_ms, closed="left"))
        if days.is_empty():
            return None
        high, low = days.row(int(days["high"].arg_max() or 0)), days.row(int(days["low"].arg_min() or 0))
        return Extreme(high[1], high[0], low[2], low[0])


def day_of(ts_ms: int) -> int:
    """Give the start of the UTC day of a moment."""
    return ts_ms - ts_ms % DAY_MS


def _daily(frame: pl.DataFrame, recording: Recording) -> pl.DataFrame:
    high, low = ("high", "low") if recording.kind == "candles" else ("price", "price")
    day = (pl.col(recording.time) // DAY_MS * DAY_MS).alias("day")
    return frame.group_by(day, maintain_order=True).agg(high=pl.col(high).max(), low=pl.col(low).min())
