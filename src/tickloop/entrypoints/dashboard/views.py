"""From the API's rows to what the pages show: shapes and words only, no figure is computed here a second time."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

Row = dict[str, Any]

KST = timedelta(hours=9)
"""People in Korea read KST, which has no summer time; the chart library knows no zones and gets shifted times."""

PURSE = "*"
"""The API's name for all markets of a bot together."""

_METRICS = {
    "minutes": "minutes",
    "mae_bp": "MAE bp",
    "mae_krw": "MAE KRW",
    "bias_bp": "bias bp",
    "skill": "skill",
    "direction_hit_rate": "direction hit",
    "profit_default_krw": "profit KRW",
}
_BACKTEST = {
    "profit_krw": "profit KRW",
    "profit_pessimistic_krw": "pessimistic KRW",
    "fees_krw": "fees KRW",
    "trades": "trades",
    "win_rate": "win rate",
    "mean_profit_per_trade_krw": "per trade KRW",
    "max_drawdown_krw": "max drawdown KRW",
    "minutes": "minutes",
}
_STATES = ("verified", "repaired", "no_trade", "candle", "unknown")
_STRATEGIES = {
    "default": "default",
    "seed2023": "seed2023 (as in 2023)",
    "buy_and_hold": "buy and hold",
    "do_nothing": "do nothing",
}

FORMATS = {
    **dict.fromkeys(("price", "forecast", "MAE KRW", "minutes", "trades", "forecasts"), "%,.0f"),
    **dict.fromkeys(("KRW", "fee KRW", "profit KRW", "pessimistic KRW", "fees KRW", "max drawdown KRW"), "%,.2f"),
    **dict.fromkeys(("MAE bp", "bias bp", "per trade KRW"), "%.3f"),
    **dict.fromkeys(("win rate", "direction hit", "skill"), "percent"),
}
"""Formats of number columns as Streamlit names them, by title."""


