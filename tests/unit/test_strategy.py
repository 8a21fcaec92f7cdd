"""The default strategy, clause by clause."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickloop.domain.strategy import (
    BUY,
    BUY_IN_FLIGHT,
    NEVER,
    NOTHING,
    PRESETS,
    SELL,
    SELL_IN_FLIGHT,
    Params,
    decide,
    is_due,
    params_of,
    wake,
)
from tickloop.errors import UsageError

NOW = 1_705_881_600_000
HOUR = 3_600_000
DEFAULT = PRESETS["default"]
NAN = float("nan")

Lot = tuple[float, int, int]  # entry, filled_at_ms, qty_e8


def _arrays(lots: list[Lot]) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    return (
        np.array([lot[0] for lot in lots], np.float64),
        np.array([lot[1] for lot in lots], np.int64),
        np.array([lot[2] for lot in lots], np.int64),
        len(lots),
    )


def _decide(
    price: float,
    lots: list[Lot] | None = None,
    *,
    params: Params = DEFAULT,
    forecast: float = NAN,
    cash: float = 50_000.0,
    last_buy_ms: int = NEVER,
    in_flight: int = 0,
) -> int:
    return decide(params, *_arrays(lots or []), cash, last_buy_ms, in_flight, NOW, price, forecast)


@pytest.mark.parametrize(
    ("entry", "price", "is_expected"),
    [
        (50_000_000.0, 50_099_000.0, False),
        (50_000_000.0, 50_100_000.0, True),  # exactly 0.2 %: price x 1000 == entry x 1002
        (56_001_000.0, 56_113_000.0, False),  # 56,113,002 is the target
        (56_001_000.0, 56_114_000.0, True),
    ],
)
def test_lot_is_due_when_price_x_1000_reaches_entry_x_1002(entry: float, price: float, is_expected: bool) -> None:
    """The comparison is in whole numbers and takes equality."""
    assert is_due(DEFAULT, entry, NOW, NOW, price) is is_expected


@pytest.mark.parametrize(("age_ms", "is_expected"), [(HOUR - 1, False), (HOUR, True), (HOUR + 1, True)])
def test_lot_is_due_after_exactly_one_hour(age_ms: int, is_expected: bool) -> None:
    """Held counts from the fill, whatever the price."""
    assert is_due(DEFAULT, 50_000_000.0, NOW - age_ms, NOW, 1.0) is is_expected


def test_lots_that_are_due_together_reach_the_minimum_together() -> None:
    """Two late lots of 3,000 KRW make one sell of 6,000; one alone waits."""
    lot = (50_000_000.0, NOW - HOUR, 6_000)

    assert _decide(50_000_000.0, [lot]) == NOTHING
    assert _decide(50_000_000.0, [lot, lot]) == SELL


@pytest.mark.parametrize(("price", "expected"), [(50_000_000.0, SELL), (49_999_000.0, NOTHING)])
def test_sell_of_exactly_the_minimum_total_is_sent(price: float, expected: int) -> None:
    """0.0001 BTC at 50,000,000 is 5,000 KRW; a tick lower it is not enough."""
    assert _decide(price, [(60_000_000.0, NOW - HOUR, 10_000)]) == expected


def test_sell_comes_before_buy() -> None:
    """Both would be possible at this trade."""
    lots = [(50_000_000.0, NOW - HOUR, 12_000)]

    assert _decide(50_000_000.0, lots, forecast=60_000_000.0) == SELL


def test_lot_too_small_to_sell_does_not_stop_a_buy() -> None:
    """Nothing is in flight, so the second rule is asked."""
    assert _decide(50_000_000.0, [(50_000_000.0, NOW - HOUR, 100)], forecast=60_000_000.0) == BUY


@pytest.mark.parametrize(
    ("in_flight", "with_lot", "without_lot"),
    [
        (0, SELL, BUY),
        (SELL_IN_FLIGHT, NOTHING, NOTHING),
        (BUY_IN_FLIGHT, SELL, NOTHING),
        (SELL_IN_FLIGHT | BUY_IN_FLIGHT, NOTHING, NOTHING),
    ],
)
def test_orders_in_flight_stop_what_they_must(in_flight: int, with_lot: int, without_lot: int) -> None:
    """A sell waits for a sell only; a buy waits for any order of the market."""
    lots = [(50_000_000.0, NOW - HOUR, 12_000)]

    assert _decide(50_000_000.0, lots, in_flight=in_flight, forecast=60_000_000.0) == with_lot
    assert _decide(50_000_000.0, [], in_flight=in_flight, forecast=60_000_000.0) == without_lot


@pytest.mark.parametrize(
    ("preset", "forecast", "expected"),
    [
        ("default", 50_050_000.0, NOTHING),  # 50,000,000 x 1.001 is not below it
        ("default", 50_050_001.0, BUY),
        ("seed2023", 50_000_000.0, NOTHING),
        ("seed2023", 50_000_001.0, BUY),
        ("default", NAN, NOTHING),
        ("seed2023", NAN, NOTHING),
    ],
)
def test_buy_needs_a_forecast_strictly_above_price_with_edge(preset: str, forecast: float, expected: int) -> None:
    """No forecast, no buy."""
    assert _decide(50_000_000.0, params=PRESETS[preset], forecast=forecast) == expected


@pytest.mark.parametrize(("ago_ms", "expected"), [(59_999, NOTHING), (60_000, NOTHING), (60_001, BUY)])
def test_buy_needs_strictly_more_than_a_minute_since_the_last(ago_ms: int, expected: int) -> None:
    """Counted from the last buy decision."""
    assert _decide(50_000_000.0, forecast=60_000_000.0, last_buy_ms=NOW - ago_ms) == expected


@pytest.mark.parametrize(
    ("preset", "cash", "expected"),
    [
        ("default", 6_003.0, BUY),
        ("default", 6_002.99, NOTHING),
        ("seed2023", 5_002.5, BUY),
        ("seed2023", 5_002.49, NOTHING),
    ],
)
def test_cash_must_cover_the_order_with_its_fee(preset: str, cash: float, expected: int) -> None:
    """6,000 x 1.0005 = 6,003 and 5,000 x 1.0005 = 5,002.5."""
    assert _decide(50_000_000.0, params=PRESETS[preset], forecast=60_000_000.0, cash=cash) == expected


def test_preset_takes_fee_and_minimum_from_the_rules() -> None:
    """An order size of the settings replaces the preset's own."""
    params = params_of("seed2023", "KRW-BTC", NOW, Decimal(6_000))

    assert params == Params(order_krw=6_000.0, min_edge=0.0, fee_rate=0.0005, min_total=5_000.0)


