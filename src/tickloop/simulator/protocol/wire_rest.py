"""JSON of the public side's REST, field for field as the exchange writes it."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.window import to_datetime
from tickloop.simulator.prices.book import DEPTH, Book
from tickloop.simulator.prices.candles import Candles, volume_of
from tickloop.simulator.prices.tape import SIDES, Tape
from tickloop.simulator.prices.ticker import Ticker
from tickloop.simulator.protocol.wire_parts import TAKER, book_sides, change_fields, difference, number, year_fields

KST_MS = 9 * 3_600_000  # no daylight saving

_NAMES = {"KRW-BTC": ("비트코인", "Bitcoin"), "KRW-ETH": ("이더리움", "Ethereum")}
_CAUTIONS = (
    "PRICE_FLUCTUATIONS",
    "TRADING_VOLUME_SOARING",
    "DEPOSIT_AMOUNT_SOARING",
    "GLOBAL_PRICE_DIFFERENCES",
    "CONCENTRATION_OF_SMALL_ACCOUNTS",
)

_REST_CHANGES = ("change", "change_price", "change_rate", "signed_change_price", "signed_change_rate")


def market_objects(markets: Iterable[str], *, is_details: bool = False) -> list[dict[str, Any]]:
    """Give `GET /v1/market/all`; the recording knows no names, so most markets bear their code."""
    return [_market_object(market, is_details) for market in markets]


def candle_objects(market: str, candles: Candles, unit: int | None = None) -> list[dict[str, Any]]:
    """Give `GET /v1/candles/...` in the order of `candles`; only those of minutes have a unit."""
    last = {} if unit is None else {"unit": unit}
    rows = zip(
        _moments(candles.ts_open),
        _moments(candles.ts_open + KST_MS),
        *(column.tolist() for column in candles[1:]),
        strict=True,
    )
    return [
        {
            "market": market,
            "candle_date_time_utc": utc,
            "candle_date_time_kst": kst,
            "opening_price": opening,
            "high_price": high,
            "low_price": low,
            "trade_price": close,
            "timestamp": ts_last,
            "candle_acc_trade_price": notional,
            "candle_acc_trade_volume": volume_of(qty_e8),
            **last,
        }
        for utc, kst, opening, high, low, close, notional, qty_e8, ts_last in rows
    ]


def day_objects(market: str, candles: Candles, *, is_converted: bool) -> list[dict[str, Any]]:
    """Give `GET /v1/candles/days`, newest first; the last one given serves as the day before and may be cut off."""
    rows = candle_objects(market, candles)
    before = [row["trade_price"] for row in rows[1:]]
    before += [rows[-1]["opening_price"]] if rows else []  # nothing is known before the first day
    return [
        {
            **row,
            "prev_closing_price": previous,
            "change_price": difference(row["trade_price"], previous),
            "change_rate": round(difference(row["trade_price"], previous) / previous, 10),
            **({"converted_trade_price": row["trade_price"]} if is_converted else {}),
        }
        for row, previous in zip(rows, before, strict=True)
    ]


def trade_objects(trades: Tape) -> list[dict[str, Any]]:
    """Give `GET /v1/trades/ticks` in the order of `trades`."""
    rows = zip(
        _moments(trades.ts_event),
        trades.ts_event.tolist(),
        trades.price.tolist(),
        trades.qty_e8.tolist(),
        trades.prev_close.tolist(),
        trades.side.tolist(),
        trades.trade_id.tolist(),
        strict=True,
    )
    return [
        {
            "market": trades.market,
            "trade_date_utc": moment[:10],
            "trade_time_utc": moment[11:],
            "timestamp": ts_ms,
            "trade_price": price,
            "trade_volume": volume_of(qty_e8),
            "prev_closing_price": prev_close,
            "change_price": difference(price, prev_close),
            "ask_bid": TAKER[SIDES[side]],
            "sequential_id": trade_id,
        }
        for moment, ts_ms, price, qty_e8, prev_close, side, trade_id in rows
    ]


def ticker_object(ticker: Ticker, now_ms: int) -> dict[str, Any]:
    """Give one entry of `GET /v1/ticker`; `now_ms` is when it is asked for."""
    utc, kst = to_datetime(ticker.trade_ts_ms), to_datetime(ticker.trade_ts_ms + KST_MS)
    return {
        "market": ticker.market,
        "trade_date": f"{utc:%Y%m%d}",
        "trade_time": f"{utc:%H%M%S}",
        "trade_date_kst": f"{kst:%Y%m%d}",
        "trade_time_kst": f"{kst:%H%M%S}",
        "trade_timestamp": ticker.trade_ts_ms,
        "opening_price": ticker.open,
        "high_price": ticker.high,
        "low_price": ticker.low,
        "trade_price": ticker.price,
        "prev_closing_price": ticker.prev_close,
        **change_fields(ticker, _REST_CHANGES),
        "trade_volume": volume_of(ticker.qty_e8),
        "acc_trade_price": ticker.notional,
        "acc_trade_price_24h": ticker.notional_24h,
        "acc_trade_volume": volume_of(ticker.qty_e8_day),
        "acc_trade_volume_24h": volume_of(ticker.qty_e8_24h),
        **year_fields(ticker),
        "timestamp": now_ms,
    }


def orderbook_object(book: Book, count: int = DEPTH, level: Decimal | int = 0) -> dict[str, Any]:
    """Give one entry of `GET /v1/orderbook`; `level` is what the book was put together to."""
    return {"market": book.market, "timestamp": book.ts_ms, **book_sides(book, count), "level": number(level)}


def _market_object(market: str, is_details: bool) -> dict[str, Any]:
    korean, english = _NAMES.get(market, (market.partition("-")[2],) * 2)
    entry: dict[str, Any] = {"market": market, "korean_name": korean, "english_name": english}
    if is_details:
        entry["market_event"] = {"warning": False, "caution": dict.fromkeys(_CAUTIONS, False)}
    return entry


def _moments(ts_ms: NDArray[np.int64]) -> list[str]:
    """Write epoch ms as `2026-03-04T05:06:00`."""
    texts: list[str] = np.datetime_as_string(ts_ms.astype("datetime64[ms]"), unit="s").tolist()
    return texts
