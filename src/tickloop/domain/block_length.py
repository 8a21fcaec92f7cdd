"""How long blocks of a series must be, so that resampling them keeps what neighbours have to do with each other."""

from __future__ import annotations

from math import ceil, log10, sqrt
from typing import NamedTuple

import numpy as np

from tickloop.domain.figures import Floats

_SIGNIFICANT = 2.0  # c of the paper: autocorrelations below c sqrt(log10(n) / n) count as none
_MIN_RUN = 5  # K of the paper, its lower bound: so many in a row must count as none


class BlockLength(NamedTuple):
    """Best mean block length for the mean of a series, in periods, from 1: for either bootstrap."""

    stationary: float
    circular: float


def block_length(series: Floats) -> BlockLength:
    """Choose by the correlogram.

    (2 G^2 / D)^(1/3) n^(1/3), with G the sum of w(k/M) |k| R(k), g the sum of w(k/M) R(k) over lags k from -M to M, D =
    2 g^2 (stationary) or 4/3 g^2 (circular), R the autocovariance (divisor n) and w flat to 1/2, then linear to 0 at 1.
    At most min(3 sqrt(n), n / 3); 1 for a series that never varies or has no 6 periods.

    Args:
        series: finite numbers (n,), in order of time.

    Source: Politis and White 2004, Automatic Block-Length Selection for the Dependent Bootstrap, with the
    constant for the stationary bootstrap as corrected by Patton, Politis and White 2009. M is twice the first lag of
    the first run of lags that count as none, as in Patton's own code.
    """
    n = len(series)
    if n <= _MIN_RUN or np.ptp(series) == 0.0:
        return BlockLength(1.0, 1.0)
    longest = float(max(1, ceil(min(3.0 * sqrt(n), n / 3.0))))
    run = max(_MIN_RUN, ceil(sqrt(log10(n))))
    most = min(ceil(sqrt(n)) + run, n - 1)
    covariance = _autocovariance(series, most)
    reach = min(2 * _first_unrelated(covariance[1:] / covariance[0], run, n), most)
    lags = np.arange(1, reach + 1)
    weighted = np.minimum(1.0, 2.0 * (1.0 - lags / reach)) * covariance[1 : reach + 1]
    slope = 2.0 * float(lags @ weighted)
    level = float(covariance[0] + 2.0 * weighted.sum())
    return BlockLength(*(_best(slope, factor * level**2, n, longest) for factor in (2.0, 4.0 / 3.0)))


def _best(slope: float, scale: float, n: int, longest: float) -> float:
    if scale == 0.0:
        return longest
    best = float((2.0 * slope**2 / scale * n) ** (1.0 / 3.0))
    return min(max(1.0, best), longest)


def _first_unrelated(correlation: Floats, run: int, n: int) -> int:
    """Give the first lag of the first `run` lags in a row that count as none; without such, the last that counts."""
    counts = np.abs(correlation) >= _SIGNIFICANT * sqrt(log10(n) / n)
    seen = np.concatenate([[0], np.cumsum(counts)])
    quiet = np.flatnonzero(seen[run:] == seen[:-run])
    return int(quiet[0]) + 1 if len(quiet) else int(np.flatnonzero(counts)[-1]) + 1


def _autocovariance(series: Floats, most: int) -> Floats:
    """Give R(0), ..., R(most), divisor n, by Fourier transform: a year of minutes has 730 lags to look at."""
    n = len(series)
    off = series - series.mean()
    size = 1 << (n + most).bit_length()
    power = np.abs(np.fft.rfft(off, size)) ** 2
    return np.asarray(np.fft.irfft(power, size)[: most + 1] / n, np.float64)
