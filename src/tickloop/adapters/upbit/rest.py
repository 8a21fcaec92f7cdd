"""Upbit's public REST: candles and trades, paged as the exchange pages, within its rate limits."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from types import TracebackType
from typing import Self

import httpx

from tickloop.adapters.upbit.budget import Budget
from tickloop.adapters.upbit.errors import NOT_FOUND, TOO_MANY, error_of
from tickloop.adapters.upbit.messages import CandleRow, MarketRow, TradeRow, candle_of, decode, rest_trade_of
from tickloop.domain.market import Candle, Trade
from tickloop.domain.window import DAY_MS, MINUTE_MS, Window, to_datetime
from tickloop.errors import ExchangeError, RejectedError, RetryableError, UnknownMarketError
from tickloop.ports import Clock

CANDLES_PER_PAGE = 200
TRADES_PER_PAGE = 500
TRADE_DAYS = 7
"""Trades older than this many UTC days are gone (Upbit developer centre, recent trades: `days_ago`)."""

_TRIES = 6
_FIRST_DELAY_S = 0.25
_MOST_DELAY_S = 10.0
_TIMEOUT = httpx.Timeout(10.0, connect=5.0)


class UpbitMarketData:
    """Implements `ports.MarketData`. One keep-alive connection; safe to use from one thread at a time.

    Args:
        pause: waits real seconds; a process that must stop passes the `wait` of its stop event.
        transport: replaces the network, for tests.
    """

    def __init__(
        self,
        rest_url: str,
        clock: Clock,
        *,
        pause: Callable[[float], object] = time.sleep,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._clock = clock
        self._pause = pause
        self._budgets = {group: Budget(clock, pause=pause) for group in ("market", "candles", "trades")}
        self._client = httpx.Client(
            base_url=rest_url,
            headers={"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": "tickloop"},
            timeout=_TIMEOUT,
            transport=transport,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    def markets(self) -> list[str]:
        body = self._get("market", "/v1/market/all", {})
        return [row.market for row in decode(body, list[MarketRow], "market/all")]

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
        query = {"market": market, "to": f"{to_datetime(to_ms):%Y-%m-%dT%H:%M:%SZ}", "count": str(count)}
        body = self._get_of_market("candles", "/v1/candles/minutes/1", market, query)
        page = decode(body, list[CandleRow], "candles")
        times = [row.ts_open_ms for row in page]
        if any(later <= earlier for later, earlier in zip([to_ms, *times], times, strict=False)):
            raise ExchangeError(f"candles of {market} before {query['to']} did not come newest first: {times[:3]}...")
        return page

    def _trades_backwards(self, market: str, window: Window) -> Iterator[TradeRow]:
        """Yield trades newest first, one UTC day after the other, from the window's end until its start is passed."""
        last_day_ms = (window.end_ms - 1) // DAY_MS * DAY_MS
        for day_ms in range(last_day_ms, window.start_ms - DAY_MS, -DAY_MS):
            query = {"market": market, "count": str(TRADES_PER_PAGE), **_before(window.end_ms, day_ms)}
            while (page := self._trade_page(market, day_ms, query)) is not None:
                yield from page
                # Ids do not order trades, so a page ends the search only when all of it lies before the window.
                if max(row.timestamp for row in page) < window.start_ms:
                    return
                query.pop("to", None)
                query["cursor"] = str(min(row.sequential_id for row in page))

    def _trade_page(self, market: str, day_ms: int, query: dict[str, str]) -> list[TradeRow] | None:
        """Give one page of a UTC day, newest first; None past its end, or when the day is no longer to be had."""
        days_ago = (self._clock.now_ms() - day_ms) // DAY_MS
        if not 0 <= days_ago <= TRADE_DAYS:
            return None
        asked = {**query, "days_ago": str(days_ago)} if days_ago else query
        body = self._get_of_market("trades", "/v1/trades/ticks", market, asked)
        page = decode(body, list[TradeRow], "trades/ticks")
        strange = [row.timestamp for row in page if not day_ms <= row.timestamp < day_ms + DAY_MS]
        if strange:
            day: datetime = to_datetime(day_ms)
            raise RetryableError(f"trades of {market} on {day:%Y-%m-%d} came from another day: {strange[0]}")
        return page or None

    def _get_of_market(self, group: str, path: str, market: str, query: dict[str, str]) -> bytes:
        try:
            return self._get(group, path, query)
        except RejectedError as exc:
            if exc.status != NOT_FOUND:
                raise
            raise UnknownMarketError(market, tuple(self.markets())) from exc

    def _get(self, group: str, path: str, query: dict[str, str]) -> bytes:
        """Read, repeating what may be repeated.

        Between tries it waits min(0.25 s x 2^n, 10 s), of that a random half to whole; after 429 and 418 the budget
        waits in market time as well.
        """
        for number in range(_TRIES):
            try:
                return self._get_once(group, path, query)
            except RetryableError:
                if number == _TRIES - 1:
                    raise
                delay_s = min(_FIRST_DELAY_S * 2**number, _MOST_DELAY_S)
                self._pause(delay_s * random.uniform(0.5, 1.0))  # noqa: S311 (spreads load, guards nothing)
        raise AssertionError("unreachable: the last try returns or raises")

    def _get_once(self, group: str, path: str, query: dict[str, str]) -> bytes:
        budget = self._budgets[group]
        budget.wait()
        try:
            answer = self._client.get(path, params=query)
        except httpx.TransportError as exc:
            raise RetryableError(f"no answer to GET {path} from {self._client.base_url}: {exc!r}") from exc
        budget.learn(answer.headers.get("Remaining-Req"))
        if answer.is_success:
            return answer.content
        error = error_of(answer.status_code, answer.content, answer.headers)
        if isinstance(error, RetryableError) and answer.status_code in TOO_MANY:
            budget.block(error.retry_after_s)
        raise error


def _before(end_ms: int, day_ms: int) -> dict[str, str]:
    """Give the time of day to begin at, a second late since the exchange cuts at seconds; nothing for a whole day."""
    begin_ms = end_ms + 1_000
    if begin_ms >= day_ms + DAY_MS:
        return {}
    return {"to": f"{to_datetime(begin_ms):%H:%M:%S}"}
