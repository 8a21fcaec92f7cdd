"""What a back-test reads, as arrays: trades or bars of one market, and forecasts by minute."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tickloop.domain.market import MinuteState
from tickloop.errors import DataError, NotEnoughDataError, UnsortedTradesError


@dataclass(frozen=True)
class Tape:
    """Trades of one market in trade order: `ts_ms` int64 and `price` float64, both (n,), checked by `tape_of`."""

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


def tape_of(trades: pl.DataFrame) -> Tape:
    """Take the tape from a TRADE frame of one market.

    Raises:
        NotEnoughDataError: if there is no trade.
        UnsortedTradesError: if event time goes backwards.
        DataError: if a price is not a finite number above 0, or there is more than one market.
    """
    markets = trades["market"].unique().to_list()
    if len(markets) != 1:
        if not markets:
            raise NotEnoughDataError("the tape has no trade; valid: a window with trades of the market")
        raise DataError(f"the tape holds trades of {sorted(markets)}; valid: one market")
    ts_ms = trades["ts_event"].dt.epoch("ms").to_numpy().astype(np.int64)
    price = trades["price"].to_numpy().astype(np.float64)
    if (backwards := np.flatnonzero(np.diff(ts_ms) < 0)).size:
        row = int(backwards[0]) + 1
        raise UnsortedTradesError(f"trade {row} of {markets[0]} is earlier than the one before it; valid: trade order")
    if (bad := np.flatnonzero(~(np.isfinite(price) & (price > 0)))).size:
        row = int(bad[0])
        raise DataError(f"trade {row} of {markets[0]} has price {price[row]}; valid: a finite number above 0")
    return Tape(markets[0], ts_ms, price)


def forecast_series(forecasts: pl.DataFrame, delay_ms: int, *, as_made: bool = False) -> ForecastSeries:
    """Take one model's forecasts of one market from a FORECAST frame.

    Args:
        forecasts: rows of one market and model version, any order.
        delay_ms: a forecast may be used from the start of its minute + delay on.
        as_made: True where `made_at` is the time at which a running system had it: not usable before. Forecasts
            computed afterwards for a back-test keep False, their `made_at` says nothing about the market's time.
    """
    rows = forecasts.sort("target_minute")
    minute = rows["target_minute"].dt.epoch("ms").to_numpy().astype(np.int64)
    usable = minute + delay_ms
    if as_made:
        usable = np.maximum(usable, rows["made_at"].dt.epoch("ms").to_numpy())
    return ForecastSeries(minute, rows["price"].to_numpy().astype(np.float64), usable)


@dataclass(frozen=True)
class BarTape:
    """Bars of one market, ascending: `ts_ms` int64, `open`, `high`, `close` float64, all (n,), checked by `bars_of`."""

    market: str
    ts_ms: NDArray[np.int64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    close: NDArray[np.float64]


def bars_of(bars: pl.DataFrame) -> BarTape:
    """Take the tape from a BAR_1M frame of one market, in order of time; bars of state `unknown` are left out.

    Raises:
        NotEnoughDataError: if no bar is left.
        DataError: if time does not grow, or a price is not a finite number above 0.
    """
    known = bars.filter(pl.col("state") != MinuteState.UNKNOWN.value)
    if known.is_empty():
        raise NotEnoughDataError(f"none of {bars.height} bars has a settled state; valid: at least one")
    ts_ms = known["ts_open"].dt.epoch("ms").to_numpy().astype(np.int64)
    market = str(known["market"][0])
    if known["market"].n_unique() != 1 or (np.diff(ts_ms) <= 0).any():
        raise DataError(f"bars of {market} are not of one market in order of time; valid: each minute once, ascending")
    prices = [known[name].to_numpy().astype(np.float64) for name in ("open", "high", "close")]
    if not all((np.isfinite(column) & (column > 0)).all() for column in prices):
        raise DataError(f"a bar of {market} has a price that is not a finite number above 0")
    return BarTape(market, ts_ms, *prices)