@pytest.mark.parametrize(
    ("preset", "order", "names"),
    [
        ("fast", None, "default, seed2023"),
        ("default", Decimal(4_999), "4999"),
        ("default", Decimal(2 * 10**9), "valid"),
    ],
)
def test_preset_or_order_that_cannot_be_is_refused(preset: str, order: Decimal | None, names: str) -> None:
    """The message says what would be valid."""
    with pytest.raises(UsageError, match=names):
        params_of(preset, "KRW-BTC", NOW, order)


_PRICES = st.integers(48_000, 52_000).map(lambda thousands: thousands * 1_000.0)
_LOTS = st.lists(st.tuples(_PRICES, st.integers(NOW - 2 * HOUR, NOW), st.integers(1, 20_000)), max_size=6)


@settings(max_examples=300, deadline=None)
@given(
    lots=_LOTS,
    cash=st.sampled_from([0.0, 5_002.5, 6_003.0, 50_000.0]),
    last_buy_ms=st.integers(NOW - 120_000, NOW),
    in_flight=st.integers(0, 3),
    forecast=st.one_of(st.just(NAN), _PRICES),
    price=_PRICES,
    later_ms=st.integers(0, 2 * HOUR),
    preset=st.sampled_from(["default", "seed2023"]),
)
def test_decide_does_nothing_where_wake_says_it_cannot_act(
    lots: list[Lot],
    cash: float,
    last_buy_ms: int,
    in_flight: int,
    forecast: float,
    price: float,
    later_ms: int,
    preset: str,
) -> None:
    """Inside the wake prices and before the wake time every trade gives NOTHING."""
    state = (*_arrays(lots), cash, last_buy_ms, in_flight)
    hint = wake(PRESETS[preset], *state, NOW, forecast)

    if hint.price_low < price < hint.price_high and NOW + later_ms < hint.time_ms:
        assert decide(PRESETS[preset], *state, NOW + later_ms, price, forecast) == NOTHING
