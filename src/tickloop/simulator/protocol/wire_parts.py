"""What REST objects and WebSocket messages of the public side have in common."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from tickloop.domain.market import Side
from tickloop.domain.window import to_datetime
from tickloop.simulator.prices.book import Book, Level
from tickloop.simulator.prices.ticker import Ticker

TAKER = {Side.BUY: "BID", Side.SELL: "ASK"}


def change_fields(ticker: Ticker, order: Sequence[str]) -> dict[str, Any]:
    """Give how the price stands to the day before, the five fields in some order: REST and stream differ in it."""
    signed = difference(ticker.price, ticker.prev_close)
    rate = round(signed / ticker.prev_close, 10)
    fields = {
        "change": ticker.change.value,
        "change_price": abs(signed),
        "signed_change_price": signed,
        "change_rate": abs(rate),
        "signed_change_rate": rate,
    }
    return {name: fields[name] for name in order}


def year_fields(ticker: Ticker) -> dict[str, Any]:
    return {
        "highest_52_week_price": ticker.year.high,
        "highest_52_week_date": f"{to_datetime(ticker.year.high_day_ms):%Y-%m-%d}",
        "lowest_52_week_price": ticker.year.low,
        "lowest_52_week_date": f"{to_datetime(ticker.year.low_day_ms):%Y-%m-%d}",
    }


def book_sides(book: Book, count: int) -> dict[str, Any]:
    """Give the first levels of a book and their sums."""
    missing = Level(Decimal(0), Decimal(0))  # where a thin book has no level
    depth = min(count, max(len(book.asks), len(book.bids)))
    pairs = [
        (
            book.asks[level] if level < len(book.asks) else missing,
            book.bids[level] if level < len(book.bids) else missing,
        )
        for level in range(depth)
    ]
    return {
        "total_ask_size": float(sum(ask.qty for ask, _ in pairs)),
        "total_bid_size": float(sum(bid.qty for _, bid in pairs)),
        "orderbook_units": [
            {
                "ask_price": float(ask.price),
                "bid_price": float(bid.price),
                "ask_size": float(ask.qty),
                "bid_size": float(bid.qty),
            }
            for ask, bid in pairs
        ],
    }


def number(value: Decimal | int) -> int | float:
    """Give a decimal as JSON has it: without a point where it is whole."""
    whole = int(value)
    return whole if whole == value else float(value)


def difference(price: float, prev_close: float) -> float:
    """Subtract as decimals do: 0.3 - 0.1 is 0.2 to a reader of prices."""
    return round(price - prev_close, 8)
