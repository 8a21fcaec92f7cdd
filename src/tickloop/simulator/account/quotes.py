"""What the private side sees of the market."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from tickloop.domain.market import Side
from tickloop.domain.rules import QTY_STEP
from tickloop.simulator.account.order import BID, OrderSide
from tickloop.simulator.prices.book import Level
from tickloop.simulator.prices.exchange import SimulatedExchange


class ExchangeQuotes:
    """The made market's price and book, for the matching of orders."""

    def __init__(self, exchange: SimulatedExchange) -> None:
        self._exchange = exchange
        self._known = frozenset(exchange.markets)

    def is_known(self, market: str) -> bool:
        return market in self._known

    def is_trading(self, market: str, at_ms: int) -> bool:
        found = self._exchange.market(market)
        return found.state(at_ms) == "ACTIVE" and found.book(at_ms) is not None

    def last_price(self, market: str, at_ms: int) -> Decimal:
        ticker = self._exchange.market(market).ticker(at_ms)
        assert ticker is not None, "a market that trades has a last price"
        return Decimal(repr(ticker.price))

    def levels(self, market: str, side: OrderSide, at_ms: int) -> Sequence[Level]:
        book = self._exchange.market(market).book(at_ms)
        assert book is not None, "a market that trades has a book"
        return book.asks if side == BID else book.bids

    def print_fill(self, market: str, price: Decimal, volume: Decimal, taker: OrderSide, ts_ms: int) -> None:
        """Print a fill where the exchange prints them; from a recording it stays the client's own."""
        if self._exchange.prints_fills:
            side = Side.BUY if taker == BID else Side.SELL
            self._exchange.print_trade(market, float(price), int(volume / QTY_STEP), side, ts_ms)
