"""A made market that looks like one: a function of (seed, market, UTC day) alone, so any cut of it is the same.

Its numbers are chosen, not fitted: volatility that clusters within the day and over days, returns with heavy tails,
sizes over several orders of magnitude, bursts, lulls and minutes without a trade, a day that follows Korean waking
hours, several trades in one millisecond, and prices on the exchange's steps with buyers one step above sellers. A
day's prices are known before its trades are made (`made_prices.day_prices`), so previous closes and the extremes of
52 weeks agree with the trades at little cost. Volatility within the day starts each day anew; the price goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.rules import LadderTable, ladder_table
from tickloop.domain.window import DAY_MS
from tickloop.simulator.prices.candles import Candles, day_of_trades, minutes_of
from tickloop.simulator.prices.days import CANDLES_KEPT, YEAR_DAYS, Day, Extreme, day_of
from tickloop.simulator.prices.made_markets import END_MS, FIRST_DAY_MS, SEEDED, character_of
from tickloop.simulator.prices.made_prices import MINUTES, day_prices, minute_path, walk_days
from tickloop.simulator.prices.made_trades import fill_day
from tickloop.simulator.prices.prints import Printed, PrintFile, with_printed
from tickloop.simulator.prices.seeded import key_of, subkey
from tickloop.simulator.prices.tape import Tape, tape_of

DAYS_KEPT = 3
"""Today, yesterday and tomorrow; making one again costs some ms at most."""

MINUTES_KEPT = 8


class GeneratedMarkets:
    """A made exchange as a source of prices.

    Args:
        spans: market -> from when to when (epoch ms) it is on offer; others always are.
        prints: file of the fills that were printed; a killed simulator goes on with them.

    Raises:
        DataError, HomeNotWritableError: that file cannot be read.
    """

    def __init__(
        self, markets: Sequence[str], spans: Mapping[str, tuple[int, int]] | None = None, prints: Path | None = None
    ) -> None:
        self.markets = tuple(markets)
        self.spans = dict(spans or {})
        self._prints = PrintFile(prints)
        self._days: dict[tuple[str, int], GeneratedDays] = {}

    def days(self, market: str, seed: int) -> GeneratedDays:
        """Give one market; the same one whenever it is asked for."""
        if (market, seed) not in self._days:
            made = GeneratedDays(market, seed, self.spans.get(market, (FIRST_DAY_MS, END_MS)))
            for trade in self._prints.trades:
                if trade.market == market:
                    made.print_trade(trade)
            self._days[market, seed] = made
        return self._days[market, seed]

    def print_trade(self, trade: Printed) -> None:
        """Add a trade to the market, for good.

        Raises:
            HomeNotWritableError: it cannot be kept; nothing was printed.
        """
        self._prints.add(trade)
        for (market, _), days in self._days.items():
            if market == trade.market:
                days.print_trade(trade)


class _Life(NamedTuple):
    """What `walk_days` tells, from FIRST_DAY_MS to END_MS."""

    level: NDArray[np.float64]
    heat: NDArray[np.float32]
    trades: NDArray[np.int32]


class GeneratedDays:
    """All days of one made market, in the form of a recorded one's."""

    def __init__(self, market: str, seed: int, span_ms: tuple[int, int] = (FIRST_DAY_MS, END_MS)) -> None:
        self.market = market
        self.start_ms, self.end_ms = max(span_ms[0], FIRST_DAY_MS), min(span_ms[1], END_MS)
        self._key = key_of(seed, f"{SEEDED}/{market}")
        self._character = character_of(market)
        self._printed: dict[int, list[Printed]] = {}
        self.day = lru_cache(DAYS_KEPT)(self._day)
        self.minutes = lru_cache(MINUTES_KEPT)(self._minutes)
        self.whole = lru_cache(CANDLES_KEPT)(self._whole)
        self._made = lru_cache(DAYS_KEPT)(self._made_day)

    def day_before(self, ts_ms: int) -> int | None:
        """Give the start of the last day with trades among those that start before a moment, or None."""
        day_ms = min(day_of(ts_ms - 1), day_of(self.end_ms - 1))
        while day_ms >= day_of(self.start_ms):
            if self._has_trades(day_ms):
                return day_ms
            day_ms -= DAY_MS
        return None

    def day_from(self, ts_ms: int) -> int | None:
        """Give the start of the first day with trades that starts at a moment or later, or None."""
        day_ms = max(-(-ts_ms // DAY_MS) * DAY_MS, day_of(self.start_ms))
        while day_ms < self.end_ms:
            if self._has_trades(day_ms):
                return day_ms
            day_ms += DAY_MS
        return None

    def print_trade(self, trade: Printed) -> None:
        """Add a trade; its day, and what later days know of it, is made anew."""
        self._printed.setdefault(day_of(trade.ts_ms), []).append(trade)
        for cache in (self.day, self.minutes, self.whole, self._made):
            cache.cache_clear()

    @cached_property
    def _life(self) -> _Life:
        days = (END_MS - FIRST_DAY_MS) // DAY_MS
        life = _Life(np.empty(days + 1), np.empty(days, np.float32), np.empty(days, np.int32))
        walk_days(self._key, FIRST_DAY_MS // DAY_MS, self._character.sigma, self._character.trades_a_day, *life)
        return life

    @cached_property
    def _ladders(self) -> LadderTable:
        return ladder_table(self.market, FIRST_DAY_MS, END_MS)

    @cached_property
    def _prices_known(self) -> NDArray[np.float64]:
        """Open, high, low and close of days, as far as they were asked for; the rest is infinite."""
        return np.full((len(self._life.trades), 4), np.inf)

    def _prices(self, first: int, end: int) -> NDArray[np.float64]:
        """Give open, high, low and close of the days of those numbers since FIRST_DAY_MS; NaN without trades."""
        known = self._prices_known[first:end]
        missing = np.flatnonzero(np.isinf(known[:, 0]))
        if len(missing):
            begin, stop = first + int(missing[0]), first + int(missing[-1]) + 1
            life = self._life
            known[missing[0] : missing[-1] + 1] = day_prices(
                self._key,
                FIRST_DAY_MS // DAY_MS + begin,
                self._character.base,
                self._character.sigma,
                life.level[begin : stop + 1],
                life.heat[begin:stop],
                life.trades[begin:stop],
                self._ladders,
            )
        return known

    def _is_cut(self, day_ms: int) -> bool:
        """Tell whether the market begins or ends within a day."""
        return day_ms < self.start_ms < day_ms + DAY_MS or day_ms < self.end_ms < day_ms + DAY_MS

    def _has_trades(self, day_ms: int) -> bool:
        if day_ms in self._printed:
            return True
        place = _place(day_ms)
        if not 0 <= place < len(self._life.trades) or not self._life.trades[place]:
            return False
        return not self._is_cut(day_ms) or len(self._made(day_ms)) > 0

    def _day(self, start_ms: int) -> Day:
        return Day(self._with_printed(start_ms, self._made(start_ms)), partial(self._extreme_before, start_ms))

    def _minutes(self, start_ms: int) -> Candles:
        return minutes_of(self.day(start_ms).tape)

    def _whole(self, start_ms: int) -> Candles:
        # Past the days that are kept: a page of years would drive out today's.
        return day_of_trades(self._with_printed(start_ms, self._made_day(start_ms)))

    def _with_printed(self, start_ms: int, made: Tape) -> Tape:
        printed = self._printed.get(start_ms)
        return with_printed(made, printed) if printed else made

    def _made_day(self, start_ms: int) -> Tape:
        if not day_of(self.start_ms) <= start_ms < self.end_ms:
            return self._tape(0)
        tape = self._tape(start_ms)
        if self._is_cut(start_ms):
            tape = tape.take((tape.ts_event >= self.start_ms) & (tape.ts_event < self.end_ms))
        return tape

    def _tape(self, start_ms: int) -> Tape:
        """Make the trades of a whole day; without any where the day has none."""
        place = _place(start_ms)
        count = int(self._life.trades[place]) if 0 <= place < len(self._life.trades) else 0
        ts_event, price, qty_e8 = np.empty(count, np.int64), np.empty(count), np.empty(count, np.int64)
        side = np.empty(count, np.uint8)
        if count:
            day = np.uint64(subkey(self._key, start_ms // DAY_MS))
            base, level = self._character.base, self._life.level
            mid, calm = np.empty(MINUTES + 1), np.empty(MINUTES)
            spread = self._character.sigma * float(np.sqrt(float(self._life.heat[place])))
            minute_path(day, base * level[place], base * level[place + 1], spread, mid, calm)
            prices = self._prices(place, place + 1)[0]
            fill_day(
                day,
                start_ms,
                prices,
                mid,
                calm,
                self._ladders,
                self._character.usual_krw,
                ts_event,
                price,
                qty_e8,
                side,
            )
        before = np.full(count, self._close_before(start_ms) if count else np.nan)
        return tape_of(self.market, self._key, ts_event, price, qty_e8, side, before)

    def _close_before(self, day_ms: int) -> float:
        """Give the close of the last day with trades before a day; NaN where the market begins with that day."""
        before = self.day_before(day_ms)
        if before is None:
            return float("nan")
        if before in self._printed or self._is_cut(before):
            return float(self.day(before).tape.price[-1])
        return float(self._prices(_place(before), _place(before) + 1)[0, 3])

    def _extreme_before(self, day_ms: int) -> Extreme | None:
        """Give the extremes of the 52 weeks before a day, as far as the market goes back."""
        first, end = max(_place(day_of(self.start_ms)), _place(day_ms) - YEAR_DAYS), _place(day_ms)
        if not first < end <= len(self._life.trades):
            return None
        prices = self._prices(first, end)[:, 1:3].copy()
        for other_ms in {*self._printed, day_of(self.start_ms)}:
            place = _place(other_ms) - first
            if 0 <= place < len(prices) and (other_ms in self._printed or self._is_cut(other_ms)):
                price = self.day(other_ms).tape.price
                prices[place] = (price.max(), price.min()) if len(price) else np.nan
        if np.isnan(prices).all():
            return None
        high, low = int(np.nanargmax(prices[:, 0])), int(np.nanargmin(prices[:, 1]))
        days = [FIRST_DAY_MS + (first + place) * DAY_MS for place in (high, low)]
        return Extreme(float(prices[high, 0]), days[0], float(prices[low, 1]), days[1])


def _place(day_ms: int) -> int:
    return (day_ms - FIRST_DAY_MS) // DAY_MS
