"""How good forecasts were: one small function per figure, over minutes with a forecast and a known price.

`forecast`, `actual` (vwap of the forecast minute) and `last` (last price before it) are KRW, float64, shape (n,).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tickloop.errors import DataError, NotEnoughDataError

Prices = NDArray[np.float64]

_BASIS_POINTS = 1e4


def mae_krw(forecast: Prices, actual: Prices) -> float:
    """Give the mean absolute error in KRW."""
    return float(np.abs(forecast - actual).mean())


def mae_bp(forecast: Prices, actual: Prices, last: Prices) -> float:
    """Give the mean absolute error in basis points of the last price."""
    return float((np.abs(forecast - actual) / last).mean() * _BASIS_POINTS)


def bias_bp(forecast: Prices, actual: Prices, last: Prices) -> float:
    """Give the mean error in basis points of the last price: above 0 where forecasts are too high."""
    return float(((forecast - actual) / last).mean() * _BASIS_POINTS)


def skill(forecast: Prices, actual: Prices, last: Prices) -> float | None:
    """Give 1 - error / error of persistence, by `mae_bp`: 0 is no better than no model; None where that is never wrong.

    Source: Murphy 1988, skill scores based on the mean error of a reference forecast; here the absolute error.
    """
    reference = mae_bp(last, actual, last)
    return 1.0 - mae_bp(forecast, actual, last) / reference if reference > 0 else None


def direction_hit_rate(forecast: Prices, actual: Prices, last: Prices) -> float | None:
    """Give the share of moves whose sign was forecast, of minutes where both moved; None without such a minute."""
    both = (forecast != last) & (actual != last)
    if not both.any():
        return None
    hits = np.sign(forecast[both] - last[both]) == np.sign(actual[both] - last[both])
    return float(hits.mean())


def all_metrics(forecast: Prices, actual: Prices, last: Prices) -> dict[str, float]:
    """Give every figure by name, and `minutes`; those without a meaning here are left out.

    Raises:
        NotEnoughDataError: without a minute.
        DataError: if shapes differ, or a price is not a finite number above 0.
    """
    _require_sound({"forecast": forecast, "actual": actual, "last": last})
    figures = {
        "minutes": float(len(actual)),
        "mae_bp": mae_bp(forecast, actual, last),
        "mae_krw": mae_krw(forecast, actual),
        "bias_bp": bias_bp(forecast, actual, last),
        "skill": skill(forecast, actual, last),
        "direction_hit_rate": direction_hit_rate(forecast, actual, last),
    }
    return {name: figure for name, figure in figures.items() if figure is not None}


def _require_sound(prices: dict[str, Prices]) -> None:
    sizes = {name: len(values) for name, values in prices.items()}
    if len(set(sizes.values())) != 1:
        raise DataError(f"prices to compare have lengths {sizes}; valid: equal lengths")
    if 0 in sizes.values():
        raise NotEnoughDataError("there is no minute with a forecast and a known price; valid: at least one")
    for name, values in prices.items():
        is_wrong = ~(np.isfinite(values) & (values > 0))
        if is_wrong.any():
            row = int(np.argmax(is_wrong))
            raise DataError(f"{name} price {values[row]} in row {row} is not valid; valid: finite numbers above 0")
