"""The newest one-minute bars of one market, kept up to date from a live stream."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from tickloop.domain.bars import bars_from_candles, bars_of_trades
from tickloop.domain.market import Trade
from tickloop.domain.tables import BAR_1M
from tickloop.domain.window import MINUTE_MS

PRINT_DELAY_MS = 1_000
"""A trade is printed at most this long after it happened: a stream that broke may miss trades from before the break."""


_NO_MINUTE = -1


class RecentBars:
    """Closed bars of one market, newest last, and the trades of the minutes that are still open.

    A minute that the stream saw from start to end becomes a bar of its trades; every other minute is named by `close`
    until `fill` brings the exchange's candle for it. A minute without a trade has no bar.

    Attributes:
        duplicates: trades ignored because their trade_id had come before in the kept minutes.
        late: trades that came after their minute was closed; they change no bar.
    """

    def __init__(self, market: str, capacity: int) -> None:
        """Start empty; at most `capacity` bars, and the trade ids of as many minutes, are kept."""
        self.market = market
        self.duplicates = 0
        self.late = 0
        self._capacity = capacity
        self._bars = BAR_1M.empty()
        self._open: dict[int, list[Trade]] = {}
        self._ids: dict[int, set[int]] = {}
        self._lost: set[int] = set()
        self._asked: set[int] = set()
        self._closed_before: int | None = None
        self._is_connected = False
        self._last: Trade | None = None
        self._minute = _NO_MINUTE
        self._minute_ids: set[int] = set()
        self._minute_trades: list[Trade] | None = None

    @property
    def closed_before_ms(self) -> int | None:
        """All minutes before this one are closed; None before the first seed or close."""
        return self._closed_before

    def seed(self, candles: pl.DataFrame) -> None:
        """Take start-up bars from a CANDLE frame of minutes that have ended; an empty frame changes nothing."""
        if candles.is_empty():
            return
        bars = bars_from_candles(candles)
        end = int(bars["ts_open"].to_physical()[-1]) + MINUTE_MS
        self._merge(bars)
        self._settle_before(end)
        self._lost = {minute for minute in self._lost if minute >= end}

    def add(self, trade: Trade) -> bool:
        """Keep one trade for its minute; False when it is known, or its minute is closed (both are counted)."""
        ts_ms, last = trade.ts_event_ms, self._last
        if ts_ms - ts_ms % MINUTE_MS != self._minute:
            self._enter(ts_ms - ts_ms % MINUTE_MS)
        if trade.trade_id in self._minute_ids:
            self.duplicates += 1
            return False
        self._minute_ids.add(trade.trade_id)
        if last is None or ts_ms > last.ts_event_ms or (ts_ms == last.ts_event_ms and _order(trade) > _order(last)):
            self._last = trade
        if self._minute_trades is None:
            self.late += 1
            return False
        self._minute_trades.append(trade)
        return True

    def lost(self, since_ms: int | None, until_ms: int) -> None:
        """Mark the minutes in which the stream was away during [since, until), those already closed included.

        The first call of a feed has `since_ms` None: nothing was received before. Until it comes no minute counts
        as seen.
        """
        self._is_connected = True
        end = until_ms + -until_ms % MINUTE_MS
        start = self._first_open(until_ms) if since_ms is None else _minute_of(since_ms - PRINT_DELAY_MS)
        lost = range(max(start, end - self._capacity * MINUTE_MS), end, MINUTE_MS)
        self._lost.update(lost)
        if self._closed_before is not None and start < self._closed_before:
            self._bars = self._bars.filter(~_open_ms().is_in(list(lost)))

    def close(self, before_ms: int) -> list[int]:
        """Close all minutes before a whole minute; give those that must be taken from the exchange's candles.

        A minute is named again by every call until `fill` has followed, or it is older than what is kept.
        """
        oldest = before_ms - self._capacity * MINUTE_MS
        if not self._is_connected:
            self._lost.update(range(max(self._first_open(before_ms), oldest), before_ms, MINUTE_MS))
        whole = [at for at in sorted(self._open) if at < before_ms and at not in self._lost and self._open[at]]
        if whole:
            self._merge(bars_of_trades([trade for minute in whole for trade in self._open[minute]]))
        self._settle_before(before_ms)
        self._lost = {minute for minute in self._lost if minute >= oldest}
        self._ids = {minute: ids for minute, ids in self._ids.items() if minute >= oldest}
        self._asked = {minute for minute in self._lost if minute < before_ms}
        return sorted(self._asked)

    def fill(self, candles: pl.DataFrame, minutes: Iterable[int] | None = None) -> None:
        """Answer `close`: bars of the minutes it named from a CANDLE frame; those without a candle had no trade.

        Args:
            minutes: the minutes that were asked for; None for those named last.
        """
        asked = self._lost.intersection(self._asked if minutes is None else minutes)
        wanted = candles.filter(_open_ms().is_in(sorted(asked)))
        if not wanted.is_empty():
            self._merge(bars_from_candles(wanted))
        self._lost -= asked

    def frame(self) -> pl.DataFrame:
        """Give the closed bars as a BAR_1M frame, oldest first."""
        return self._bars

    def open_bars(self) -> pl.DataFrame:
        """Give what is known so far of the minutes not yet closed, as a BAR_1M frame: mostly one row, or none."""
        minutes = sorted(self._open)
        if not minutes:
            return BAR_1M.empty()
        return bars_of_trades([trade for minute in minutes for trade in self._open[minute]])

    def last_price(self) -> float | None:
        """Give the price of the newest trade, else the close of the newest bar; None when neither is there."""
        if self._last is not None:
            return self._last.price
        return None if self._bars.is_empty() else float(self._bars["close"][-1])

    def last_trade_ms(self) -> int | None:
        """Give the event time of the newest trade of the stream."""
        return None if self._last is None else self._last.ts_event_ms

    def _enter(self, minute: int) -> None:
        """Keep at hand what `add` needs of a minute, until `_leave`: most trades are of the minute of the last one."""
        self._minute = minute
        self._minute_ids = self._ids.setdefault(minute, set())
        is_closed = self._closed_before is not None and minute < self._closed_before
        self._minute_trades = None if is_closed else self._open.setdefault(minute, [])

    def _leave(self) -> None:
        self._minute = _NO_MINUTE

    def _first_open(self, ts_ms: int) -> int:
        """Give the first minute that is not closed: at the latest that of `ts_ms` when none was closed yet."""
        return self._closed_before if self._closed_before is not None else min([_minute_of(ts_ms), *self._open])

    def _settle_before(self, before_ms: int) -> None:
        self._leave()
        self._closed_before = max(before_ms, self._closed_before or before_ms)
        self._open = {minute: trades for minute, trades in self._open.items() if minute >= before_ms}

    def _merge(self, bars: pl.DataFrame) -> None:
        merged = pl.concat([self._bars, bars], rechunk=True)
        if not self._bars.is_empty() and bars["ts_open"][0] <= self._bars["ts_open"][-1]:
            merged = merged.unique("ts_open", keep="last", maintain_order=True).sort("ts_open")
        self._bars = merged.tail(self._capacity)


def _minute_of(ts_ms: int) -> int:
    return ts_ms - ts_ms % MINUTE_MS


def _order(trade: Trade) -> tuple[int, int, int]:
    return trade.ts_event_ms, trade.arrival, trade.trade_id


def _open_ms() -> pl.Expr:
    return pl.col("ts_open").dt.epoch("ms")
