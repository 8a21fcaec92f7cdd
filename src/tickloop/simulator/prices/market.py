"""One market as of a moment: nothing later than that moment is ever shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.market import Side
from tickloop.domain.window import DAY_MS, MINUTE_MS
from tickloop.simulator.prices.book import DEPTH, Book, Level, make_book
from tickloop.simulator.prices.candles import Candles, joined, minutes_of, seconds_of, to_period
from tickloop.simulator.prices.days import TradeDays, day_of
from tickloop.simulator.prices.gaps import Gap
from tickloop.simulator.prices.periods import SECONDS, Period
from tickloop.simulator.prices.seeded import IDS_PER_MS
from tickloop.simulator.prices.tape import Tape
from tickloop.simulator.prices.ticker import MarketState, Ticker, ticker_after

TRADE_DAYS_BACK = 7
"""How many UTC days before today REST still gives trades of."""


@dataclass(frozen=True)
class StreamEvent:
    """One trade of the stream, with the market's state and the book right after it."""

    ticker: Ticker
    best_ask: Level | None
    best_bid: Level | None

    @property
    def market(self) -> str:
        return self.ticker.market

    @property
    def trade_id(self) -> int:
        return self.ticker.trade_id

    @property
    def ts_ms(self) -> int:
        return self.ticker.trade_ts_ms

    @property
    def price(self) -> float:
        return self.ticker.price

    @property
    def qty_e8(self) -> int:
        return self.ticker.qty_e8

    @property
    def side(self) -> Side:
        return self.ticker.side


