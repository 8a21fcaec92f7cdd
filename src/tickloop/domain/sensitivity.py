"""What a profit depends on that nobody knows exactly: the fee, and how late an order comes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

FEE_SCALES = (0.0, 0.5, 1.0, 1.5, 2.0)

LATENCIES_MS = (0, 100, 300, 1_000, 3_000)

_MOST_SCALE = 32.0
"""32 times the fee of Upbit's KRW markets is 1.6 %: what still earns there does not live by the fee."""

_HALVINGS = 12
"""The break-even fee is then known to a four-thousandth of the bracket that was halved."""


@dataclass(frozen=True)
class BreakEven:
    """The fee at which a strategy earns nothing.

    Attributes:
        fee_rate: of one side, as a fraction; None if there is none.
        why: says of None whether it loses without any fee or earns at any.
    """

    fee_rate: float | None
    why: str = ""


@dataclass(frozen=True)
class Sensitivity:
    """Profits in KRW of whole runs, decisions included, in which one thing is another.

    Attributes:
        fees: (scale, fee rate of one side, profit) for each of FEE_SCALES.
        latencies: (ms, profit) for each of LATENCIES_MS; empty in bar mode, which has no latency.
    """

    fees: tuple[tuple[float, float, float], ...]
    latencies: tuple[tuple[int, float], ...]
    break_even: BreakEven


def sensitivity_of(
    profit_at_fee: Callable[[float], float], fee_rate: float, profit_at_latency: Callable[[int], float] | None
) -> Sensitivity:
    """Run a strategy at other fees and latencies.

    Args:
        profit_at_fee: fee rate of one side -> profit in KRW of the run with it.
        fee_rate: that of the result.
        profit_at_latency: ms -> profit; None in bar mode.
    """
    fees = tuple((scale, scale * fee_rate, profit_at_fee(scale * fee_rate)) for scale in FEE_SCALES)
    latencies = () if profit_at_latency is None else tuple((ms, profit_at_latency(ms)) for ms in LATENCIES_MS)
    return Sensitivity(fees, latencies, break_even_fee(profit_at_fee, fee_rate))


def break_even_fee(profit_at_fee: Callable[[float], float], fee_rate: float) -> BreakEven:
    """Find where the profit falls to 0 as the fee grows: by doubling the fee, then by halving the bracket.

    A profit that falls, rises and falls again has several such fees; one of them is given.
    """
    if profit_at_fee(0.0) <= 0.0:
        return BreakEven(None, "it earns nothing even without a fee")
    step = fee_rate if fee_rate > 0.0 else 1e-4
    low, high = 0.0, step
    while profit_at_fee(high) > 0.0:
        low, high = high, 2.0 * high
        if high > _MOST_SCALE * step:
            return BreakEven(None, f"it still earns at {low / step:g} times the fee")
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if profit_at_fee(middle) > 0.0 else (low, middle)
    return BreakEven(low)
