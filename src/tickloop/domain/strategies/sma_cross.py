"""Hold a lot while the mean of the last few closes is above the mean of more of them."""

from __future__ import annotations

from math import ceil, floor, log10
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.kernel import kernel
from tickloop.domain.space import Range
from tickloop.domain.strategies.target import target_strategy
from tickloop.domain.strategy import ORDER_KRW

_MOST_DECIMALS = 8  # of a price in KRW
_DIGITS = 11  # a window of 1,000 closes of so many digits is still a whole number that float64 holds


class SmaCrossParams(NamedTuple):
    """What can be set.

    Attributes:
        order_krw, fee_rate, min_total: as in `Params`.
        fast, slow: lengths of the two means in bars; bars without trades do not exist and are not counted.
    """

    order_krw: float = 6_000.0
    fee_rate: float = 0.0005
    min_total: float = 5_000.0
    fast: int = 10
    slow: int = 30


@kernel
def summed(close: NDArray[np.float64]) -> NDArray[np.int64]:
    """Give the sums of the first 0, 1, 2, ... closes, int64 (n + 1,), in whole units.

    Whole numbers, so that a mean depends on its own closes only and not on where the sums began. The unit is 1e-8 KRW
    or, for markets of many digits, as small as 11 digits of the first close allow: at most a thousandth of a KRW at
    50 million. Sums that run over come right again in the difference of two.
    """
    digits = ceil(log10(close[0])) if close[0] > 0.0 else 0
    per_krw = 10.0 ** max(0, min(_MOST_DECIMALS, _DIGITS - digits))
    sums = np.empty(len(close) + 1, np.int64)
    sums[0] = 0
    for bar in range(len(close)):
        sums[bar + 1] = sums[bar] + floor(close[bar] * per_krw + 0.5)
    return sums


@kernel
def is_above(sums: NDArray[np.int64], fast: int, slow: int, bar: int) -> bool:
    """Tell whether the mean of the last `fast` closes is above that of the last `slow`, after the close of a bar."""
    end = bar + 1
    return bool((sums[end] - sums[end - fast]) * slow > (sums[end] - sums[end - slow]) * fast)


@kernel
def signal(params: SmaCrossParams, close: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give 1.0 after closes at which the fast mean is above the slow one, else 0.0; NaN before there are enough."""
    sums = summed(close)
    wanted = np.full(len(close), np.nan)
    for bar in range(params.slow - 1, len(close)):
        wanted[bar] = 1.0 if is_above(sums, params.fast, params.slow, bar) else 0.0
    return wanted


def problem(params: SmaCrossParams) -> str:
    """Say why two lengths do not go together; empty if they do."""
    if params.fast < params.slow:
        return ""
    return f"fast {params.fast} is not below slow {params.slow}; valid: a fast mean of fewer bars than the slow one"


sma_cross = target_strategy(
    "sma_cross",
    signal,
    {"default": SmaCrossParams()},
    space={"order_krw": ORDER_KRW, "fast": Range(1, 999, step=1), "slow": Range(2, 1_000, step=1)},
    problem=problem,
)
