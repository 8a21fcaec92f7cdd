"""What the simulator knows and a client must find out: the check of the whole chain."""

from __future__ import annotations

from typing import Any

import numpy as np

from tickloop.domain.window import HOUR_MS, MINUTE_MS, Window
from tickloop.simulator.market import SimulatedExchange, SimulatedMarket


def truth(exchange: SimulatedExchange, window: Window) -> dict[str, Any]:
    """Tell what happened in the whole hours of a window, and what a ledger must say of it.

    Returns:
        JSON-ready: `markets` -> code -> `recording_end_ms` and `hours`, a list in order of time. Per hour: `hour_ms`;
        counts of trades `made`, `streamed`, `withheld` (in no place), `refetchable` (not streamed, REST has them);
        counts of minutes `verified` and `no_trade`; lists of minutes in epoch ms `repaired` and `candle`.

    Raises:
        WindowError: if the window is not made of whole hours.
    """
    hours = [hour.start_ms for hour in window.hours()]
    return {
        "start_ms": window.start_ms,
        "end_ms": window.end_ms,
        "markets": {code: _market(exchange.market(code), hours) for code in exchange.markets},
    }


def _market(market: SimulatedMarket, hours: list[int]) -> dict[str, Any]:
    return {"recording_end_ms": market.end_ms, "hours": [_hour(market, hour_ms) for hour_ms in hours]}


def _hour(market: SimulatedMarket, hour_ms: int) -> dict[str, Any]:
    trades = market.made(hour_ms, hour_ms + HOUR_MS)
    is_withheld, is_refused = market.withheld(trades)
    minutes = trades.ts_event - trades.ts_event % MINUTE_MS
    short, gone = np.unique(minutes[is_withheld]), np.unique(minutes[is_refused])
    traded = len(np.unique(minutes))
    return {
        "hour_ms": hour_ms,
        "made": len(trades),
        "streamed": int((~is_withheld).sum()),
        "withheld": int(is_refused.sum()),
        "refetchable": int((is_withheld & ~is_refused).sum()),
        "verified": traded - len(short),
        "no_trade": HOUR_MS // MINUTE_MS - traded,
        "repaired": [int(minute) for minute in short if minute not in gone],
        "candle": [int(minute) for minute in gone],
    }
