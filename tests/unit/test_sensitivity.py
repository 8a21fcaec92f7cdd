"""Profit at other fees and latencies, and where the fee takes it all."""

from __future__ import annotations

import pytest

from tickloop.domain.sensitivity import break_even_fee, sensitivity_of

FEE = 0.0005


def falling(at_no_fee: float, turnover: float):  # type: ignore[no-untyped-def]
    return lambda fee: at_no_fee - turnover * fee


def test_profits_stand_beside_the_fees_and_latencies_they_were_made_with() -> None:
    """0, half, one, one and a half and two times the fee."""
    found = sensitivity_of(falling(100.0, 100_000.0), FEE, lambda ms: 50.0 - ms / 100)

    assert found.fees == (
        (0.0, 0.0, 100.0),
        (0.5, 0.00025, 75.0),
        (1.0, 0.0005, 50.0),
        (1.5, 0.00075, pytest.approx(25.0)),
        (2.0, 0.001, 0.0),
    )
    assert found.latencies == ((0, 50.0), (100, 49.0), (300, 47.0), (1_000, 40.0), (3_000, 20.0))
    assert found.break_even.fee_rate == pytest.approx(0.001, rel=1e-3)


def test_bar_mode_has_no_latency() -> None:
    """An empty row, not five equal ones."""
    assert sensitivity_of(falling(100.0, 1.0), FEE, None).latencies == ()


@pytest.mark.parametrize("times", [0.01, 0.6, 1.0, 1.7, 31.0])
def test_fee_at_which_it_breaks_even_is_found(times: float) -> None:
    """To a four-thousandth of the bracket, below it and never above."""
    found = break_even_fee(falling(times * FEE * 1e6, 1e6), FEE).fee_rate

    assert found is not None
    assert found <= times * FEE
    assert found == pytest.approx(times * FEE, abs=max(times, 1.0) * FEE / 4_000)


def test_no_fee_is_given_where_there_is_none() -> None:
    """One that loses without a fee, and one that earns at any."""
    assert break_even_fee(falling(0.0, 1e6), FEE).why == "it earns nothing even without a fee"
    assert break_even_fee(falling(1e9, 0.0), FEE).why == "it still earns at 32 times the fee"
    assert break_even_fee(falling(1.0, 1e6), 0.0).fee_rate == pytest.approx(1e-6, abs=1e-7)
