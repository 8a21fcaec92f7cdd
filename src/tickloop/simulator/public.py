"""REST of the public side: parameters in, JSON values out, nothing later than the market's now."""

from __future__ import annotations

from typing import Any

from tickloop.domain.window import DAY_MS
from tickloop.simulator.candles import MINUTE_UNITS
from tickloop.simulator.market import SimulatedExchange, SimulatedMarket
from tickloop.simulator.params import Call
from tickloop.simulator.refusal import INVALID_PARAMETER, TYPE_MISMATCH, public_refusal
from tickloop.simulator.wire import candle_objects, market_objects, orderbook_object, ticker_object, trade_objects

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
        return market_objects(self._exchange.markets, is_details=is_details)

    def minutes(self, unit: str, call: Call) -> list[dict[str, Any]]:
        """Give candles, newest first, the open one included; `to` is exclusive."""
        if not (unit.isascii() and unit.isdigit()):
            raise public_refusal(400, TYPE_MISMATCH)
        if unit not in {str(valid) for valid in MINUTE_UNITS}:
            raise public_refusal(400, "specified unit is not valid.")
        market = self._market(call.params.required("market"))
        count = call.params.number("count", 1, 1, MAX_CANDLES)
        candles = market.candles(int(unit), call.params.moment("to"), count, call.now_ms)
        return candle_objects(market.market, int(unit), candles)

    def trades(self, call: Call) -> list[dict[str, Any]]:
        """Give trades, newest first, of today or up to seven UTC days ago."""
        market = self._market(call.params.required("market"))
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
        return self._tickers([self._market(code) for code in call.params.required_list("markets")], call.now_ms)

    def all_tickers(self, call: Call) -> list[dict[str, Any]]:
        quotes = call.params.required_list("quote_currencies")
        codes = [code for code in self._exchange.markets if code.partition("-")[0] in quotes]
        return self._tickers([self._market(code) for code in codes], call.now_ms)

    def orderbooks(self, call: Call) -> list[dict[str, Any]]:
        """Give full books; the simulated one knows level 0 only, any other gives an empty list, as live."""
        markets = [self._market(code) for code in call.params.required_list("markets")]
        count = call.params.number("count", MAX_BOOK_LEVELS, 1, MAX_BOOK_LEVELS)
        if (call.params.text("level") or "0") not in ("0", "0.0"):
            return []
        books = [market.book(call.now_ms) for market in markets]
        return [orderbook_object(book, count) for book in books if book is not None]

    def _tickers(self, markets: list[SimulatedMarket], now_ms: int) -> list[dict[str, Any]]:
        tickers = [market.ticker(now_ms) for market in markets]
        return [ticker_object(ticker, now_ms) for ticker in tickers if ticker is not None]

    def _market(self, code: str) -> SimulatedMarket:
        if code not in self._known:
            raise public_refusal(404, "Code not found")
        return self._exchange.market(code)
