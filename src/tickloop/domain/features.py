"""Bars -> features: the only definition, used by training, serving, back-test and bot alike.

A row sees the last `window` bars and nothing else. It is computed by plain loops over those bars, so that it has the
same bits alone, in a batch, and whatever comes before or after.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, log1p, sqrt

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tickloop.domain.kernel import kernel
from tickloop.domain.window import MINUTE_MS
from tickloop.errors import DataError, UsageError

WINDOW = 60
"""Bars that a row of the set `bar` sees, its own included."""

# Rows of the kernel's price array.
_PRICES = ("open", "high", "low", "close", "vwap")
_OPEN, _HIGH, _LOW, _CLOSE, _VWAP = range(5)

_RETURN_LAGS = (1, 2, 3, 5, 10, 30)
_VOLATILITY_SPANS = (5, 15, 59)
_RANGE_SPANS = (1, 5, 60)
_VWAP_SPANS = (1, 5, 15)
_FLOW_SPANS = (1, 5)
_VOLUME_SPANS = (1, 5)

_BAR_NAMES = (
    *(f"return_{lag}" for lag in _RETURN_LAGS),
    *(f"volatility_{span}" for span in _VOLATILITY_SPANS),
    *(f"range_{span}" for span in _RANGE_SPANS),
    *(f"position_{span}" for span in _RANGE_SPANS),
    *(f"vwap_gap_{span}" for span in _VWAP_SPANS),
    *(f"flow_{span}" for span in _FLOW_SPANS),
    *(f"volume_{span}" for span in _VOLUME_SPANS),
    "minutes_since_bar",
)


@dataclass(frozen=True)
class FeatureSet:
    """A named definition. A change of what a row holds needs a new name: saved models say which one they want.

    Attributes:
        window: bars that a row sees, its own included.
        names: columns of the matrix, in order.
    """

    name: str
    window: int
    names: tuple[str, ...]


FEATURE_SETS: dict[str, FeatureSet] = {"bar": FeatureSet("bar", WINDOW, _BAR_NAMES)}


def feature_set_named(name: str) -> FeatureSet:
    """Give a feature set; `UsageError` lists the names when there is none of this one."""
    if name not in FEATURE_SETS:
        raise UsageError(f"feature set {name!r} is not known; valid: {', '.join(FEATURE_SETS)}")
    return FEATURE_SETS[name]


def compute_features(bars: pl.DataFrame, feature_set: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Compute one row for each bar that has a full window behind it, its own bar included.

    Args:
        bars: a BAR_1M frame of one market, oldest first, any state. The window counts bars, not minutes.
        feature_set: a name of FEATURE_SETS.

    Returns:
        (open time of the last bar seen, epoch ms, shape (n,); features, shape (n, f)), n = bars - window + 1, none
        with fewer bars. Every value is finite. Set `bar`, over the last k bars, prices in logs:
        `return_k` close against the close k bars before; `volatility_k` root mean square of the last k returns;
        `range_k` high against low; `position_k` of the close in that range, -0.5 to 0.5, 0 where the range is nil;
        `vwap_gap_k` volume-weighted vwap against the close, a bar without vwap (a candle without turnover) counting
        with its close, 0 without volume; `flow_k` share of volume in bars that rose less that in bars that fell, -1
        to 1, 0 without volume; `volume_k` log(1 + mean volume against that of the window), log 2 without volume;
        `minutes_since_bar` from the bar before the last one to the last.

    Raises:
        DataError: if time does not grow, a price is not a finite number above 0, or a volume is negative or not
            finite.
        UsageError: if the feature set is not known.
    """
    definition = feature_set_named(feature_set)
    # Copies throughout: a view of a frame is read-only, and the kernel would be compiled once more for that.
    ts_open = np.array(bars["ts_open"].dt.epoch("ms").to_numpy())
    prices = np.stack([bars[name].to_numpy() for name in _PRICES])
    prices[_VWAP] = np.where(np.isnan(prices[_VWAP]), prices[_CLOSE], prices[_VWAP])
    volume = np.array(bars["volume"].to_numpy())
    _require_sound(bars, ts_open, prices, volume)
    if len(ts_open) < definition.window:
        return np.empty(0, np.int64), np.empty((0, len(definition.names)))
    out = np.empty((len(ts_open) - definition.window + 1, len(definition.names)))
    fill_bar_rows(ts_open, prices, volume, out)
    return ts_open[definition.window - 1 :].copy(), out


