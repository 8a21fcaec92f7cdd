"""Bar mode over several markets with one purse, in one piece or chunk by chunk.

Bars go by minute, then by the market's place in the list. All opens of a minute come before what its highs allow: cash
of a sale at a target is usable from the next minute on, in every market.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.backtest_bars import act_at_high, act_at_open
from tickloop.domain.backtest_merge import ladders_of
from tickloop.domain.backtest_purse import (
    Leg,
    PurseReplay,
    check_legs,
    joined,
    offsets,
    records_of,
    stacked,
)
from tickloop.domain.backtest_shelf import Shelf, book_of, open_shelf, share, spare_rows, with_room
from tickloop.domain.kernel import kernel
from tickloop.domain.order_terms import check_one_term
from tickloop.domain.rules import LadderTable, ladder_table
from tickloop.domain.strategy import FOREVER, Params, Strategy, default
from tickloop.domain.strategy_bars import BAR_FILLS, signal_series
from tickloop.domain.tape import BarTape, ForecastSeries, Tape
from tickloop.domain.window import MINUTE_MS
from tickloop.errors import UsageError


class BarChunk(NamedTuple):
    """Bars and forecasts of k markets, one market after the other; as in `backtest_merge.Chunk`."""

    ts: NDArray[np.int64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    bar_from: NDArray[np.int64]
    minute: NDArray[np.int64]
    forecast_price: NDArray[np.float64]
    forecast_from: NDArray[np.int64]
    ladders: LadderTable


class BarPurseReplay:
    """A bar replay of several markets by the default strategy's bar rules, that goes on from chunk to chunk.

    Attributes:
        shelf: their books after what was fed so far; it is replaced by a larger one as it fills.
    """

    def __init__(self, legs: Sequence[Leg], cash: float) -> None:
        """Open an empty book for each market.

        Raises:
            UsageError: if a market comes twice, there are none or too many, or parameters are another strategy's.
        """
        check_legs(legs)
        for leg in legs:
            if not isinstance(leg.params, Params):
                raise UsageError(f"{type(leg.params).__name__} are not of strategy default; valid: Params")
        self.legs = tuple(legs)
        self.shelf = open_shelf(cash, len(legs))
        self._params = records_of([leg.params for leg in legs])

    def feed(self, bars: Sequence[BarTape], forecasts: Sequence[ForecastSeries]) -> None:
        """Replay the next bars of all markets.

        Args:
            bars: one tape for each market, all of one span of minutes that begins where the one before ended.
            forecasts: one for each market: of every minute of the span, or more of them.

        Raises:
            UsageError: if fee or size of orders change within the bars, or the exchange would not take such orders.
        """
        times = [tape.ts_ms for tape in bars if len(tape.ts_ms)]
        if not times:
            return
        start, end = min(int(ts[0]) for ts in times), max(int(ts[-1]) for ts in times) + MINUTE_MS
        for leg in self.legs:
            check_one_term(leg.params, leg.market, start, end)
        chunk = BarChunk(
            ts=joined([tape.ts_ms for tape in bars]),
            open=joined([tape.open for tape in bars]),
            high=joined([tape.high for tape in bars]),
            bar_from=offsets([tape.ts_ms for tape in bars]),
            minute=joined([one.minute_ms for one in forecasts]),
            forecast_price=joined([one.price for one in forecasts]),
            forecast_from=offsets([one.minute_ms for one in forecasts]),
            ladders=stacked([ladder_table(leg.market, start, end) for leg in self.legs]),
        )
        at, nth = chunk.bar_from[:-1].copy(), chunk.forecast_from[:-1].copy()
        while not _replay(cast("Any", self._params), chunk, at, nth, self.shelf):
            self.shelf = with_room(self.shelf)


def run_purse_bars(
    legs: Sequence[Leg],
    bars: Sequence[BarTape],
    forecasts: Sequence[ForecastSeries],
    cash: float,
    *,
    strategy: Strategy = default,
) -> Shelf:
    """Replay the bars of several markets in one piece, as `run_strategy_bars` does one market's.

    Raises:
        StrategyError, UsageError: as `run_strategy_bars`.
    """
    if strategy is default:
        replay = BarPurseReplay(legs, cash)
        replay.feed(bars, forecasts)
        return replay.shelf
    opens = [Tape(tape.market, tape.ts_ms, tape.open) for tape in bars]
    ticks = PurseReplay(legs, BAR_FILLS, cash, strategy=strategy)
    ticks.feed(opens, [open_series(strategy, *one) for one in zip(legs, bars, forecasts, strict=True)])
    return ticks.shelf


def open_series(strategy: Strategy, leg: Leg, bars: BarTape, forecasts: ForecastSeries) -> ForecastSeries:
    """Give what a strategy is asked with at the opens of bars: forecasts of their minutes, or its own signal."""
    if strategy.signal is not None:
        return signal_series(strategy, leg.params, bars, delay_ms=0)
    return ForecastSeries(forecasts.minute_ms, forecasts.price, forecasts.minute_ms)


@kernel
def _replay(
    params: Sequence[Params], chunk: BarChunk, at: NDArray[np.int64], nth: NDArray[np.int64], shelf: Shelf
) -> bool:
    """Replay to the end of the chunk; False when the shelf has to grow first, and then to be called again.

    Args:
        at, nth: int64 (k,): each market's next bar, and its first forecast that is not over.
    """
    while True:
        now = FOREVER
        for market in range(len(at)):
            if at[market] < chunk.bar_from[market + 1]:
                now = min(now, chunk.ts[at[market]])
        if now == FOREVER:
            return True
        if not _has_room(shelf):
            return False
        for market in range(len(at)):
            if _has_bar(chunk, at, market, now):
                forecast = _forecast(chunk, nth, market, now)
                book, ladders = book_of(shelf, market), ladders_of(chunk.ladders, market)
                act_at_open(book, params[market], ladders, now, chunk.open[at[market]], forecast)
                share(shelf, book, market)
        for market in range(len(at)):
            if _has_bar(chunk, at, market, now):
                forecast = _forecast(chunk, nth, market, now)
                book, ladders = book_of(shelf, market), ladders_of(chunk.ladders, market)
                act_at_high(book, params[market], ladders, now, chunk.high[at[market]], forecast)
                share(shelf, book, market)
                at[market] += 1


@kernel
def _has_bar(chunk: BarChunk, at: NDArray[np.int64], market: int, now: int) -> bool:
    return bool(at[market] < chunk.bar_from[market + 1] and chunk.ts[at[market]] == now)


@kernel
def _forecast(chunk: BarChunk, nth: NDArray[np.int64], market: int, now: int) -> float:
    end = chunk.forecast_from[market + 1]
    while nth[market] < end and chunk.minute[nth[market]] < now:
        nth[market] += 1
    if nth[market] < end and chunk.minute[nth[market]] == now:
        return float(chunk.forecast_price[nth[market]])
    return np.nan


@kernel
def _has_room(shelf: Shelf) -> bool:
    pool, rows = shelf.pool[0], spare_rows(shelf)
    for market in range(len(shelf.books.purse)):
        if shelf.books.purse[market]["lots"] + 2 > shelf.lot_from[market + 1] - shelf.lot_from[market]:
            return False
    return bool(pool["orders"] + rows <= len(shelf.books.orders) and pool["trips"] + rows <= len(shelf.books.trips))
