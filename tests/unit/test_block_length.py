"""Automatic length of blocks, against arch and against the formula where the autocovariance is known."""

from __future__ import annotations

import numpy as np
import pytest

from tickloop.domain.block_length import block_length
from tickloop.domain.figures import Floats


def autoregressive(seed: int, n: int, phi: float) -> Floats:
    noise, series = np.random.default_rng(seed).normal(size=n + 100), np.zeros(n + 100)
    for at in range(1, n + 100):
        series[at] = phi * series[at - 1] + noise[at]
    return series[100:]


@pytest.mark.parametrize(
    ("seed", "n", "phi", "stationary", "circular"),
    [
        (1, 500, 0.5, 9.69431048, 11.09721528),
        (2, 500, 0.9, 17.12910831, 19.60793424),
        (3, 2000, 0.2, 7.81958078, 8.95118549),
        (4, 100, -0.4, 5.45723957, 6.24697986),
        (5, 1440, 0.7, 18.65931464, 21.35958323),
        (6, 60, 0.0, 1.00833779, 1.15425862),
    ],
)
def test_lengths_are_those_of_arch(seed: int, n: int, phi: float, stationary: float, circular: float) -> None:
    """`optimal_block_length` of arch 8.0.0, run by hand on the same series."""
    found = block_length(autoregressive(seed, n, phi))

    assert (found.stationary, found.circular) == pytest.approx((stationary, circular), abs=1e-7)


def test_length_of_a_long_series_is_near_the_one_that_theory_gives() -> None:
    """AR(1): G = 2 phi / (1 - phi)^2 / (1 - phi^2), g = 1 / (1 - phi)^2, length (2 G^2 / D)^(1/3) n^(1/3)."""
    n, phi = 200_000, 0.5
    slope, level = 2 * phi / (1 - phi) ** 2 / (1 - phi**2), 1 / (1 - phi) ** 2
    expected = (slope**2 / level**2 * n) ** (1 / 3)

    assert block_length(autoregressive(9, n, phi)).stationary == pytest.approx(expected, rel=0.05)


def test_blocks_grow_with_dependence_and_do_not_depend_on_unit_or_level() -> None:
    """KRW or basis points, with or without a mean."""
    series = autoregressive(1, 500, 0.5)
    found = block_length(series)

    assert block_length(autoregressive(1, 500, 0.8)).stationary > found.stationary
    assert block_length(series * 1e-6 + 1.0).stationary == pytest.approx(found.stationary)


def test_length_keeps_inside_its_limits() -> None:
    """At most 3 sqrt(n), which waves that cancel out exceed; what never varies asks for nothing."""
    assert block_length(np.sin(np.arange(400) * np.pi / 4)) == (60.0, 60.0)
    assert block_length(np.full(30, 0.1)) == (1.0, 1.0)
    assert block_length(np.array([1.0, 2.0])).stationary == 1.0