class SimulatedMarket:
    """One market of a recording.

    Attributes:
        start_ms: when its recording begins.
        end_ms: exclusive, when it ends: the stream ends there, candles and trades stay readable.
    """

    def __init__(self, days: TradeDays, seed: int, gaps: Sequence[Gap] = ()) -> None:
        self._days = days
        self._seed = seed
        self._gaps = tuple(gaps)
        self.market = days.market
        self.start_ms = days.start_ms
        self.end_ms = days.end_ms
        # The last question and answer of `next_trade_ms`: a clock asks it at every trade of any market.
        self._upcoming: tuple[int, int | None] = (days.end_ms, None)

    def forget_upcoming(self) -> None:
        """Look for the next trade anew: one was added."""
        self._upcoming = (self.end_ms, None)

    def withhold(self, gap: Gap) -> None:
        """Leave the trades of a gap out of the stream from now on; what was told before it was ordered stays told."""
        self._gaps += (gap,)
        self.forget_upcoming()

    def state(self, now_ms: int) -> MarketState:
        """Give PREVIEW before the recording, DELISTED after it."""
        if now_ms < self.start_ms:
            return "PREVIEW"
        return "ACTIVE" if now_ms < self.end_ms else "DELISTED"

    def candles(self, period: Period, to_ms: int | None, count: int, now_ms: int) -> Candles:
        """Give the last `count` candles that start before `to_ms` (exclusive; None: no bound), newest first.

        The open candle is included with the trades up to `now_ms`; periods without trades are absent.
        """
        before_ms = now_ms + 1 if to_ms is None else min(to_ms, now_ms + 1)
        parts: list[Candles] = []
        missing = count if period.is_within_a_day else count + 1  # a longer one is whole when one before it was met
        day_ms = self._days.day_before(before_ms)
        while day_ms is not None and missing > 0:
            candles = self._candles_of_day(day_ms, period, now_ms)
            candles = candles.take(slice(0, int(np.searchsorted(candles.ts_open, before_ms))))
            if len(candles.ts_open):
                missing -= 0 if parts and parts[-1].ts_open[0] == candles.ts_open[-1] else len(candles.ts_open)
                parts.append(candles)
            day_ms = self._days.day_before(day_ms)
        found = joined(parts[::-1] or [self._days.minutes(0)])
        if not period.is_within_a_day:
            found = to_period(found, period)
        return found.take(slice(max(len(found.ts_open) - count, 0), None)).take(slice(None, None, -1))

    def make_days(self, period: Period, to_ms: int | None, count: int, now_ms: int) -> Iterator[int]:
        """Make the whole days that such candles of a day or longer are put together from, one at each step.

        Some ms each, and a page may take a thousand of them: between two steps others can be served. They are kept.
        """
        before_ms = now_ms + 1 if to_ms is None else min(to_ms, now_ms + 1)
        starts: set[int] = set()
        day_ms = self._days.day_before(before_ms)
        while day_ms is not None and len(starts) <= count:
            if now_ms >= day_ms + DAY_MS:
                self._days.whole(day_ms)
                yield day_ms
            starts.add(period.start_of(day_ms))
            day_ms = self._days.day_before(day_ms)

    def _candles_of_day(self, day_ms: int, period: Period, now_ms: int) -> Candles:
        if period is SECONDS:
            day = self._days.day(day_ms)
            return seconds_of(day.tape.take(slice(0, day.count_until(now_ms))))
        if not period.is_within_a_day and now_ms >= day_ms + DAY_MS:
            return to_period(self._days.whole(day_ms), period)
        return to_period(self._minutes_until(day_ms, now_ms), period)

    def trades_page(
        self, now_ms: int, *, to_ms: int | None = None, cursor: int | None = None, count: int = 1, days_ago: int = 0
    ) -> Tape:
        """Give trades of one UTC day, newest first, without those that REST refuses.

        Args:
            to_ms: only trades before it (exclusive).
            cursor: a trade_id: only trades older than that one in exchange order; of an id that does not exist, those
                before its millisecond.
            days_ago: 0 is today; further back than TRADE_DAYS_BACK there is nothing.
        """
        day = self._days.day(day_of(now_ms) - days_ago * DAY_MS)
        end = day.count_until(now_ms if to_ms is None else min(now_ms, to_ms - 1))
        if not 0 <= days_ago <= TRADE_DAYS_BACK:
            end = 0
        if cursor is not None:
            end = min(end, _place_of(day.tape, cursor))
        rows = np.flatnonzero(~self._is_refused(day.tape.ts_event[:end]))
        return day.tape.take(rows[::-1][:count])

    def ticker(self, now_ms: int) -> Ticker | None:
        """Give the state at `now_ms`, withheld trades included; None before the first trade."""
        last = self._last(now_ms)
        return None if last is None else ticker_after(self._days, *last, now_ms)

    def book(self, now_ms: int, levels: int = DEPTH) -> Book | None:
        """Give the made book around the last trade; None before the first one."""
        last = self._last(now_ms)
        return None if last is None else self._book(*last, levels)

    def last_streamed(self, now_ms: int) -> StreamEvent | None:
        """Give the last trade that the stream told, for a snapshot; None before the first one."""
        day_ms = self._days.day_before(now_ms + 1)
        while day_ms is not None:
            tape = self._days.day(day_ms).tape
            told = np.flatnonzero(~self._is_withheld(tape.ts_event[: self._days.day(day_ms).count_until(now_ms)]))
            if len(told):
                return self._event(day_ms, int(told[-1]))
            day_ms = self._days.day_before(day_ms)
        return None

    def stream_between(self, after_ms: int, until_ms: int) -> list[StreamEvent]:
        """Give the trades that the stream tells in `(after_ms, until_ms]`, in exchange order."""
        upcoming = self.next_trade_ms(after_ms)
        if upcoming is None or upcoming > until_ms:
            return []
        events: list[StreamEvent] = []
        day_ms = self._days.day_from(day_of(after_ms + 1))
        while day_ms is not None and day_ms <= until_ms:
            day = self._days.day(day_ms)
            first, last = day.count_until(after_ms), day.count_until(until_ms)
            told = first + np.flatnonzero(~self._is_withheld(day.tape.ts_event[first:last]))
            events += [self._event(day_ms, int(row)) for row in told]
            day_ms = self._days.day_from(day_ms + 1)
        return events

    def next_trade_ms(self, after_ms: int) -> int | None:
        """Give the time of the first trade after a moment that the stream tells; None when it tells no more."""
        asked_ms, answer = self._upcoming
        if after_ms < asked_ms or (answer is not None and after_ms >= answer):
            answer = self._first_told_after(after_ms)
            self._upcoming = (after_ms, answer)
        return answer

    def _first_told_after(self, after_ms: int) -> int | None:
        day_ms = self._days.day_from(day_of(after_ms + 1))
        while day_ms is not None:
            times = self._days.day(day_ms).tape.ts_event
            place = int(np.searchsorted(times, after_ms, side="right"))
            while place < len(times):
                gap_end_ms = self._gap_end(int(times[place]))
                if gap_end_ms is None:
                    return int(times[place])
                place = int(np.searchsorted(times, gap_end_ms))
            day_ms = self._days.day_from(day_ms + 1)
        return None

    def _gap_end(self, ts_ms: int) -> int | None:
        return next((gap.end_ms for gap in self._gaps if gap.start_ms <= ts_ms < gap.end_ms), None)

    def made(self, start_ms: int, end_ms: int) -> Tape:
        """Give all trades of `[start_ms, end_ms)` within one UTC day, told or not."""
        return self._days.day(day_of(start_ms)).between(start_ms, end_ms)

    def withheld(self, trades: Tape) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Tell for each trade whether the stream leaves it out, and whether REST does so too."""
        return self._is_withheld(trades.ts_event), self._is_refused(trades.ts_event)

    def _minutes_until(self, day_ms: int, now_ms: int) -> Candles:
        if now_ms >= day_ms + DAY_MS:
            return self._days.minutes(day_ms)
        day = self._days.day(day_ms)
        minute_ms = now_ms - now_ms % MINUTE_MS
        closed = self._days.minutes(day_ms)
        closed = closed.take(slice(0, int(np.searchsorted(closed.ts_open, minute_ms))))
        first, last = day.count_until(minute_ms - 1), day.count_until(now_ms)
        return closed if first == last else joined([closed, minutes_of(day.tape.take(slice(first, last)))])

    def _last(self, now_ms: int) -> tuple[int, int] | None:
        """Give day and row of the last trade up to a moment."""
        day_ms = self._days.day_before(now_ms + 1)
        while day_ms is not None:
            count = self._days.day(day_ms).count_until(now_ms)
            if count:
                return day_ms, count - 1
            day_ms = self._days.day_before(day_ms)
        return None

    def _event(self, day_ms: int, row: int) -> StreamEvent:
        ts_ms = int(self._days.day(day_ms).tape.ts_event[row])
        book = self._book(day_ms, row, 1)
        return StreamEvent(
            ticker_after(self._days, day_ms, row, ts_ms),
            book.asks[0] if book.asks else None,
            book.bids[0] if book.bids else None,
        )

    def _book(self, day_ms: int, row: int, levels: int) -> Book:
        tape = self._days.day(day_ms).tape
        price, trade_id, ts_ms = float(tape.price[row]), int(tape.trade_id[row]), int(tape.ts_event[row])
        return make_book(self.market, price, trade_id, ts_ms, self._seed, levels)

    def _is_withheld(self, ts_event: NDArray[np.int64]) -> NDArray[np.bool_]:
        return _inside(ts_event, self._gaps)

    def _is_refused(self, ts_event: NDArray[np.int64]) -> NDArray[np.bool_]:
        return _inside(ts_event, [gap for gap in self._gaps if gap.is_refused_by_rest])


def _place_of(tape: Tape, trade_id: int) -> int:
    found = np.flatnonzero(tape.trade_id == trade_id)
    return int(found[0]) if len(found) else int(np.searchsorted(tape.ts_event, trade_id // IDS_PER_MS))


def _inside(ts_event: NDArray[np.int64], gaps: Sequence[Gap]) -> NDArray[np.bool_]:
    result = np.zeros(len(ts_event), dtype=np.bool_)
    for gap in gaps:
        result |= (ts_event >= gap.start_ms) & (ts_event < gap.end_ms)
    return result
