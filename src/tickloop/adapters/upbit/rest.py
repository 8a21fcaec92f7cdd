"""Market data from Upbit's public REST: candles and trades of a window, paged as the exchange pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self, TypeVar

from tickloop.adapters.upbit.errors import NOT_FOUND
from tickloop.adapters.upbit.public import CANDLES_PER_PAGE, TRADES_PER_PAGE, UpbitPublic
from tickloop.adapters.upbit.quotation_rows import CandleRow, TradeRow, candle_of, rest_trade_of
from tickloop.domain.market import Candle, Trade
from tickloop.domain.window import DAY_MS, MINUTE_MS, Window, to_datetime
from tickloop.errors import ExchangeError, RejectedError, RetryableError, UnknownMarketError
from tickloop.ports import Clock

TRADE_DAYS = 7
"""Trades older than this many UTC days are gone (Upbit developer centre, recent trades: `days_ago`)."""

_Page = TypeVar("_Page")


class UpbitMarketData:
    """Implements `ports.MarketData`; safe to use from several threads.

    Args:
        public: what it reads from; closed with it.
    """

    def __init__(self, public: UpbitPublic, clock: Clock) -> None:
        self._public = public
        self._clock = clock

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._public.close()

    def markets(self) -> list[str]:
        return [row.market for row in self._public.markets()]

    def candles(self, market: str, window: Window) -> list[Candle]:
        # `to` is exclusive and pages come newest first; a page spans more than 200 minutes where minutes had no trade.
        found: list[Candle] = []
        to_ms = window.end_ms
        while to_ms > window.start_ms:
            page = self._candle_page(market, to_ms, (to_ms - window.start_ms) // MINUTE_MS)
            if not page:
                break
            found += [candle_of(row) for row in page if row.ts_open_ms in window]
            to_ms = page[-1].ts_open_ms
        found.reverse()
        return found

    def trades(self, market: str, window: Window) -> list[Trade]:
        found: dict[int, Trade] = {}
        for row in self._trades_backwards(market, window):
            if row.timestamp in window:
                found.setdefault(row.sequential_id, rest_trade_of(row))
        return list(reversed(found.values()))

    def _candle_page(self, market: str, to_ms: int, minutes: int) -> list[CandleRow]:
        count = min(CANDLES_PER_PAGE, minutes)
        page = self._of_market(market, lambda: self._public.minutes(market, to_ms, count))
        times = [row.ts_open_ms for row in page]
        if any(later <= earlier for later, earlier in zip([to_ms, *times], times, strict=False)):
            before = f"{to_datetime(to_ms):%Y-%m-%dT%H:%M:%SZ}"
            raise ExchangeError(f"candles of {market} before {before} did not come newest first: {times[:3]}...")
        return page

    def _trades_backwards(self, market: str, window: Window) -> Iterator[TradeRow]:
        """Yield trades newest first, one UTC day after the other, from the window's end until its start is passed."""
        last_day_ms = (window.end_ms - 1) // DAY_MS * DAY_MS
        for day_ms in range(last_day_ms, window.start_ms - DAY_MS, -DAY_MS):
            to, cursor = _before(window.end_ms, day_ms), None
            while (page := self._trade_page(market, day_ms, to, cursor)) is not None:
                yield from page
                # Ids do not order trades, so a page ends the search only when all of it lies before the window.
                if max(row.timestamp for row in page) < window.start_ms:
                    return
                to, cursor = None, min(row.sequential_id for row in page)

    def _trade_page(self, market: str, day_ms: int, to: str | None, cursor: int | None) -> list[TradeRow] | None:
        """Give one page of a UTC day, newest first; None past its end, or when the day is no longer to be had."""
        days_ago = (self._clock.now_ms() - day_ms) // DAY_MS
        if not 0 <= days_ago <= TRADE_DAYS:
            return None
        page = self._of_market(
            market,
            lambda: self._public.trades(market, TRADES_PER_PAGE, days_ago=days_ago, to=to, cursor=cursor),
        )
        strange = [row.timestamp for row in page if not day_ms <= row.timestamp < day_ms + DAY_MS]
        if strange:
            raise RetryableError(
                f"trades of {market} on {to_datetime(day_ms):%Y-%m-%d} came from another day: {strange[0]}"
            )
        return page or None

    def _of_market(self, market: str, read: Callable[[], _Page]) -> _Page:
        try:
            return read()
        except RejectedError as exc:
            if exc.status != NOT_FOUND:
                raise
            raise UnknownMarketError(market, tuple(self.markets())) from exc


def _before(end_ms: int, day_ms: int) -> str | None:
    """Give the time of day to begin at, a second late since the exchange cuts at seconds; None for a whole day."""
    begin_ms = end_ms + 1_000
    return None if begin_ms >= day_ms + DAY_MS else f"{to_datetime(begin_ms):%H:%M:%S}"
