"""What a run earned over time, reduced to what a judgement needs, and its profits period by period."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.backtest_book import Book
from tickloop.domain.backtest_result import BacktestResult
from tickloop.domain.figures import Floats
from tickloop.domain.fills import funds_of
from tickloop.domain.strategy import OrderParams
from tickloop.domain.verdict import Path
from tickloop.domain.window import DAY_MS, HOUR_MS, MINUTE_MS
from tickloop.errors import DataError

PERIODS = {"day": DAY_MS, "hour": HOUR_MS, "10 minutes": 10 * MINUTE_MS, "minute": MINUTE_MS}

ENOUGH = 200
"""Periods from which on the bootstrap of the mean keeps its level (`resampling.resampled`)."""


@dataclass(frozen=True)
class Track:
    """What a run earned, reduced to what a judgement needs.

    Attributes:
        ts_ms: start of each minute with a price, ascending, int64 (n,).
        equity: KRW at the end of those minutes, lots at the last price after the fee of selling, float64 (n,).
        budget: KRW at the start.
        trades, losses: round trips, and those of them that lost.
    """

    ts_ms: NDArray[np.int64]
    equity: Floats
    budget: float
    trades: int
    losses: int
    path: Path
    buy_and_hold_krw: float | None = None

    @property
    def profit_krw(self) -> float:
        return float(self.equity[-1]) - self.budget


def track_of(result: BacktestResult, path: Path) -> Track:
    """Take what a judgement needs from a result."""
    profits = result.trips["profit_krw"].to_numpy()
    return Track(
        ts_ms=result.equity["ts"].dt.epoch("ms").to_numpy().astype(np.int64),
        equity=result.equity["equity"].to_numpy().astype(np.float64),
        budget=result.setup.budget,
        trades=len(profits),
        losses=int((profits < 0).sum()),
        path=path,
        buy_and_hold_krw=result.buy_and_hold_krw,
    )


def profit_of(book: Book, params: OrderParams, close: float, cash: float) -> float:
    """Give what `BacktestResult.profit_krw` gives for a run, without reading its orders.

    Args:
        close: last price of the run, KRW.
        cash: KRW at its start.
    """
    purse = book.purse[0]
    held = funds_of(int(book.qty_e8[: purse["lots"]].sum()), close)
    return float(purse["cash"]) + held * (1.0 - params.fee_rate) - cash


def period_for(start_ms: int, end_ms: int) -> str:
    """Choose the period for a span: the longest that it holds `ENOUGH` times, else the minute."""
    for name, length in PERIODS.items():
        if end_ms - start_ms >= ENOUGH * length:
            return name
    return "minute"


def period_profits(track: Track, period: str) -> Floats:
    """Give the profit of each period of UTC that the run touches, in order; 0 for one without a price.

    Their sum is the profit. The first and the last period may be cut by the run's ends.
    """
    length = PERIODS[period]
    first, last = int(track.ts_ms[0]) // length, int(track.ts_ms[-1]) // length
    edges = (np.arange(first, last + 1) + 1) * length
    at_end = track.equity[np.searchsorted(track.ts_ms, edges) - 1]
    return np.diff(at_end, prepend=track.budget)


def stitched(parts: list[Track]) -> Track:
    """Join runs that follow each other, each starting with what the one before it ended with.

    Raises:
        DataError: if there is none, one starts before the end of the one before it, or with other money.
    """
    if not parts:
        raise DataError("no run to join; valid: at least one")
    for before, after in pairwise(parts):
        if after.ts_ms[0] <= before.ts_ms[-1] or after.budget != float(before.equity[-1]):
            raise DataError(f"a run of {after.budget} KRW does not follow one that ended with {before.equity[-1]} KRW")
    held = [part.buy_and_hold_krw for part in parts]
    return Track(
        ts_ms=np.concatenate([part.ts_ms for part in parts]),
        equity=np.concatenate([part.equity for part in parts]),
        budget=parts[0].budget,
        trades=sum(part.trades for part in parts),
        losses=sum(part.losses for part in parts),
        path=parts[0].path,
        buy_and_hold_krw=None if None in held else sum(krw for krw in held if krw is not None),
    )
