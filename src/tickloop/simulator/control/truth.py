"""What the simulator knows and a client must find out: the check of the whole chain."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from tickloop.domain.window import DAY_MS, HOUR_MS, MINUTE_MS, Window
from tickloop.simulator.prices.days import day_of
from tickloop.simulator.prices.exchange import SimulatedExchange
from tickloop.simulator.prices.market import SimulatedMarket
from tickloop.simulator.prices.tape import SIDES, Tape


def truth(exchange: SimulatedExchange, window: Window) -> dict[str, Any]:
    """Tell what happened in the whole hours of a window, and what a ledger must say of it.

    Returns:
        JSON-ready: `markets` -> code -> `recording_end_ms` and `hours`, a list in order of time. Per hour: `hour_ms`;
        counts of trades `made`, `streamed`, `withheld` (in no place), `refetchable` (not streamed, REST has them);
        counts of minutes `verified` and `no_trade`; lists of minutes in epoch ms `repaired` and `candle`; and the
        `digest` of the trades that are to be had somewhere, see `digest_of`.

    Raises:
        WindowError: if the window is not made of whole hours.
    """
    hours = [hour.start_ms for hour in window.hours()]
    return {
        "start_ms": window.start_ms,
        "end_ms": window.end_ms,
        "markets": {code: _market(exchange.market(code), hours) for code in exchange.markets},
    }


def tape_rows(market: SimulatedMarket, window: Window) -> list[dict[str, Any]]:
    """Give every trade made in a window in exchange order, and who is told of it.

    Returns:
        JSON-ready rows: `id`, `ts` (epoch ms), `price`, `qty_e8`, `side` (of the taker), `told` (by the stream),
        `refused` (in no place to be had).
    """
    rows: list[dict[str, Any]] = []
    for start_ms in range(day_of(window.start_ms), window.end_ms, DAY_MS):
        trades = market.made(max(start_ms, window.start_ms), min(start_ms + DAY_MS, window.end_ms))
        is_withheld, is_refused = market.withheld(trades)
        columns = (trades.trade_id, trades.ts_event, trades.price, trades.qty_e8, trades.side, is_withheld, is_refused)
        rows += [
            {
                "id": trade_id,
                "ts": ts_ms,
                "price": price,
                "qty_e8": qty_e8,
                "side": SIDES[side].value,
                "told": not withheld,
                "refused": refused,
            }
            for trade_id, ts_ms, price, qty_e8, side, withheld, refused in zip(
                *(column.tolist() for column in columns), strict=True
            )
        ]
    return rows


def digest_of(trades: Tape) -> str:
    """Give the SHA-256, in hex, of the sorted lines `id:price:qty_e8`, each with a line break; order does not count.

    The price is written as Python's `repr` of the double writes it: 131250000.0.
    """
    columns = (trades.trade_id.tolist(), trades.price.tolist(), trades.qty_e8.tolist())
    lines = sorted(f"{trade_id}:{price!r}:{qty_e8}\n" for trade_id, price, qty_e8 in zip(*columns, strict=True))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


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
        "digest": digest_of(trades.take(~is_refused)),
    }