def _require_sound(
    bars: pl.DataFrame, ts_open: NDArray[np.int64], prices: NDArray[np.float64], volume: NDArray[np.float64]
) -> None:
    if (np.diff(ts_open) <= 0).any():
        row = int(np.argmax(np.diff(ts_open) <= 0)) + 1
        raise DataError(f"bar {bars['ts_open'][row]} does not come after the one before it; valid: ascending minutes")
    is_wrong = ~(np.isfinite(prices) & (prices > 0)).all(axis=0) | ~(np.isfinite(volume) & (volume >= 0))
    if is_wrong.any():
        bar = bars.row(int(np.argmax(is_wrong)), named=True)
        shown = ", ".join(f"{name} {bar[name]}" for name in ("open", "high", "low", "close", "vwap", "volume"))
        raise DataError(
            f"bar {bar['ts_open']} has {shown}; valid: finite prices above 0 and a volume that is not negative"
        )


@kernel
def fill_bar_rows(
    ts_open: NDArray[np.int64],
    prices: NDArray[np.float64],
    volumes: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Fill the rows of the set `bar`, unchecked (see `compute_features`); row i sees bars i to i + WINDOW - 1 alone."""
    opens, highs, lows, closes, vwaps = prices[_OPEN], prices[_HIGH], prices[_LOW], prices[_CLOSE], prices[_VWAP]
    for row in range(len(out)):
        at = row + WINDOW - 1  # the last bar seen
        close = closes[at]
        col = 0
        for lag in _RETURN_LAGS:
            out[row, col] = log(close / closes[at - lag])
            col += 1
        for span in _VOLATILITY_SPANS:
            out[row, col] = _volatility(closes, at, span)
            col += 1
        for nth, span in enumerate(_RANGE_SPANS):
            high, low = _extremes(highs, lows, at, span)
            out[row, col + nth] = log(high / low)
            out[row, col + len(_RANGE_SPANS) + nth] = (close - low) / (high - low) - 0.5 if high > low else 0.0
        col += 2 * len(_RANGE_SPANS)
        for span in _VWAP_SPANS:
            out[row, col] = log(_vwap(closes, vwaps, volumes, at, span) / close)
            col += 1
        for span in _FLOW_SPANS:
            out[row, col] = _flow(opens, closes, volumes, at, span)
            col += 1
        mean_volume = _mean(volumes, at, WINDOW)
        for span in _VOLUME_SPANS:
            out[row, col] = log1p(_mean(volumes, at, span) / mean_volume if mean_volume > 0 else 1.0)
            col += 1
        out[row, col] = (ts_open[at] - ts_open[at - 1]) / MINUTE_MS


@kernel
def _volatility(closes: NDArray[np.float64], at: int, span: int) -> float:
    total = 0.0
    for i in range(at - span + 1, at + 1):
        step = log(closes[i] / closes[i - 1])
        total += step * step
    return sqrt(total / span)


@kernel
def _extremes(highs: NDArray[np.float64], lows: NDArray[np.float64], at: int, span: int) -> tuple[float, float]:
    high, low = highs[at], lows[at]
    for i in range(at - span + 1, at):
        high = max(high, highs[i])
        low = min(low, lows[i])
    return high, low


@kernel
def _vwap(
    closes: NDArray[np.float64], vwaps: NDArray[np.float64], volumes: NDArray[np.float64], at: int, span: int
) -> float:
    volume = notional = 0.0
    for i in range(at - span + 1, at + 1):
        volume += volumes[i]
        notional += volumes[i] * vwaps[i]
    return notional / volume if volume > 0 else closes[at]


@kernel
def _flow(
    opens: NDArray[np.float64], closes: NDArray[np.float64], volumes: NDArray[np.float64], at: int, span: int
) -> float:
    total = signed = 0.0
    for i in range(at - span + 1, at + 1):
        total += volumes[i]
        if closes[i] > opens[i]:
            signed += volumes[i]
        elif closes[i] < opens[i]:
            signed -= volumes[i]
    return signed / total if total > 0 else 0.0


@kernel
def _mean(values: NDArray[np.float64], at: int, span: int) -> float:
    total = 0.0
    for i in range(at - span + 1, at + 1):
        total += values[i]
    return total / span