def chart_data(market: str, model: str, bars: Sequence[Row], forecasts: Sequence[Row], orders: Sequence[Row]) -> Row:
    """Give one market's chart in as few bytes as it goes: it is sent each second.

    Args:
        model: version whose forecasts are drawn.
        bars, forecasts, orders: rows of the API, oldest first.

    Returns:
        `bars` as [time, open, high, low, close, volume, vwap or None], `forecast` as [target time, price] and `marks`
        as [minute, side, price], each oldest first. Times are seconds, shifted to KST. Forecasts and marks outside
        the bars' span are left out: the chart would widen itself for them.
    """
    if not bars:
        return {"id": market, "model": model, "bars": [], "forecast": [], "marks": []}
    first, last = _seconds(bars[0]["ts_open"]), _seconds(bars[-1]["ts_open"])
    columns = ("open", "high", "low", "close", "volume", "vwap")
    lines = [(_seconds(row["target_minute"]), row["price"]) for row in forecasts if row["model_version"] == model]
    fills = [(_seconds(row["filled_at"]) // 60 * 60, row["side"], fill_price(row)) for row in orders]
    return {
        "id": market,
        "model": model,
        "bars": [[_seconds(bar["ts_open"]), *(_short(bar[name]) for name in columns)] for bar in bars],
        "forecast": [[time, _short(price)] for time, price in lines if first <= time <= last + 120],
        "marks": [
            [time, side, _short(price)] for time, side, price in fills if price is not None and first <= time <= last
        ],
    }


def purse_data(equity: Sequence[Row]) -> Row:
    """Give the bot's equity as [seconds in KST, KRW], oldest first, one a minute, and the `base` that it began with."""
    by_minute = {_seconds(row["ts"]) // 60 * 60: float(row["equity"]) for row in equity if row["market"] == PURSE}
    points = [[time, value] for time, value in sorted(by_minute.items())]
    return {"id": PURSE, "equity": points, "base": points[0][1] if points else 0.0}


def newest_purse(equity: Sequence[Row]) -> Row | None:
    return next((row for row in reversed(equity) if row["market"] == PURSE), None)


def fill_price(order: Row) -> float | None:
    """Give the mean price of an order's fills; None when nothing was filled."""
    qty = float(order["executed_qty"] or 0)
    if order["filled_at"] is None or qty == 0:
        return None
    return float(order["executed_funds"]) / qty


def newest_forecast(forecasts: Sequence[Row], model: str) -> Row | None:
    return next((row for row in reversed(forecasts) if row["model_version"] == model), None)


def order_rows(orders: Sequence[Row]) -> list[Row]:
    """Give the orders for a table, newest first."""
    return [
        {
            "time (KST)": kst(order["created_at"]),
            "market": order["market"],
            "side": order["side"],
            "state": order["state"],
            "price": fill_price(order),
            "KRW": float(order["executed_funds"] or 0),
            "quantity": order["executed_qty"] or "",
            "fee KRW": float(order["paid_fee"] or 0),
            "forecast": order["forecast_price"],
            "model": order["model_version"] or "",
            "id": order["client_order_id"],
        }
        for order in reversed(orders)
    ]


def model_rows(models: Sequence[Row]) -> list[Row]:
    """Give the versions for a table, newest first, the metrics that matter as columns."""
    return [
        {
            "model": model["name"],
            "role": ", ".join(model["aliases"]) or ("shadow" if model["is_serving"] else ""),
            **{title: model["metrics"].get(name) for name, title in _METRICS.items()},
            "made (KST)": kst(model["created_at"]),
        }
        for model in reversed(models)
    ]


def backtest_rows(market: str, backtests: Sequence[Row]) -> list[Row]:
    """Give the back-tests of a market's newest slot for a table, by model, in the order of `_STRATEGIES`."""
    newest = max((row["slot"] for row in backtests), default=None)
    places = {name: place for place, name in enumerate(_STRATEGIES)}
    rows = [row for row in backtests if row["slot"] == newest]
    rows.sort(key=lambda row: (row["model_version"], places.get(row["strategy"], len(places))))
    results = [json.loads(row["result"]) for row in rows]
    return [
        {
            "market": market,
            "model": row["model_version"],
            "strategy": _STRATEGIES.get(row["strategy"], row["strategy"]),
            **{title: result.get(name) for name, title in _BACKTEST.items()},
        }
        for row, result in zip(rows, results, strict=True)
    ]


def stream_rows(status: Row) -> list[Row]:
    """Give what the API has of each market for a table."""
    return [
        {
            "market": row["market"],
            "stream": row["stream"],
            "last trade (KST)": "" if row["last_trade"] is None else kst(row["last_trade"]),
            "last bar (KST)": "" if row["last_bar"] is None else kst(row["last_bar"]),
            "champion": row["champion"] or "none yet",
            "shadows": ", ".join(row["shadows"]),
            "forecasts": row["forecasts"],
            "late trades": row["late_trades"],
            "message": row["message"],
        }
        for row in status["markets"]
    ]


def state_counts(ledger: Row) -> list[tuple[str, int]]:
    """Give every state of the completeness ledger with its count, the good ones first."""
    return [(state, ledger["counts"].get(state, 0)) for state in _STATES]


def ledger_rows(ledger: Row) -> list[Row]:
    """Give the newest minutes that are not verified, newest first."""
    return [
        {
            "minute (KST)": kst(minute["minute"]),
            "state": minute["state"],
            "reason": minute["reason"] or "",
            "our volume": minute["our_volume"],
            "candle volume": minute["candle_volume"],
            "trades kept": minute["trades"],
        }
        for minute in reversed(ledger["minutes"])
    ]


def money(value: float | str | None) -> str:
    """Show KRW: whole from 1,000 on, where a tick is 1 KRW or more for the dearer coins, else with its decimals."""
    if value is None:
        return "-"
    number = float(value)
    return f"{number:,.0f}" if abs(number) >= 1_000_000 else f"{number:,.2f}"


def signed(value: str, base: float) -> str:
    return f"{float(value) - base:+,.2f}"


def plain(text: str) -> str:
    """Take the meaning of Markdown from a text of the API."""
    return re.sub(r"([\\`*_{}\[\]()<>#+!|~:$-])", r"\\\1", text)


def kst(text: str) -> str:
    """Show an ISO time of UTC as Korean time, month to second."""
    return f"{datetime.fromisoformat(text) + KST:%m-%d %H:%M:%S}"


def _seconds(text: str | None) -> int:
    return 0 if text is None else int((datetime.fromisoformat(text) + KST).timestamp())


def _short(value: float | None) -> float | None:
    """Keep the ten digits that a chart can show at most."""
    return None if value is None else float(f"{value:.10g}")
