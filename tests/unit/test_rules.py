"""The exchange's rules: ladder edges by date, fee, sizes, rounding."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickloop.domain import rules
from tickloop.errors import UnknownMarketError, UsageError

JAN_2024 = 1_705_881_600_000  # 2024-01-22T00:00Z
IN_2021 = 1_617_580_800_000  # 2021-04-05T00:00Z
CHANGE_2024 = 1_706_486_400_000  # 2024-01-29T00:00Z
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
    ("price", "until_29", "from_29"),
    [
        # developer centre v1.4.1 and v1.4.5: below 10,000 KRW each step changed on 2024-01-29
        ("56000000", "1000", "1000"),
        ("1999500", "500", "500"),
        ("700000", "100", "100"),
        ("499950", "50", "50"),
        ("99990", "10", "10"),
        ("9995", "5", "1"),
        ("1000", "5", "1"),
        ("999", "1", "0.1"),
        ("99.9", "0.1", "0.01"),
        ("9.99", "0.01", "0.001"),
        ("0.999", "0.001", "0.0001"),
        ("0.0999", "0.0001", "0.00001"),
        ("0.00999", "0.0001", "0.000001"),
        ("0.0000999", "0.0001", "0.00000001"),
    ],
)
def test_steps_below_ten_thousand_changed_on_2024_01_29(price: str, until_29: str, from_29: str) -> None:
    """Both tables are documented, so both are confirmed on their side of the day."""
    for at_ms, tick in ((CHANGE_2024 - 1, until_29), (CHANGE_2024, from_29)):
        assert rules.tick_size("KRW-BTC", Decimal(price), at_ms) == Decimal(tick)
        assert rules.is_confirmed("KRW-BTC", Decimal(price), at_ms)


def test_an_old_step_that_nobody_documented_or_saw_is_unconfirmed() -> None:
    """The page until 2024-01-29 is not dated: in 2021 only bands that recorded prices show are certain."""
    assert rules.is_confirmed("KRW-BTC", Decimal(56_000_000), IN_2021)
    assert not rules.is_confirmed("KRW-BTC", Decimal(700_000), IN_2021)
    assert not rules.is_confirmed("KRW-BTC", Decimal(150), IN_2021)


@pytest.mark.parametrize(
    ("market", "price", "at", "tick"),
    [
        ("KRW-ADA", "480", "2024-10-13", "0.1"),
        ("KRW-ADA", "480", "2024-10-14", "1"),
        ("KRW-ADA", "99.9", "2024-10-14", "0.01"),
        ("KRW-XLM", "480", "2024-10-14", "0.1"),
        ("KRW-XLM", "480", "2025-07-31", "1"),
        ("KRW-USDT", "1450", "2025-03-20", "1"),
        ("KRW-USDT", "1450", "2025-03-21", "0.5"),
        ("KRW-XRP", "1450", "2025-03-21", "1"),
    ],
)
def test_markets_with_a_step_of_their_own_have_it_in_its_time(market: str, price: str, at: str, tick: str) -> None:
    """Sixteen markets went back to 1 KRW on 2024-10-14, the stablecoins got 0.5 KRW on 2025-03-21."""
    at_ms = int(datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp() * 1000)
    table = rules.ladder_table(market, CHANGE_2024, NEW_LADDER + 1)

    assert rules.tick_size(market, Decimal(price), at_ms) == Decimal(tick)
    assert rules.tick_at(table, float(price), at_ms) == float(tick)
    assert rules.is_confirmed(market, Decimal(price), at_ms)


def test_ladder_changes_at_the_first_instant_of_2025_07_31() -> None:
    """1.5 million moved in steps of 500 until then and of 1,000 since."""
    table = rules.ladder_table("KRW-ETH", NEW_LADDER - 10, NEW_LADDER + 10)

    assert rules.tick_size("KRW-ETH", Decimal(1_500_000), NEW_LADDER - 1) == 500
    assert rules.tick_size("KRW-ETH", Decimal(1_500_000), NEW_LADDER) == 1_000
    assert rules.tick_at(table, 1_500_000.0, NEW_LADDER - 1) == 500.0
    assert rules.tick_at(table, 1_500_000.0, NEW_LADDER) == 1_000.0


def test_span_is_confirmed_only_if_every_band_and_time_in_it_is() -> None:
    """A month of KRW-BTC at 56 million is; one that reaches down to a band that was not seen in 2021 is not."""
    low, high = Decimal(55_000_000), Decimal(60_000_000)

    assert rules.is_confirmed_over("KRW-BTC", low, high, JAN_2024, JAN_2024 + 30 * 86_400_000)
    assert rules.is_confirmed_over("KRW-BTC", low, high, NEW_LADDER - 86_400_000, NEW_LADDER + 1)
    assert not rules.is_confirmed_over("KRW-ETH", Decimal(1_900_000), high, IN_2021, IN_2021 + 1)


def test_stablecoin_markets_are_unconfirmed() -> None:
    """They had a table of their own in 2025-03; whether it still holds is not known."""
    assert not rules.is_confirmed("KRW-USDT", Decimal(1_450), NEW_LADDER)


def test_every_row_names_its_source() -> None:
    """A rule without a source could not be checked."""
    assert all(unit.source for ladder in rules.LADDERS for unit in ladder.units)
    assert all(row.source for row in rules.ORDER_RULES)
    assert all(row.unit.source for row in rules.OWN_UNITS)


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


def test_krw_to_spend_is_cut_off_and_krw_owed_is_rounded_up() -> None:
    """Whatever the exchange does with the ninth decimal, we never count on more than there is."""
    assert rules.floor_krw(Decimal("24.999377979")) == Decimal("24.99937797")
    assert rules.ceil_krw(Decimal("24.999377971")) == Decimal("24.99937798")
    assert rules.floor_krw(Decimal(5_000)) == rules.ceil_krw(Decimal(5_000)) == 5_000


@given(
    st.sampled_from(["KRW-BTC", "KRW-ADA", "KRW-USDT"]),
    st.decimals("0.00000002", "300000000", places=8),
    st.integers(IN_2021, NEW_LADDER + 1),
)
def test_rounded_prices_lie_on_the_ladder_around_the_price(market: str, price: Decimal, at_ms: int) -> None:
    """Floor and ceiling are allowed prices less than a tick away, and the compiled table has the same tick."""
    low, high = rules.floor_to_tick(market, price, at_ms), rules.ceil_to_tick(market, price, at_ms)
    tick = rules.tick_size(market, price, at_ms)
    assert rules.tick_at(rules.ladder_table(market, IN_2021, NEW_LADDER + 2), float(price), at_ms) == float(tick)

    assert low <= price <= high
    assert high - low in (0, tick)
    assert low % tick == 0
