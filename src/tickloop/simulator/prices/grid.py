"""The price grid that the four prices of a candle lie on."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.rules import ladder_table

_FINER = 101.0  # a hundred times, and room for rounding


def price_steps(
    market: str, ts_open: NDArray[np.int64], prices: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give, per candle, the greatest step of the ladder in force that all its prices are multiples of.

    A recording may be older than the dated ladder is sure of, so the prices have the last word: a step may be finer
    than the ladder's own, up to a hundred times, but never coarser.

    Args:
        ts_open: (n,), ms, ascending.
        prices: (n, k) in KRW.

    Returns:
        Numerator and denominator of the step, int64 (n,) each; the numerator is 0 where no step fits. Prices are
        `whole number x numerator / denominator`, which rounds to the recorded double.
    """
    numerator = np.zeros(len(ts_open), dtype=np.int64)
    denominator = np.ones(len(ts_open), dtype=np.int64)
    if not len(ts_open):
        return numerator, denominator
    table = ladder_table(market, int(ts_open[0]), int(ts_open[-1]) + 1)
    rows = np.searchsorted(table.valid_from, ts_open, side="right") - 1
    for row, (thresholds, ticks) in enumerate(zip(table.thresholds, table.ticks, strict=True)):
        is_in_force = rows == row
        coarsest = ticks[np.searchsorted(thresholds, prices.max(axis=1), side="right") - 1]
        finest = ticks[np.searchsorted(thresholds, prices.min(axis=1), side="right") - 1] / _FINER
        for tick in sorted({float(tick) for tick in ticks[np.isfinite(ticks)]}, reverse=True):
            over, under = Decimal(repr(tick)).as_integer_ratio()
            is_free = is_in_force & (numerator == 0) & (coarsest >= tick) & (finest <= tick)
            fits = is_free & _are_multiples(prices, over, under)
            numerator[fits], denominator[fits] = over, under
    return numerator, denominator


def in_steps(
    prices: NDArray[np.float64], numerator: NDArray[np.int64], denominator: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Give prices as whole numbers of steps."""
    return np.rint(prices * denominator / numerator).astype(np.int64)


def _are_multiples(prices: NDArray[np.float64], over: int, under: int) -> NDArray[np.bool_]:
    result: NDArray[np.bool_] = (np.rint(prices * under / over) * over / under == prices).all(axis=1)
    return result
