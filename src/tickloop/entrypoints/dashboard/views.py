"""From the API's rows to what the pages show: shapes and words only, no figure is computed here a second time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

Row = dict[str, Any]

KST_S = 9 * 3600
"""The chart library draws UTC; people in Korea read KST, which has no summer time."""

BUY_COLOR = "#0f9d76"
SELL_COLOR = "#d64550"


def chart_data(market: str, bars: Sequence[Row], forecasts: Sequence[Row], orders: Sequence[Row], model: str) -> Row:
    """Give the series of one market's chart, times in seconds shifted to KST.

    Args:
        bars, forecasts, orders: rows of the API, oldest first.
        model: version whose forecasts are drawn.

    Returns:
        candles, volume, actual (the volume-weighted price), forecast and marks, each oldest first; forecasts and
        marks outside the bars' span are left out.
    """
    if not bars:
        return {"market": market, "candles": [], "volume": [], "actual": [], "forecast": [], "marks": []}
    first, last = _seconds(bars[0]["ts_open"]), _seconds(bars[-1]["ts_open"]) + 60
    return {
        "market": market,
        "candles": [
            {"time": _seconds(bar["ts_open"]), **{name: bar[name] for name in ("open", "high", "low", "close")}}
            for bar in bars
        ],
        "volume": [
            {
                "time": _seconds(bar["ts_open"]),
                "value": bar["volume"],
                "color": f"{BUY_COLOR if bar['close'] >= bar['open'] else SELL_COLOR}55",
            }
            for bar in bars
        ],
        "actual": [{"time": _seconds(bar["ts_open"]), "value": bar["vwap"]} for bar in bars if bar["vwap"] is not None],
        "forecast": [
            {"time": time, "value": row["price"]}
            for row in forecasts
            if row["model_version"] == model and first <= (time := _seconds(row["target_minute"])) <= last
        ],
        "marks": [mark for mark in map(_mark, orders) if mark is not None and first <= mark["time"] < last],
    }


def _mark(order: Row) -> Row | None:
    if order["filled_at"] is None:
        return None
    is_buy = order["side"] == "BUY"
    price = float(order["executed_funds"]) / float(order["executed_qty"])
    seconds = _seconds(order["filled_at"])
    return {
        "time": seconds - seconds % 60,
        "position": "belowBar" if is_buy else "aboveBar",
        "color": BUY_COLOR if is_buy else SELL_COLOR,
        "shape": "arrowUp" if is_buy else "arrowDown",
        "text": f"{'B' if is_buy else 'S'} {price:,.0f}",
    }


def order_rows(orders: Sequence[Row]) -> list[Row]:
    """Give the orders for a table, newest first."""
    return [
        {
            "time (KST)": kst(order["created_at"]),
            "market": order["market"],
            "side": order["side"],
            "state": order["state"],
            "executed KRW": round(float(order["executed_funds"] or 0), 2),
            "executed qty": order["executed_qty"],
            "fee KRW": round(float(order["paid_fee"] or 0), 4),
            "forecast": order["forecast_price"],
            "model": order["model_version"],
            "id": order["client_order_id"],
        }
        for order in reversed(orders)
    ]


def equity_series(equity: Sequence[Row]) -> list[Row]:
    """Give the purse over time, oldest first, times in KST without their zone (tables and charts show them so)."""
    return [
        {"time": _kst(row["ts"]).replace(tzinfo=None), "equity": float(row["equity"]), "cash": float(row["cash"])}
        for row in equity
        if row["market"] == "*"
    ]


def model_rows(models: Sequence[Row]) -> list[Row]:
    """Give the versions for a table, newest first, metrics as columns."""
    return [
        {
            "model": model["name"],
            "role": ", ".join(model["aliases"]) or ("shadow" if model["is_serving"] else ""),
            **{name: value for name, value in sorted(model["metrics"].items())},
        }
        for model in reversed(models)
    ]


def backtest_rows(backtests: Sequence[Row]) -> list[Row]:
    """Give the back-tests of the newest slot for a table: what each strategy would have earned after fees."""
    if not backtests:
        return []
    newest = max(row["slot"] for row in backtests)
    return [
        {
            "strategy": row["strategy"],
            "model": row["model_version"],
            **{name: _figure(value) for name, value in json.loads(row["result"]).items() if _is_shown(value)},
        }
        for row in backtests
        if row["slot"] == newest
    ]


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


def market_line(status: Row, market: str) -> str:
    """Say how one market is, in a line."""
    found = next((row for row in status["markets"] if row["market"] == market), None)
    if found is None:
        return f"{market} is not served"
    price = f"{found['last_price']:,.0f} KRW" if found["last_price"] is not None else "no price yet"
    return f"{market} {price} · stream {found['stream']} · {found['message']}"


def kst(text: str) -> str:
    """Show an ISO time of UTC as Korean time."""
    return f"{_kst(text):%m-%d %H:%M:%S}"


def _kst(text: str) -> datetime:
    return datetime.fromisoformat(text) + timedelta(seconds=KST_S)


def _seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) + KST_S


def _is_shown(value: object) -> bool:
    return isinstance(value, int | float | str) and len(str(value)) <= 24


def _figure(value: object) -> object:
    try:
        return round(float(str(value)), 4)
    except ValueError:
        return value
