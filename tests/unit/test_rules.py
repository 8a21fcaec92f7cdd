"""The exchange's rules: ladder edges by date, fee, sizes, rounding."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickloop.domain import rules
from tickloop.errors import UnknownMarketError, UsageError

JAN_2024 = 1_705_881_600_000  # 2024-01-22T00:00Z
NEW_LADDER = 1_753_920_000_000  # 2025-07-31T00:00Z


@pytest.mark.parametrize(
    ("price", "tick"),
    [
        # upbit-api 2.6, table in force since 2025-07-31
        ("150000000", "1000"),
        ("1000000", "1000"),
        ("999500", "500"),
        ("500000", "500"),
        ("499900", "100"),
        ("100000", "100"),
        ("99950", "50"),
        ("50000", "50"),
        ("49990", "10"),
        ("10000", "10"),
        ("9995", "5"),
        ("5000", "5"),
        ("4999", "1"),
        ("1000", "1"),
        ("100", "1"),
        ("99.9", "0.1"),
        ("10", "0.1"),
        ("9.99", "0.01"),
        ("1", "0.01"),
        ("0.999", "0.001"),
        ("0.1", "0.001"),
        ("0.01", "0.0001"),
        ("0.001", "0.00001"),
        ("0.0001", "0.000001"),
        ("0.00001", "0.0000001"),
        ("0.00000999", "0.00000001"),
    ],
)
def test_tick_size_follows_the_ladder_of_2025_07_31(price: str, tick: str) -> None:
    """Each rung starts at its threshold, and the compiled table says the same."""
    table = rules.ladder_table("KRW-BTC", NEW_LADDER, NEW_LADDER + 1)

    assert rules.tick_size("KRW-BTC", Decimal(price), NEW_LADDER) == Decimal(tick)
    assert rules.is_confirmed("KRW-BTC", Decimal(price), NEW_LADDER)
    assert rules.tick_at(table, float(price), NEW_LADDER) == float(tick)


@pytest.mark.parametrize(
    ("price", "tick", "is_confirmed"),
    [
        # upbit-api 2.6, "seen in recorded prices": bands with months; the others are unconfirmed
        ("56000000", "1000", True),
        ("2000000", "1000", True),
        ("1999500", "500", False),  # seen 2022-06 .. 2023-03 only
        ("700000", "100", False),
        ("499950", "50", True),
        ("99990", "10", False),  # seen 2022-03 .. 2023-12 only
        ("9999", "1", False),
        ("150", "0.1", False),
    ],
)
def test_tick_size_in_january_2024_is_the_older_ladder(price: str, tick: str, is_confirmed: bool) -> None:
    """Rows before 2025-07-31 are confirmed only where and when recorded prices showed them."""
    assert rules.tick_size("KRW-BTC", Decimal(price), JAN_2024) == Decimal(tick)
    assert rules.is_confirmed("KRW-BTC", Decimal(price), JAN_2024) is is_confirmed


def test_ladder_changes_at_the_first_instant_of_2025_07_31() -> None:
    """1.5 million moved in steps of 500 until then and of 1,000 since."""
    table = rules.ladder_table("KRW-ETH", NEW_LADDER - 10, NEW_LADDER + 10)

    assert rules.tick_size("KRW-ETH", Decimal(1_500_000), NEW_LADDER - 1) == 500
    assert rules.tick_size("KRW-ETH", Decimal(1_500_000), NEW_LADDER) == 1_000
    assert rules.tick_at(table, 1_500_000.0, NEW_LADDER - 1) == 500.0
    assert rules.tick_at(table, 1_500_000.0, NEW_LADDER) == 1_000.0


def test_span_is_confirmed_only_if_every_band_and_time_in_it_is() -> None:
    """A month of KRW-BTC at 56 million is; one that touches the weeks before the new table is not."""
    low, high = Decimal(55_000_000), Decimal(60_000_000)

    assert rules.is_confirmed_over("KRW-BTC", low, high, JAN_2024, JAN_2024 + 30 * 86_400_000)
    assert not rules.is_confirmed_over("KRW-BTC", low, high, NEW_LADDER - 86_400_000, NEW_LADDER + 1)
    assert not rules.is_confirmed_over("KRW-ETH", Decimal(1_900_000), high, JAN_2024, JAN_2024 + 1)


def test_stablecoin_markets_are_unconfirmed() -> None:
    """They had a table of their own in 2025-03; whether it still holds is not known."""
    assert not rules.is_confirmed("KRW-USDT", Decimal(1_450), NEW_LADDER)


def test_every_row_names_its_source() -> None:
    """A rule without a source could not be checked."""
    assert all(unit.source for ladder in rules.LADDERS for unit in ladder.units)
    assert all(row.source for row in rules.ORDER_RULES)


def test_fee_and_sizes_are_those_of_krw_markets() -> None:
    """0.05 % a side, 5,000 KRW to 1,000,000,000 KRW."""
    assert rules.fee_rate("KRW-BTC", JAN_2024) == Decimal("0.0005")
    assert rules.min_total("KRW-BTC", JAN_2024) == Decimal(5_000)
    assert rules.max_total("KRW-BTC", JAN_2024) == Decimal(1_000_000_000)


def test_market_without_krw_quote_is_refused() -> None:
    """Other quotes have other tables."""
    with pytest.raises(UnknownMarketError, match="BTC-ETH"):
        rules.tick_size("BTC-ETH", Decimal("0.05"), JAN_2024)
    with pytest.raises(UnknownMarketError, match="USDT-BTC"):
        rules.fee_rate("USDT-BTC", JAN_2024)


@pytest.mark.parametrize("price", ["0", "-1", "NaN", "Infinity"])
def test_price_that_is_none_is_refused(price: str) -> None:
    """The message names it."""
    with pytest.raises(UsageError, match=price):
        rules.tick_size("KRW-BTC", Decimal(price), JAN_2024)


def test_quantity_is_cut_off_after_8_decimals() -> None:
    """6,000 KRW at 56,001,000 is 0.000107140...: never rounded up."""
    assert rules.floor_qty(Decimal(6_000) / Decimal(56_001_000)) == Decimal("0.00010714")
    assert rules.floor_qty(Decimal("0.000000019999")) == Decimal("0.00000001")


@given(st.decimals("0.00000002", "300000000", places=8), st.sampled_from([JAN_2024, NEW_LADDER]))
def test_rounded_prices_lie_on_the_ladder_around_the_price(price: Decimal, at_ms: int) -> None:
    """Floor and ceiling are allowed prices less than a tick away."""
    low, high = rules.floor_to_tick("KRW-BTC", price, at_ms), rules.ceil_to_tick("KRW-BTC", price, at_ms)
    tick = rules.tick_size("KRW-BTC", price, at_ms)

    assert low <= price <= high
    assert high - low in (0, tick)
    assert low % tick == 0
