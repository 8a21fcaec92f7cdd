"""What a real client must have read, asked of the simulator without any client."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from simulated_exchange import RunningSimulator

KST = timezone(timedelta(hours=9))
PAGE = 7
"""Another page length than any client's, so that a page's seam of theirs is no seam here."""


def get(simulator: RunningSimulator, path: str, **query: Any) -> Any:
    url = f"{simulator.rest_url}{path}?{urllib.parse.urlencode(query)}"
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)


def candles_of(simulator: RunningSimulator, market: str, start_ms: int, end_ms: int) -> list[dict[str, Any]]:
    """Give the one-minute candles that start in `[start, end)`, oldest first: `ts` and `ohlcv`."""
    found: list[dict[str, Any]] = []
    to_ms = end_ms
    while to_ms > start_ms:
        to = datetime.fromtimestamp(to_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        page = get(simulator, "/v1/candles/minutes/1", market=market, to=to, count=PAGE)
        if not page:
            break
        found += [_candle(row) for row in page]
        to_ms = found[-1]["ts"]
    return [row for row in reversed(found) if row["ts"] >= start_ms]


def utc_ms(text: str) -> int:
    """Read a naive time of the exchange's that is UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def kst_ms(text: str) -> int:
    """Read a naive time of the exchange's that is Korean."""
    return int(datetime.fromisoformat(text).replace(tzinfo=KST).timestamp() * 1000)


def _candle(row: dict[str, Any]) -> dict[str, Any]:
    prices = [row[name] for name in ("opening_price", "high_price", "low_price", "trade_price")]
    return {"ts": utc_ms(row["candle_date_time_utc"]), "ohlcv": [*prices, row["candle_acc_trade_volume"]]}
