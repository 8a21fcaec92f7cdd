"""Messages of the public WebSocket in DEFAULT format, field for field as the exchange writes them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal

from tickloop.domain.window import to_datetime
from tickloop.simulator.prices.book import DEPTH, Book, Level
from tickloop.simulator.prices.candles import Candles, volume_of
from tickloop.simulator.prices.market import StreamEvent
from tickloop.simulator.prices.ticker import Ticker
from tickloop.simulator.protocol.wire_parts import TAKER, book_sides, change_fields, difference, number, year_fields
from tickloop.simulator.protocol.wire_rest import candle_objects

StreamType = Literal["SNAPSHOT", "REALTIME"]

_STREAM_CHANGES = ("change", "change_price", "signed_change_price", "change_rate", "signed_change_rate")


def trade_frame(event: StreamEvent, sent_ms: int, stream_type: StreamType) -> dict[str, Any]:
    """Give a `trade` message in DEFAULT format; `sent_ms` is when the server emits it."""
    ticker, moment = event.ticker, to_datetime(event.ts_ms)
    return {
        "type": "trade",
        "code": ticker.market,
        "timestamp": sent_ms,
        "trade_date": f"{moment:%Y-%m-%d}",
        "trade_time": f"{moment:%H:%M:%S}",
        "trade_timestamp": ticker.trade_ts_ms,
        "trade_price": ticker.price,
        "trade_volume": volume_of(ticker.qty_e8),
        "ask_bid": TAKER[ticker.side],
        "prev_closing_price": ticker.prev_close,
        "change": ticker.change.value,
        "change_price": abs(difference(ticker.price, ticker.prev_close)),
        "sequential_id": ticker.trade_id,
        **_best("ask", event.best_ask),
        **_best("bid", event.best_bid),
        "stream_type": stream_type,
    }


def ticker_frame(ticker: Ticker, sent_ms: int, stream_type: StreamType) -> dict[str, Any]:
    """Give a `ticker` message in DEFAULT format; `sent_ms` is when the server emits it."""
    moment = to_datetime(ticker.trade_ts_ms)
    is_delisted = ticker.state == "DELISTED"
    return {
        "type": "ticker",
        "code": ticker.market,
        "opening_price": ticker.open,
        "high_price": ticker.high,
        "low_price": ticker.low,
        "trade_price": ticker.price,
        "prev_closing_price": ticker.prev_close,
        "acc_trade_price": ticker.notional,
        **change_fields(ticker, _STREAM_CHANGES),
        "ask_bid": TAKER[ticker.side],
        "trade_volume": volume_of(ticker.qty_e8),
        "acc_trade_volume": volume_of(ticker.qty_e8_day),
        "trade_date": f"{moment:%Y%m%d}",
        "trade_time": f"{moment:%H%M%S}",
        "trade_timestamp": ticker.trade_ts_ms,
        "acc_ask_volume": volume_of(ticker.qty_e8_day - ticker.buy_qty_e8_day),
        "acc_bid_volume": volume_of(ticker.buy_qty_e8_day),
        **year_fields(ticker),
        "market_state": ticker.state,
        "is_trading_suspended": is_delisted,
        "delisting_date": f"{to_datetime(ticker.end_day_ms):%Y-%m-%d}" if is_delisted else None,
        "market_warning": "NONE",
        "timestamp": sent_ms,
        "acc_trade_price_24h": ticker.notional_24h,
        "acc_trade_volume_24h": volume_of(ticker.qty_e8_24h),
        "stream_type": stream_type,
    }


def orderbook_frame(
    book: Book, stream_type: StreamType, count: int = DEPTH, level: Decimal | int = 0
) -> dict[str, Any]:
    """Give an `orderbook` message in DEFAULT format: always the whole book of `count` levels."""
    return {
        "type": "orderbook",
        "code": book.market,
        "timestamp": book.ts_ms,
        **book_sides(book, count),
        "stream_type": stream_type,
        "level": number(level),
    }


def candle_frame(market: str, kind: str, candle: Candles, sent_ms: int, stream_type: StreamType) -> dict[str, Any]:
    """Give a `candle.1s` or `candle.1m` message in DEFAULT format.

    Args:
        candle: the one candle that it tells of.
    """
    (row,) = candle_objects(market, candle)
    names = ("candle_date_time_utc", "candle_date_time_kst", "opening_price", "high_price", "low_price", "trade_price")
    sums = ("candle_acc_trade_volume", "candle_acc_trade_price")
    fields = {name: row[name] for name in (*names, *sums)}
    return {"type": kind, "code": market, **fields, "timestamp": sent_ms, "stream_type": stream_type}


def _best(side: str, level: Level | None) -> dict[str, Any]:
    price, size = (Decimal(0), Decimal(0)) if level is None else level
    return {f"best_{side}_price": number(price), f"best_{side}_size": float(size)}
