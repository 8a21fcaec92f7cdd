"""The rolling summary of a market after one of its trades."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tickloop.domain.market import Change, Side
from tickloop.domain.window import DAY_MS
from tickloop.simulator.prices.days import Day, Extreme, TradeDays, day_of
from tickloop.simulator.prices.tape import CHANGES, SIDES

MarketState = Literal["PREVIEW", "ACTIVE", "DELISTED"]


@dataclass(frozen=True, slots=True)
class Ticker:
    """State of a market at a moment; sums and extremes are of the UTC day unless they say otherwise.

    On a day without a trade yet, open, high, low and prev_close are the last price and the sums 0.
    """

    market: str
    state: MarketState
    trade_ts_ms: int
    trade_id: int
    price: float
    qty_e8: int
    side: Side
    change: Change
    prev_close: float
    open: float
    high: float
    low: float
    notional: float
    qty_e8_day: int
    buy_qty_e8_day: int
    notional_24h: float
    qty_e8_24h: int
    year: Extreme
    end_day_ms: int


def ticker_after(days: TradeDays, day_ms: int, row: int, ts_ms: int) -> Ticker:
    """Give the state at `ts_ms`, the last trade being the `row`-th of the day that starts at `day_ms`."""
    day = days.day(day_ms)
    tape = day.tape
    is_today = day_of(ts_ms) == day_ms
    price, first = float(tape.price[row]), float(tape.price[0])
    notional, qty_e8 = (float(day.notional[row]), int(day.qty_e8[row])) if is_today else (0.0, 0)
    notional_24h, qty_e8_24h = _last_24h(days, ts_ms, notional, qty_e8)
    return Ticker(
        market=days.market,
        state="ACTIVE" if ts_ms < days.end_ms else "DELISTED",
        trade_ts_ms=int(tape.ts_event[row]),
        trade_id=int(tape.trade_id[row]),
        price=price,
        qty_e8=int(tape.qty_e8[row]),
        side=SIDES[tape.side[row]],
        change=CHANGES[tape.change[row]] if is_today else Change.EVEN,
        prev_close=float(tape.prev_close[row]) if is_today else price,
        open=first if is_today else price,
        high=float(day.high[row]) if is_today else price,
        low=float(day.low[row]) if is_today else price,
        notional=notional,
        qty_e8_day=qty_e8,
        buy_qty_e8_day=int(day.buy_qty_e8[row]) if is_today else 0,
        notional_24h=notional_24h,
        qty_e8_24h=qty_e8_24h,
        year=_year(day, day_ms, row),
        end_day_ms=day_of(days.end_ms),
    )


def _last_24h(days: TradeDays, ts_ms: int, notional: float, qty_e8: int) -> tuple[float, int]:
    """Add to today's sums what of yesterday is less than 24 hours old."""
    yesterday = days.day(day_of(ts_ms) - DAY_MS)
    gone = yesterday.count_until(ts_ms - DAY_MS)
    if gone == len(yesterday.tape):
        return notional, qty_e8
    if not gone:
        return notional + float(yesterday.notional[-1]), qty_e8 + int(yesterday.qty_e8[-1])
    kept = float(yesterday.notional[-1]) - float(yesterday.notional[gone - 1])
    return notional + kept, qty_e8 + int(yesterday.qty_e8[-1] - yesterday.qty_e8[gone - 1])


def _year(day: Day, day_ms: int, row: int) -> Extreme:
    """Put the running day and the 52 weeks before it together; an extreme keeps the day it fell on first."""
    high, low, before = float(day.high[row]), float(day.low[row]), day.before
    if before is None:
        return Extreme(high, day_ms, low, day_ms)
    return Extreme(
        *((high, day_ms) if high > before.high else (before.high, before.high_day_ms)),
        *((low, day_ms) if low < before.low else (before.low, before.low_day_ms)),
    )
