"""What a back-test reads, as arrays: trades or bars of one market, and forecasts by minute.

Data that must not go on are refused here, before anything is computed from them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tickloop.domain.market import MinuteState
from tickloop.domain.window import MINUTE_MS, to_datetime
from tickloop.errors import DataError, NotEnoughDataError, UnsortedTradesError

BAR_PRICES = ("open", "high", "close")


@dataclass(frozen=True)
class Tape:
    """Trades of one market in trade order: `ts_ms` int64 and `price` float64, both (n,), checked by `tape_from`."""

    market: str
    ts_ms: NDArray[np.int64]
    price: NDArray[np.float64]


@dataclass(frozen=True)
class ForecastSeries:
    """Forecasts of one model and market, by minute, ascending; all (m,).

    Attributes:
        minute_ms: start of the minute that is forecast.
        price: forecast in KRW.
        usable_from_ms: a trade of that minute may use it from this event time on.
    """

    minute_ms: NDArray[np.int64]
    price: NDArray[np.float64]
    usable_from_ms: NDArray[np.int64]


@dataclass(frozen=True)
class BarTape:
    """Bars of one market, ascending: `ts_ms` int64, `open`, `high`, `close` float64, (n,); checked by `bars_from`."""

    market: str
    ts_ms: NDArray[np.int64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    close: NDArray[np.float64]


def tape_of(trades: pl.DataFrame) -> Tape:
    """Take the tape from a TRADE frame of one market; of its columns `trade_id` may be absent.

    Raises: as `tape_from`, and DataError if there is more than one market.
    """
    markets = trades["market"].unique().to_list()
    if len(markets) > 1:
        raise DataError(f"the tape holds trades of {sorted(markets)}; valid: one market")
    ts_ms = trades["ts_event"].dt.epoch("ms").to_numpy().astype(np.int64)
    ids = trades["trade_id"].to_numpy() if "trade_id" in trades.columns else None
    return tape_from(markets[0] if markets else "", ts_ms, trades["price"].to_numpy().astype(np.float64), ids)


def tape_from(
    market: str, ts_ms: NDArray[np.int64], price: NDArray[np.float64], trade_id: NDArray[np.int64] | None = None
) -> Tape:
    """Take the tape from arrays of equal length, in trade order.

    Raises:
        NotEnoughDataError: if there is no trade.
        UnsortedTradesError: if event time goes backwards.
        DataError: if a price is not a finite number above 0, or a trade comes twice.
    """
    if len(ts_ms) == 0:
        raise NotEnoughDataError("the tape has no trade; valid: a window with trades of the market")
    if (backwards := np.flatnonzero(np.diff(ts_ms) < 0)).size:
        row = int(backwards[0]) + 1
        raise UnsortedTradesError(
            f"trade {row} of {market} at {_at(ts_ms[row])} is earlier than the one before it; valid: trade order"
        )
    _check_prices(price, f"trade {{row}} of {market}", "price", ts_ms)
    if trade_id is not None:
        _check_ids(trade_id, market)
    return Tape(market, ts_ms, price)


def bars_of(bars: pl.DataFrame) -> BarTape:
    """Take the tape from a BAR_1M frame of one market, in order of time; bars of state `unknown` are left out.

    Raises:
        NotEnoughDataError: if no bar is left.
        DataError: as `bars_from`, or if there is more than one market.
    """
    known = bars.filter(pl.col("state") != MinuteState.UNKNOWN.value)
    if known.is_empty():
        raise NotEnoughDataError(f"none of {bars.height} bars has a settled state; valid: at least one")
    market = str(known["market"][0])
    if known["market"].n_unique() != 1:
        raise DataError(f"the bars are of {sorted(known['market'].unique())}; valid: one market")
    ts_ms = known["ts_open"].dt.epoch("ms").to_numpy().astype(np.int64)
    opened, high, low, close = (known[name].to_numpy().astype(np.float64) for name in ("open", "high", "low", "close"))
    return bars_from(market, ts_ms, opened, high, close, low)


def bars_from(
    market: str,
    ts_ms: NDArray[np.int64],
    opened: NDArray[np.float64],
    high: NDArray[np.float64],
    close: NDArray[np.float64],
    low: NDArray[np.float64] | None = None,
) -> BarTape:
    """Take the tape from arrays of equal length, one place per one-minute bar, each labelled by its start.

    Raises:
        NotEnoughDataError: if there is no bar.
        DataError: if a minute comes twice or out of order or is no whole minute, a price is not a finite number above
            0, or a bar's open or close lies outside its low and high.
    """
    if len(ts_ms) == 0:
        raise NotEnoughDataError(f"{market} has no bar; valid: at least one")
    _check_minutes(ts_ms, f"bar {{row}} of {market}")
    for name, column in zip(BAR_PRICES, (opened, high, close), strict=True):
        _check_prices(column, f"bar {{row}} of {market}", name, ts_ms)
    _check_inside(market, ts_ms, np.maximum(opened, close) > high, "high {0} below its open or close", high)
    if low is not None:
        _check_prices(low, f"bar {{row}} of {market}", "low", ts_ms)
        _check_inside(market, ts_ms, np.minimum(opened, close) < low, "low {0} above its open or close", low)
    return BarTape(market, ts_ms, opened, high, close)


def forecast_series(forecasts: pl.DataFrame, delay_ms: int, *, as_made: bool = False) -> ForecastSeries:
    """Take one model's forecasts of one market from a FORECAST frame.

    Args:
        forecasts: rows of one market and model version, any order.
        delay_ms: a forecast may be used from the start of its minute + delay on.
        as_made: True where `made_at` is the time at which a running system had it: not usable before. Forecasts
            computed afterwards for a back-test keep False, their `made_at` says nothing about the market's time.

    Raises: as `forecasts_from`.
    """
    rows = forecasts.sort("target_minute")
    minute = rows["target_minute"].dt.epoch("ms").to_numpy().astype(np.int64)
    usable = minute + delay_ms
    if as_made:
        usable = np.maximum(usable, rows["made_at"].dt.epoch("ms").to_numpy())
    return forecasts_from(minute, rows["price"].to_numpy().astype(np.float64), usable)


def forecasts_from(
    minute_ms: NDArray[np.int64], price: NDArray[np.float64], usable_from_ms: NDArray[np.int64]
) -> ForecastSeries:
    """Take forecasts from arrays of equal length, by minute; none is valid.

    Raises:
        DataError: if a minute comes twice or out of order or is no whole minute, or a price is not a finite number
            above 0: a minute without forecast has no place here.
    """
    _check_minutes(minute_ms, "forecast {row}")
    _check_prices(price, "forecast {row}", "price", minute_ms)
    return ForecastSeries(minute_ms, price, usable_from_ms)


def _check_prices(price: NDArray[np.float64], owner: str, name: str, ts_ms: NDArray[np.int64]) -> None:
    if (bad := np.flatnonzero(~(np.isfinite(price) & (price > 0)))).size:
        row = int(bad[0])
        raise DataError(
            f"{owner.format(row=row)} at {_at(ts_ms[row])} has {name} {price[row]}; valid: a finite number above 0"
        )


def _check_minutes(ts_ms: NDArray[np.int64], owner: str) -> None:
    if (bad := np.flatnonzero(ts_ms % MINUTE_MS)).size:
        row = int(bad[0])
        raise DataError(f"{owner.format(row=row)} is at {_at(ts_ms[row])}; valid: the start of a minute")
    if (bad := np.flatnonzero(np.diff(ts_ms) <= 0)).size:
        row = int(bad[0]) + 1
        how = "comes twice" if ts_ms[row] == ts_ms[row - 1] else "is earlier than the one before it"
        raise DataError(
            f"{owner.format(row=row)} at {_at(ts_ms[row])} {how}; valid: each minute once, in order of time"
        )


def _check_inside(
    market: str, ts_ms: NDArray[np.int64], is_bad: NDArray[np.bool_], text: str, limit: NDArray[np.float64]
) -> None:
    if (bad := np.flatnonzero(is_bad)).size:
        row = int(bad[0])
        raise DataError(
            f"bar {row} of {market} at {_at(ts_ms[row])} has {text.format(limit[row])};"
            " valid: low <= open, close <= high"
        )


def _check_ids(trade_id: NDArray[np.int64], market: str) -> None:
    if len(trade_id) < 2 or (np.diff(trade_id) > 0).all():
        return
    order = np.argsort(trade_id, kind="stable")
    if (same := np.flatnonzero(np.diff(trade_id[order]) == 0)).size:
        rows = order[same[0]], order[same[0] + 1]
        raise DataError(
            f"trades {rows[0]} and {rows[1]} of {market} are both trade {trade_id[rows[0]]}; valid: each trade once"
        )


def _at(ts_ms: np.int64) -> str:
    return to_datetime(int(ts_ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
