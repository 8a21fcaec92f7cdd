"""JSON of the public side: REST objects and WebSocket frames, field for field as the exchange writes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from tickloop.domain.market import Side
from tickloop.domain.window import to_datetime
from tickloop.simulator.book import DEPTH, Book, Level
from tickloop.simulator.candles import Candles, volume_of
from tickloop.simulator.market import StreamEvent
from tickloop.simulator.tape import SIDES, Tape
from tickloop.simulator.ticker import Ticker

StreamType = Literal["SNAPSHOT", "REALTIME"]
Format = Literal["DEFAULT", "SIMPLE", "JSON_LIST", "SIMPLE_LIST"]

KST_MS = 9 * 3_600_000  # no daylight saving

TAKER = {Side.BUY: "BID", Side.SELL: "ASK"}

_NAMES = {"KRW-BTC": ("비트코인", "Bitcoin"), "KRW-ETH": ("이더리움", "Ethereum")}
_CAUTIONS = (
    "PRICE_FLUCTUATIONS",
    "TRADING_VOLUME_SOARING",
    "DEPOSIT_AMOUNT_SOARING",
    "GLOBAL_PRICE_DIFFERENCES",
    "CONCENTRATION_OF_SMALL_ACCOUNTS",
)

SHORT = {
    "type": "ty",
    "code": "cd",
    "opening_price": "op",
    "high_price": "hp",
    "low_price": "lp",
    "trade_price": "tp",
    "prev_closing_price": "pcp",
    "change": "c",
    "change_price": "cp",
    "signed_change_price": "scp",
    "change_rate": "cr",
    "signed_change_rate": "scr",
    "trade_volume": "tv",
    "acc_trade_volume": "atv",
    "acc_trade_volume_24h": "atv24h",
    "acc_trade_price": "atp",
    "acc_trade_price_24h": "atp24h",
    "trade_time": "ttm",
    "trade_timestamp": "ttms",
    "ask_bid": "ab",
    "acc_ask_volume": "aav",
    "acc_bid_volume": "abv",
    "highest_52_week_price": "h52wp",
    "highest_52_week_date": "h52wdt",
    "lowest_52_week_price": "l52wp",
    "lowest_52_week_date": "l52wdt",
    "market_state": "ms",
    "is_trading_suspended": "its",
    "delisting_date": "dd",
    "market_warning": "mw",
    "timestamp": "tms",
    "stream_type": "st",
    "sequential_id": "sid",
    "best_ask_price": "bap",
    "best_ask_size": "bas",
    "best_bid_price": "bbp",
    "best_bid_size": "bbs",
    "total_ask_size": "tas",
    "total_bid_size": "tbs",
    "orderbook_units": "obu",
    "ask_price": "ap",
    "bid_price": "bp",
    "ask_size": "as",
    "bid_size": "bs",
    "level": "lv",
    "candle_date_time_utc": "cdttmu",
    "candle_date_time_kst": "cdttmk",
    "candle_acc_trade_volume": "catv",
    "candle_acc_trade_price": "catp",
    "uuid": "uid",
    "order_type": "ot",
    "state": "s",
    "trade_uuid": "tuid",
    "price": "p",
    "avg_price": "ap",
    "volume": "v",
    "remaining_volume": "rv",
    "executed_volume": "ev",
    "trades_count": "tc",
    "reserved_fee": "rsf",
    "remaining_fee": "rmf",
    "paid_fee": "pf",
    "locked": "l",
    "executed_funds": "ef",
    "time_in_force": "tif",
    "trade_fee": "tf",
    "is_maker": "im",
    "identifier": "id",
    "smp_type": "smpt",
    "prevented_volume": "pv",
    "prevented_locked": "pl",
    "order_timestamp": "otms",
    "asset_uuid": "astuid",
    "assets": "ast",
    "currency": "cu",
    "balance": "b",
    "asset_timestamp": "asttms",
}
"""Long -> short name of a WebSocket field; `trade_date` alone depends on the type of the message."""

# REST and stream write the same five fields, each in an order of its own.
_REST_CHANGES = ("change", "change_price", "change_rate", "signed_change_price", "signed_change_rate")
_STREAM_CHANGES = ("change", "change_price", "signed_change_price", "change_rate", "signed_change_rate")

_SHORT_DATE = {"trade": "td", "ticker": "tdt"}


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
            "change_price": _difference(row["trade_price"], previous),
            "change_rate": round(_difference(row["trade_price"], previous) / previous, 10),
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
            "change_price": _difference(price, prev_close),
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
        **_changes(ticker, _REST_CHANGES),
        "trade_volume": volume_of(ticker.qty_e8),
        "acc_trade_price": ticker.notional,
        "acc_trade_price_24h": ticker.notional_24h,
        "acc_trade_volume": volume_of(ticker.qty_e8_day),
        "acc_trade_volume_24h": volume_of(ticker.qty_e8_24h),
        **_year(ticker),
        "timestamp": now_ms,
    }


def orderbook_object(book: Book, count: int = DEPTH, level: Decimal | int = 0) -> dict[str, Any]:
    """Give one entry of `GET /v1/orderbook`; `level` is what the book was put together to."""
    return {"market": book.market, "timestamp": book.ts_ms, **_sides(book, count), "level": _number(level)}


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
        "change_price": abs(_difference(ticker.price, ticker.prev_close)),
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
        **_changes(ticker, _STREAM_CHANGES),
        "ask_bid": TAKER[ticker.side],
        "trade_volume": volume_of(ticker.qty_e8),
        "acc_trade_volume": volume_of(ticker.qty_e8_day),
        "trade_date": f"{moment:%Y%m%d}",
        "trade_time": f"{moment:%H%M%S}",
        "trade_timestamp": ticker.trade_ts_ms,
        "acc_ask_volume": volume_of(ticker.qty_e8_day - ticker.buy_qty_e8_day),
        "acc_bid_volume": volume_of(ticker.buy_qty_e8_day),
        **_year(ticker),
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
        **_sides(book, count),
        "stream_type": stream_type,
        "level": _number(level),
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


def frame_bytes(frame: dict[str, Any], form: Format = "DEFAULT") -> bytes:
    """Encode a DEFAULT message in the format that the client asked for."""
    message = _shortened(frame, frame["type"]) if form.startswith("SIMPLE") else frame
    return msgspec.json.encode([message] if form.endswith("LIST") else message)


def _shortened(value: Any, kind: str) -> Any:
    if isinstance(value, dict):
        return {
            _SHORT_DATE[kind] if name == "trade_date" else SHORT[name]: _shortened(item, kind)
            for name, item in value.items()
        }
    return [_shortened(item, kind) for item in value] if isinstance(value, list) else value


def _market_object(market: str, is_details: bool) -> dict[str, Any]:
    korean, english = _NAMES.get(market, (market.partition("-")[2],) * 2)
    entry: dict[str, Any] = {"market": market, "korean_name": korean, "english_name": english}
    if is_details:
        entry["market_event"] = {"warning": False, "caution": dict.fromkeys(_CAUTIONS, False)}
    return entry


def _changes(ticker: Ticker, order: Sequence[str]) -> dict[str, Any]:
    signed = _difference(ticker.price, ticker.prev_close)
    rate = round(signed / ticker.prev_close, 10)
    fields = {
        "change": ticker.change.value,
        "change_price": abs(signed),
        "signed_change_price": signed,
        "change_rate": abs(rate),
        "signed_change_rate": rate,
    }
    return {name: fields[name] for name in order}


def _year(ticker: Ticker) -> dict[str, Any]:
    return {
        "highest_52_week_price": ticker.year.high,
        "highest_52_week_date": f"{to_datetime(ticker.year.high_day_ms):%Y-%m-%d}",
        "lowest_52_week_price": ticker.year.low,
        "lowest_52_week_date": f"{to_datetime(ticker.year.low_day_ms):%Y-%m-%d}",
    }


def _best(side: str, level: Level | None) -> dict[str, Any]:
    price, size = (Decimal(0), Decimal(0)) if level is None else level
    whole = int(price)
    return {
        f"best_{side}_price": whole if whole == price else float(price),
        f"best_{side}_size": float(size),
    }


def _sides(book: Book, count: int) -> dict[str, Any]:
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


def _number(value: Decimal | int) -> int | float:
    whole = int(value)
    return whole if whole == value else float(value)


def _difference(price: float, prev_close: float) -> float:
    """Subtract as decimals do: 0.3 - 0.1 is 0.2 to a reader of prices."""
    return round(price - prev_close, 8)


def _moments(ts_ms: NDArray[np.int64]) -> list[str]:
    """Write epoch ms as `2026-03-04T05:06:00`."""
    texts: list[str] = np.datetime_as_string(ts_ms.astype("datetime64[ms]"), unit="s").tolist()
    return texts
