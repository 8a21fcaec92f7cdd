"""What the charts of a page draw: at most some thousand points each, however long the run was."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tickloop.domain.backtest_result import BacktestResult
from tickloop.domain.tape import Tape
from tickloop.domain.window import MINUTE_MS

MAX_POINTS = 2_000
KST_S = 9 * 3_600

_WIDTHS_MIN = (1, 2, 5, 10, 15, 30, 60, 120, 240, 360, 720, 1_440, 2_880, 10_080)


def width_for(minutes: int) -> int:
    """Give the width of a candle in minutes so that a span of minutes has at most MAX_POINTS of them."""
    return next((width for width in _WIDTHS_MIN if minutes <= width * MAX_POINTS), _WIDTHS_MIN[-1])


def candles_of_tape(tape: Tape) -> pl.DataFrame:
    """Give minutes of a tape as ts_open, open, high, low, close."""
    frame = pl.DataFrame({"ts_open": tape.ts_ms - tape.ts_ms % MINUTE_MS, "price": tape.price})
    price = pl.col("price")
    return (
        frame.group_by("ts_open", maintain_order=True)
        .agg(open=price.first(), high=price.max(), low=price.min(), close=price.last())
        .with_columns(pl.col("ts_open").cast(pl.Datetime("ms", "UTC")))
    )


def candle_rows(candles: pl.DataFrame, width_min: int) -> list[list[float]]:
    """Give [time, open, high, low, close] of candles of that width; time in seconds as a clock in Korea shows it.

    Args:
        candles: one-minute bars in order of time.
    """
    wide = (
        candles.with_columns(at=_bucket(pl.col("ts_open").dt.epoch("ms"), width_min))
        .group_by("at", maintain_order=True)
        .agg(pl.col("open").first(), pl.col("high").max(), pl.col("low").min(), pl.col("close").last())
    )
    return [list(row) for row in wide.rows()]


def mark_rows(orders: pl.DataFrame, width_min: int) -> list[list[Any]]:
    """Give [time, side, number, mean price] of the fills under each candle, in order of time."""
    fills = orders.filter(pl.col("filled_at").is_not_null()).sort("filled_at")
    grouped = (
        fills.with_columns(
            at=_bucket(pl.col("filled_at").dt.epoch("ms"), width_min), side=pl.col("side").cast(pl.String())
        )
        .group_by("at", "side", maintain_order=True)
        .agg(pl.len(), pl.col("fill_price").mean())
    )
    return [list(row) for row in grouped.rows()]


def equity_rows(equity: pl.DataFrame, width_min: int) -> list[list[float]]:
    """Give [time, equity at its end] of each stretch of that width."""
    wide = (
        equity.with_columns(at=_bucket(pl.col("ts").dt.epoch("ms"), width_min))
        .group_by("at", maintain_order=True)
        .agg(pl.col("equity").last().round(2))
    )
    return [list(row) for row in wide.rows()]


def drawdown_rows(result: BacktestResult, width_min: int) -> list[list[float]]:
    """Give [time, deepest draw-down in it, 0 or below] of each stretch of that width, KRW."""
    equity = result.equity["equity"].to_numpy()
    peak = np.maximum.accumulate(np.maximum(equity, result.setup.budget))
    frame = pl.DataFrame({"ts": result.equity["ts"].dt.epoch("ms"), "fall": equity - peak})
    wide = (
        frame.with_columns(at=_bucket(pl.col("ts"), width_min))
        .group_by("at", maintain_order=True)
        .agg(pl.col("fall").min().round(2))
    )
    return [list(row) for row in wide.rows()]


def spread_of(profits: NDArray[np.float64], most: int = 24) -> tuple[list[float], list[int]]:
    """Give edges and counts of a histogram in which 0 is an edge, so that no bar mixes won and lost."""
    low, high = min(0.0, float(profits.min())), max(0.0, float(profits.max()))
    step = (high - low) / most or 1.0
    below, above = int(np.ceil(-low / step - 1e-9)), int(np.ceil(high / step - 1e-9))
    edges = step * np.arange(-below, max(above, 1) + 1)
    counts, _ = np.histogram(profits, edges)
    return edges.tolist(), counts.tolist()


def _bucket(ms: pl.Expr, width_min: int) -> pl.Expr:
    width = width_min * MINUTE_MS
    return ms // width * width // 1_000 + KST_S
