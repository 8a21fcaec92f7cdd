"""What an amount buys and an order takes, to the last digit, against Decimal."""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal, localcontext

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from tickloop.domain import rules
from tickloop.domain.depth_fills import is_behind, newest_book, take_asks, take_bids
from tickloop.domain.fills import FILL_MODELS, bought_e8

_E8 = Decimal("1e-8")
AT_MS = 1_770_000_000_000  # 2026-02-02, the newest ladder
NOBODY = 0.0
"""A last trade below every ask: none of them is gone."""


@st.composite
def _prices(draw: st.DrawFn, count: int) -> list[Decimal]:
    """Ascending prices on the ladder, from 0.00000001 to 200,000,000 KRW."""
    lowest = draw(st.decimals("0.00001", "200000000", places=8))
    found = [rules.ceil_to_tick("KRW-BTC", lowest, AT_MS)]
    for _ in range(count - 1):
        steps = draw(st.integers(1, 4))
        found.append(
            rules.ceil_to_tick("KRW-BTC", found[-1] + steps * rules.tick_size("KRW-BTC", found[-1], AT_MS), AT_MS)
        )
    return found


@settings(max_examples=500, deadline=None)
@given(price=_prices(1), krw=st.one_of(st.integers(5_000, 10**9), st.decimals("5000", "1000000", places=8)))
@example(price=[Decimal("0.02")], krw=6_000)
@example(price=[Decimal("0.1")], krw=Decimal("5999.9"))
def test_quantity_bought_is_cut_off_after_8_decimals_exactly(price: list[Decimal], krw: int | Decimal) -> None:
    """At every price, where a quotient of floats lies a unit beside it now and then."""
    with localcontext(prec=60):
        expected = int((krw / price[0]).quantize(_E8, ROUND_FLOOR) / _E8)
    assume(expected < 1 << 62)  # quantities are int64 everywhere: 46,000,000,000 coins

    assert bought_e8(float(krw), float(price[0])) == expected


@settings(max_examples=300, deadline=None)
@given(
    prices=_prices(4),
    shares=st.lists(st.integers(0, 150), min_size=4, max_size=4),
    krw=st.integers(5_000, 1_000_000),
    used=st.integers(0, 120),
)
def test_walk_up_the_asks_equals_decimal(prices: list[Decimal], shares: list[int], krw: int, used: int) -> None:
    """Levels of 0 to 150 % of what the order wants, some of it used up by an order before."""
    with localcontext(prec=60):
        want = int(krw / prices[0] / _E8)
        assume(want < 1 << 59)
        sizes = [want * share // 100 for share in shares]
        used_e8 = want * used // 100
        qty, funds, levels, is_whole = _walk(prices, sizes, Decimal(krw), used_e8)

        done = take_asks(np.array([float(p) for p in prices]), np.array(sizes), NOBODY, used_e8, float(krw))

        assert (done.qty_e8, done.levels, done.is_whole) == (qty, levels, is_whole)
        assert abs(Decimal(done.funds) - funds) < Decimal("0.000001")


def _walk(prices: list[Decimal], sizes: list[int], left: Decimal, used_e8: int) -> tuple[int, Decimal, int, bool]:
    qty, levels, start = 0, 0, left
    for price, size in zip(prices, sizes, strict=True):
        gone = min(size, used_e8)
        used_e8 -= gone
        if size == gone:
            continue
        can = int((left / price).quantize(_E8, ROUND_FLOOR) / _E8)
        taken = min(can, size - gone)
        qty, levels, left = qty + taken, levels + (taken > 0), left - taken * _E8 * price
        if taken == can:
            return qty, start - left, levels, True
    return qty, start - left, levels, False


@pytest.mark.parametrize(
    ("used_e8", "sent_e8", "expected"),
    [
        (0, 10, (10, 1, True, 10)),
        (0, 35, (35, 2, True, 35)),
        (30, 10, (10, 1, True, 40)),
        (25, 10, (10, 2, True, 35)),
        (0, 61, (60, 2, False, 60)),
        (60, 1, (0, 0, False, 60)),
    ],
)
def test_sell_takes_bids_from_the_best_on(used_e8: int, sent_e8: int, expected: tuple[int, int, bool, int]) -> None:
    """Two bids of 30; what was used before is not there."""
    done = take_bids(np.array([100.0, 99.0]), np.array([30, 30]), np.inf, used_e8, sent_e8)

    assert (done.qty_e8, done.levels, done.is_whole, done.reached_e8) == expected


@pytest.mark.parametrize(
    ("used_e8", "last", "krw", "expected"),
    [
        (0, NOBODY, 1_000.0, (10, 1, True, 10)),
        (0, NOBODY, 4_000.0, (39, 2, True, 39)),  # 30 at 100, and 9 of the 9.9 that 1,000 buy at 101
        (25, NOBODY, 1_000.0, (9, 2, True, 34)),
        (30, NOBODY, 1_000.0, (9, 1, True, 39)),
        (0, 101.0, 1_000.0, (9, 1, True, 39)),  # the level below the trade is gone for good
        (55, NOBODY, 1_000.0, (5, 1, False, 60)),
        (60, NOBODY, 1_000.0, (0, 0, False, 60)),
    ],
)
def test_buy_takes_asks_from_the_best_on(
    used_e8: int, last: float, krw: float, expected: tuple[int, int, bool, int]
) -> None:
    """Two asks of 30 coins at 100 and 101 KRW, in whole coins: amounts are 1e-8 of the numbers here."""
    done = take_asks(np.array([100.0, 101.0]), np.array([30, 30]), last, used_e8, krw / 10**8)

    assert (done.qty_e8, done.levels, done.is_whole, done.reached_e8) == expected


def test_price_of_an_execution_is_funds_by_quantity() -> None:
    """And none where nothing was executed."""
    both = take_bids(np.array([100.0, 97.0]), np.array([20, 10]), np.inf, 0, 30)
    none = take_bids(np.array([100.0, 97.0]), np.array([20, 10]), 96.0, 0, 30)

    assert both.price == pytest.approx(99.0, abs=1e-12)
    assert np.isnan(none.price)


@pytest.mark.parametrize(("now", "row"), [(99, -1), (100, 0), (149, 0), (150, 1), (200, 2), (10_200, 2), (10_201, -1)])
def test_newest_book_is_of_no_later_time_and_at_most_10_s_old(now: int, row: int) -> None:
    """Books at 100, 150 and 200 ms."""
    assert newest_book(np.array([100, 150, 200]), now) == row


def test_side_is_behind_when_the_trade_shows_all_of_it_to_be_gone() -> None:
    """Asks below the trade, bids above it; one level that can stand is enough."""
    price, size = np.array([100.0, 101.0, 0.0]), np.array([5, 5, 0])

    assert [is_behind(price, size, 1, last) for last in (100.0, 101.0, 101.5)] == [False, False, True]
    assert [is_behind(price[::-1].copy(), size[::-1].copy(), -1, last) for last in (101.0, 100.0, 99.5)] == [
        False,
        False,
        True,
    ]


def test_every_model_but_the_default_says_what_it_assumes() -> None:
    """A reader must know; the default is section 5 of the design itself."""
    assert [name for name, model in FILL_MODELS.items() if not model.caveat] == ["spread"]
    assert [name for name, model in FILL_MODELS.items() if model.is_by_depth] == ["book"]
