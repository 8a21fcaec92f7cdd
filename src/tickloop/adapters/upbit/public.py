"""Upbit's public REST, endpoint by endpoint, within its rate limits; reads are repeated."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeVar

import httpx

from tickloop.adapters.upbit.answers import decode
from tickloop.adapters.upbit.budget import Budget
from tickloop.adapters.upbit.budget_state import QUOTATION_GROUPS
from tickloop.adapters.upbit.errors import TOO_MANY, error_of
from tickloop.adapters.upbit.quotation_rows import (
    BookRow,
    CandleRow,
    DayRow,
    InstrumentRow,
    LevelsRow,
    LongCandleRow,
    MarketRow,
    TickerRow,
    TradeRow,
)
from tickloop.domain.window import to_datetime
from tickloop.errors import RetryableError
from tickloop.ports import Clock

CANDLES_PER_PAGE = 200
TRADES_PER_PAGE = 500

MINUTE_UNITS = (1, 3, 5, 10, 15, 30, 60, 240)
MinuteUnit = Literal[1, 3, 5, 10, 15, 30, 60, 240]
LongPeriod = Literal["weeks", "months", "years"]

_TRIES = 6
_FIRST_DELAY_S = 0.25
_MOST_DELAY_S = 10.0
_TIMEOUT = httpx.Timeout(10.0, connect=5.0)

_Form = TypeVar("_Form")


class UpbitPublic:
    """Every quotation endpoint as a typed read; safe to use from several threads.

    Each raises `RetryableError` after the last try, `RejectedError` for what the exchange refuses (404: it does not
    know the market), `ExchangeError` for an answer that is not as documented. Pages come newest first; `to_ms` is
    exclusive; counts above a page are cut to one by the exchange.

    Args:
        budgets: folder of the files that processes of this machine share their budgets in; None shares with nobody.
        pause: waits real seconds; a process that must stop passes the `wait` of its stop event.
        transport: replaces the network, for tests.
    """

    def __init__(
        self,
        rest_url: str,
        clock: Clock,
        *,
        budgets: Path | None = None,
        pause: Callable[[float], object] = time.sleep,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._pause = pause
        self._budgets = {
            group: Budget(clock, limit, None if budgets is None else budgets / group, pause)
            for group, limit in QUOTATION_GROUPS.items()
        }
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
        for budget in self._budgets.values():
            budget.close()

    def markets(self, *, with_details: bool = False) -> list[MarketRow]:
        query = {"is_details": "true"} if with_details else {}
        return self._read("market", "/v1/market/all", query, list[MarketRow])

    def seconds(self, market: str, to_ms: int | None = None, count: int = CANDLES_PER_PAGE) -> list[CandleRow]:
        """Give candles of one second, of the last three months."""
        return self._read("candles", "/v1/candles/seconds", _page(market, to_ms, count), list[CandleRow])

    def minutes(
        self, market: str, to_ms: int | None = None, count: int = CANDLES_PER_PAGE, unit: MinuteUnit = 1
    ) -> list[CandleRow]:
        return self._read("candles", f"/v1/candles/minutes/{unit}", _page(market, to_ms, count), list[CandleRow])

    def days(
        self, market: str, to_ms: int | None = None, count: int = CANDLES_PER_PAGE, *, in_krw: bool = False
    ) -> list[DayRow]:
        """Give candles of UTC days, with their change against the day before; `in_krw` converts the close too."""
        query = _page(market, to_ms, count) | ({"converting_price_unit": "KRW"} if in_krw else {})
        return self._read("candles", "/v1/candles/days", query, list[DayRow])

    def longer(
        self, period: LongPeriod, market: str, to_ms: int | None = None, count: int = CANDLES_PER_PAGE
    ) -> list[LongCandleRow]:
        return self._read("candles", f"/v1/candles/{period}", _page(market, to_ms, count), list[LongCandleRow])

    def trades(
        self,
        market: str,
        count: int = TRADES_PER_PAGE,
        *,
        days_ago: int = 0,
        to: str | None = None,
        cursor: int | None = None,
    ) -> list[TradeRow]:
        """Give trades of one UTC day, at most seven days ago.

        Args:
            to: time of day `HH:mm:ss`, exclusive.
            cursor: a trade id: only older trades.
        """
        query = {"market": market, "count": str(count)}
        query |= {"days_ago": str(days_ago)} if days_ago else {}
        query |= {"to": to} if to is not None else {}
        query |= {"cursor": str(cursor)} if cursor is not None else {}
        return self._read("trades", "/v1/trades/ticks", query, list[TradeRow])

    def tickers(self, markets: Sequence[str]) -> list[TickerRow]:
        return self._read("ticker", "/v1/ticker", {"markets": ",".join(markets)}, list[TickerRow])

    def all_tickers(self, quotes: Sequence[str] = ("KRW",)) -> list[TickerRow]:
        return self._read("ticker", "/v1/ticker/all", {"quote_currencies": ",".join(quotes)}, list[TickerRow])

    def books(self, markets: Sequence[str], level: str = "0", count: int = 30) -> list[BookRow]:
        """Give order books, best first; a level that a market does not support gives none."""
        query = {"markets": ",".join(markets), "level": level, "count": str(count)}
        return self._read("orderbook", "/v1/orderbook", query, list[BookRow])

    def instruments(self, markets: Sequence[str]) -> list[InstrumentRow]:
        """Give price steps and book levels: the best source of a step at run time."""
        query = {"markets": ",".join(markets)}
        return self._read("orderbook", "/v1/orderbook/instruments", query, list[InstrumentRow])

    def supported_levels(self, markets: Sequence[str]) -> list[LevelsRow]:
        """Give book levels: what `instruments` replaces."""
        query = {"markets": ",".join(markets)}
        return self._read("orderbook", "/v1/orderbook/supported_levels", query, list[LevelsRow])

    def _read(self, group: str, path: str, query: Mapping[str, str], form: type[_Form]) -> _Form:
        """Read, repeating what may be repeated.

        Between tries it waits min(0.25 s x 2^n, 10 s), of that a random half to whole; after 429 and 418 the budget
        waits in market time as well.
        """
        for number in range(_TRIES):
            try:
                return decode(self._get(group, path, query), form, path.removeprefix("/v1/"))
            except RetryableError:
                if number == _TRIES - 1:
                    raise
                delay_s = min(_FIRST_DELAY_S * 2**number, _MOST_DELAY_S)
                self._pause(delay_s * random.uniform(0.5, 1.0))  # noqa: S311 (spreads load, guards nothing)
        raise AssertionError("unreachable: the last try returns or raises")

    def _get(self, group: str, path: str, query: Mapping[str, str]) -> bytes:
        budget = self._budgets[group]
        budget.wait()
        try:
            answer = self._client.get(path, params=dict(query))
        except (httpx.TransportError, httpx.DecodingError) as exc:
            raise RetryableError(f"no answer to GET {path} from {self._client.base_url}: {exc!r}") from exc
        if answer.status_code not in TOO_MANY:
            budget.learn(answer.headers.get("Remaining-Req"))
            if answer.is_success:
                return answer.content
        error = error_of(answer.status_code, answer.content, answer.headers)
        if isinstance(error, RetryableError) and answer.status_code in TOO_MANY:
            budget.refused(answer.status_code, error.retry_after_s)
        raise error


def _page(market: str, to_ms: int | None, count: int) -> dict[str, str]:
    query = {"market": market, "count": str(count)}
    if to_ms is None:
        return query
    before = to_datetime(-(-to_ms // 1000) * 1000)  # whole seconds, up: a candle that starts before `to_ms` is in
    return {**query, "to": f"{before:%Y-%m-%dT%H:%M:%SZ}"}
