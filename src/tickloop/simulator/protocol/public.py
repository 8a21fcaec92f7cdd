"""REST of the public side: parameters in, JSON values out, nothing later than the market's now."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

from tickloop.domain.window import DAY_MS
from tickloop.simulator.account.balances import QUOTE, plain
from tickloop.simulator.prices.book import Book, level_sizes, levelled
from tickloop.simulator.prices.candles import Candles
from tickloop.simulator.prices.exchange import SimulatedExchange
from tickloop.simulator.prices.market import SimulatedMarket
from tickloop.simulator.prices.periods import DAYS, MINUTE_UNITS, SECONDS, SECONDS_KEPT_MS, Period, every_minutes
from tickloop.simulator.protocol.params import Call
from tickloop.simulator.protocol.wire_rest import (
    candle_objects,
    day_objects,
    market_objects,
    orderbook_object,
    ticker_object,
    trade_objects,
)
from tickloop.simulator.refusal import INVALID_PARAMETER, TYPE_MISMATCH, public_refusal

MAX_CANDLES = 200
MAX_TRADES = 500
MAX_BOOK_LEVELS = 30
MAX_DAYS_AGO = 7


class PublicSide:
    """One method per endpoint: a `Call` to what the body holds, or `RefusedError`."""

    def __init__(self, exchange: SimulatedExchange) -> None:
        self._exchange = exchange
        self._known = frozenset(exchange.markets)

    def markets(self, call: Call) -> list[dict[str, Any]]:
        is_details = call.params.flag("is_details", "isDetails")
        return market_objects(self._exchange.on_offer(call.now_ms), is_details=is_details)

    def minutes(self, unit: str, call: Call) -> list[dict[str, Any]]:
        """Give candles of some minutes, newest first, the open one included; `to` is exclusive."""
        if not (unit.isascii() and unit.isdigit()):
            raise public_refusal(400, TYPE_MISMATCH)
        if unit not in {str(valid) for valid in MINUTE_UNITS}:
            raise public_refusal(400, "specified unit is not valid.")
        market, candles = self._candles(every_minutes(int(unit)), call)
        return candle_objects(market, candles, int(unit))

    def seconds(self, call: Call) -> list[dict[str, Any]]:
        """Give candles of one second; older than three months there are none."""
        market, candles = self._candles(SECONDS, call)
        oldest = call.now_ms - SECONDS_KEPT_MS
        return candle_objects(market, candles.take(slice(0, int((candles.ts_open >= oldest).sum()))))

    def days(self, call: Call) -> list[dict[str, Any]]:
        """Give candles of UTC days, each with its change against the day before."""
        market, candles = self._candles(DAYS, call, extra=1)
        unit = call.params.text("converting_price_unit")
        rows = day_objects(market, candles, is_converted=unit == QUOTE)
        return rows[: call.params.number("count", 1, 1, MAX_CANDLES)]

    def longer(self, period: Period, call: Call) -> list[dict[str, Any]]:
        """Give candles of weeks, months or years, with the day they begin on."""
        market, candles = self._candles(period, call)
        return [
            {**row, "first_day_of_period": row["candle_date_time_utc"][:10]} for row in candle_objects(market, candles)
        ]

    def prepare(self, period: Period, call: Call) -> Iterator[int]:
        """Make the days that an answer of `days` or `longer` is put together from, one at each step."""
        market = self._market(call.params.required("market"), call.now_ms)
        count = call.params.number("count", 1, 1, MAX_CANDLES)
        return market.make_days(period, call.params.moment("to"), count, call.now_ms)

    def _candles(self, period: Period, call: Call, extra: int = 0) -> tuple[str, Candles]:
        market = self._market(call.params.required("market"), call.now_ms)
        count = call.params.number("count", 1, 1, MAX_CANDLES) + extra
        return market.market, market.candles(period, call.params.moment("to"), count, call.now_ms)

    def trades(self, call: Call) -> list[dict[str, Any]]:
        """Give trades, newest first, of today or up to seven UTC days ago."""
        market = self._market(call.params.required("market"), call.now_ms)
        days_ago = call.params.number("days_ago", 0, 0, MAX_DAYS_AGO + 1)
        if days_ago > MAX_DAYS_AGO:
            raise public_refusal(400, INVALID_PARAMETER)
        in_day = call.params.time_of_day("to")
        day_start = call.now_ms - call.now_ms % DAY_MS - days_ago * DAY_MS
        page = market.trades_page(
            call.now_ms,
            to_ms=None if in_day is None else day_start + in_day,
            cursor=call.params.number("cursor", 0, 0, 1 << 62) or None,
            count=call.params.number("count", 1, 1, MAX_TRADES),
            days_ago=days_ago,
        )
        return trade_objects(page)

    def tickers(self, call: Call) -> list[dict[str, Any]]:
        markets = [self._market(code, call.now_ms) for code in call.params.required_list("markets")]
        return self._tickers(markets, call.now_ms)

    def all_tickers(self, call: Call) -> list[dict[str, Any]]:
        quotes = call.params.required_list("quote_currencies")
        codes = [code for code in self._exchange.on_offer(call.now_ms) if code.partition("-")[0] in quotes]
        return self._tickers([self._exchange.market(code) for code in codes], call.now_ms)

    def orderbooks(self, call: Call) -> list[dict[str, Any]]:
        """Give books, put together to a `level` that the market supports; any other level gives an empty list."""
        markets = [self._market(code, call.now_ms) for code in call.params.required_list("markets")]
        count = call.params.number("count", MAX_BOOK_LEVELS, 1, MAX_BOOK_LEVELS)
        level = _level(call.params.text("level"))
        books = [market.book(call.now_ms) for market in markets]
        found = [levelled(book, level) for book in books if book is not None and level is not None]
        return [orderbook_object(book, count, level or 0) for book in found if book is not None]

    def instruments(self, call: Call) -> list[dict[str, Any]]:
        """Give price step and book levels of markets, as strings."""
        return [
            {
                "market": book.market,
                "quote_currency": QUOTE,
                "tick_size": plain(level_sizes(book)[0]),
                "supported_levels": ["0", *(plain(level) for level in level_sizes(book)[1:])],
            }
            for book in self._books(call)
        ]

    def supported_levels(self, call: Call) -> list[dict[str, Any]]:
        """Give book levels of markets, as numbers: the older form of `instruments`."""
        return [
            {"market": book.market, "supported_levels": [0, *(float(level) for level in level_sizes(book)[1:])]}
            for book in self._books(call)
        ]

    def _books(self, call: Call) -> list[Book]:
        markets = [self._market(code, call.now_ms) for code in call.params.required_list("markets")]
        return [book for market in markets if (book := market.book(call.now_ms)) is not None]

    def _tickers(self, markets: list[SimulatedMarket], now_ms: int) -> list[dict[str, Any]]:
        tickers = [market.ticker(now_ms) for market in markets]
        return [ticker_object(ticker, now_ms) for ticker in tickers if ticker is not None]

    def _market(self, code: str, now_ms: int) -> SimulatedMarket:
        if code not in self._known or not self._exchange.is_on_offer(code, now_ms):
            raise public_refusal(404, "Code not found")
        return self._exchange.market(code)


def _level(text: str | None) -> Decimal | None:
    try:
        level = Decimal(text or "0")
    except InvalidOperation:
        return None
    return level if level.is_finite() else None
