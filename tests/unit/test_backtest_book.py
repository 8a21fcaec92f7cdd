"""Fills from recorded order books: cases with the numbers written out, and against the reference in Decimal."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tick_reference import assert_equal, random_depth, random_market, run_reference
from tickloop.domain.backtest import run_ticks
from tickloop.domain.backtest_book import OUTCOMES, Book
from tickloop.domain.backtest_result import BacktestResult, Minutes, Setup, result_of
from tickloop.domain.depth import Depth
from tickloop.domain.fills import FILL_MODELS, FillModel
from tickloop.domain.strategy import BUY, PRESETS, Params
from tickloop.domain.tape import ForecastSeries, Tape
from tickloop.errors import UsageError

START = 1_705_881_600_000  # 2024-01-22T00:00Z, a whole minute
MINUTE = 60_000
HOUR = 3_600_000
BOOK = FILL_MODELS["book"]
SEED2023 = PRESETS["seed2023"]
SIX = SEED2023._replace(order_krw=6_000.0)
UP = {0: 60_000_000.0}

Side = list[tuple[float, int]]


def _tape(*trades: tuple[int, float]) -> Tape:
    """Trades as (ms after START, price in KRW)."""
    return Tape("KRW-BTC", np.array([START + ms for ms, _ in trades]), np.array([price for _, price in trades]))


def _forecasts(prices: dict[int, float]) -> ForecastSeries:
    """Forecasts as {minute after START: price}, usable from a second on."""
    minutes = np.array([START + minute * MINUTE for minute in sorted(prices)], np.int64)
    return ForecastSeries(minutes, np.array([prices[minute] for minute in sorted(prices)], float), minutes + 1_000)


def _depth(*books: tuple[int, Side, Side]) -> Depth:
    """Order books as (ms after START, asks, bids); a side as (price, size in 1e-8), two levels at most."""
    ts = np.array([START + ms for ms, _, _ in books], np.int64)
    sides = np.array([[(side + [(0.0, 0)] * 2)[:2] for side in book[1:]] for book in books]).reshape(-1, 2, 2, 2)
    price, size = sides[..., 0], sides[..., 1].astype(np.int64)
    return Depth(ts, price[:, 0].copy(), size[:, 0].copy(), price[:, 1].copy(), size[:, 1].copy())


def _run(
    tape: Tape, depth: Depth, params: Params = SIX, forecasts: dict[int, float] = UP, model: FillModel = BOOK
) -> Book:
    return run_ticks(tape, _forecasts(forecasts), params, model, 50_000.0, depth=depth)


def _orders(book: Book) -> list[tuple[str, str, float, int, int, int]]:
    """(side, outcome, fill price, quantity, levels, time of the order book after START or -1)."""
    return [
        (
            "buy" if row["side"] == BUY else "sell",
            OUTCOMES[row["outcome"]],
            float(row["fill_price"]),
            int(row["qty_e8"]),
            int(row["levels"]),
            int(row["book_ms"]) - START if row["book_ms"] >= 0 else -1,
        )
        for row in book.orders[: book.purse[0]["orders"]]
    ]


def _result(book: Book, tape: Tape) -> BacktestResult:
    setup = Setup("KRW-BTC", "seed2023", "ridge-2", "ticks", False, "book", 300, 50_000.0, SIX)
    return result_of(book, setup, Minutes(tape.ts_ms[-1:] // MINUTE * MINUTE, tape.price[-1:]))


BIDS: Side = [(49_999_000.0, 100_000_000)]


def test_buy_walks_up_the_asks_of_the_newest_book_before_its_fill() -> None:
    """4,000 of 0.00008 BTC at 50,000,000; the other 2,000 KRW buy 0.00003996 at 50,050,000: 5,999.998 in all."""
    asks: Side = [(50_000_000.0, 8_000), (50_050_000.0, 100_000_000)]
    tape = _tape((1_000, 50e6), (1_300, 50e6))
    depth = _depth((900, [(49e6, 10**8)], BIDS), (1_299, asks, BIDS), (1_301, [(51e6, 10**8)], BIDS))

    book = _run(tape, depth)

    assert _orders(book) == [("buy", "filled", pytest.approx(5_999.998 / 0.00011996), 11_996, 2, 1_299)]
    assert book.orders[0]["funds"] == pytest.approx(4_000 + 1_999.998, abs=1e-9)
    assert book.entry[0] == book.orders[0]["fill_price"]
    assert book.purse[0]["cash"] == pytest.approx(50_000 - 5_999.998 * 1.0005, abs=1e-9)


def test_entry_of_a_buy_at_one_price_is_that_price() -> None:
    """Not the quotient of its funds and volume, which may lie a bit beside it."""
    for price in (50_000_000.0, 50_003_000.0, 49_999_000.0):
        book = _run(_tape((1_000, 49e6), (1_300, 49e6)), _depth((1_000, [(price, 10**8)], BIDS)))

        assert book.entry[0] == price


def test_buy_takes_no_more_than_the_recorded_book_holds() -> None:
    """Two levels of 0.00004 BTC: 2,000 + 2,002 KRW of 6,000; the rest is cancelled and its cash stays."""
    tape = _tape((1_000, 50e6), (1_300, 50e6))
    book = _run(tape, _depth((1_000, [(50e6, 4_000), (50_050_000.0, 4_000)], BIDS)))

    assert _orders(book) == [("buy", "partial", pytest.approx(50_025_000.0), 8_000, 2, 1_000)]
    assert book.purse[0]["cash"] == pytest.approx(50_000 - 4_002 * 1.0005, abs=1e-9)
    assert _result(book, tape).summary()["partial"] == 1


def test_asks_below_the_trade_are_gone() -> None:
    """A trade at 50,050,000 cannot be while somebody offers at 50,000,000."""
    book = _run(
        _tape((1_000, 50e6), (1_300, 50_050_000.0)), _depth((1_000, [(50e6, 10**8), (50_050_000.0, 10**8)], BIDS))
    )

    assert _orders(book) == [("buy", "filled", 50_050_000.0, 11_988, 1, 1_000)]


@pytest.mark.parametrize(
    ("depth", "why"),
    [
        (_depth((1_301, [(50e6, 10**8)], BIDS)), "of a later time"),
        (_depth((-8_701, [(50e6, 10**8)], BIDS)), "older than 10 s"),
        (_depth((1_000, [(49e6, 10**8), (49_500_000.0, 10**8)], BIDS)), "all of it below the trade"),
        (_depth((1_000, [], BIDS)), "without an ask"),
        (_depth(), "none at all"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_without_a_book_that_can_stand_the_fill_is_a_tick_against_us_and_counted(depth: Depth, why: str) -> None:
    """As `spread` does it, and the result says how often."""
    tape = _tape((1_000, 50e6), (1_300, 50_002_000.0))

    book = _run(tape, depth)

    assert _orders(book) == [("buy", "filled", 50_003_000.0, 11_999, 1, -1)], why
    assert _result(book, tape).summary()["fills_without_depth"] == 1


def test_book_of_exactly_10_s_before_still_counts() -> None:
    """Fill at 1,300, book at 1,300 - 10,000."""
    book = _run(_tape((1_000, 50e6), (1_300, 50e6)), _depth((-8_700, [(50e6, 10**8)], BIDS)))

    assert _orders(book)[0][-1] == -8_700
    assert _result(book, _tape((1_300, 50e6))).summary()["fills_without_depth"] == 0


def test_two_orders_never_take_the_same_size_of_one_book() -> None:
    """0.00017 BTC at the best ask: 0.00012 for the first buy, 0.00005 for the second; the third has what it left."""
    params = SIX._replace(cooldown_ms=200)
    asks: Side = [(50e6, 17_000), (50_100_000.0, 16_986)]
    tape = _tape(*((ms, 50e6) for ms in (1_000, 1_300, 1_600, 1_900, 2_200)))

    book = _run(tape, _depth((1_299, asks, BIDS), (1_901, asks, BIDS)), params)

    # Decided at each trade and filled at the next: the fourth from a newer book, whole again.
    assert [order[1:2] + order[3:] for order in _orders(book)[:4]] == [
        ("filled", 12_000, 1, 1_299),
        ("filled", 5_000 + 6_986, 2, 1_299),
        ("partial", 10_000, 1, 1_299),
        ("filled", 12_000, 1, 1_901),
    ]


def test_order_that_finds_nothing_left_does_not_fill() -> None:
    """The first buy took all that the book held; the second gets nothing and its cash back."""
    params = SIX._replace(cooldown_ms=200)
    tape = _tape((1_000, 50e6), (1_300, 50e6), (1_600, 50e6))

    book = _run(tape, _depth((1_000, [(50e6, 4_000)], BIDS)), params)

    assert [order[:2] for order in _orders(book)[:2]] == [("buy", "partial"), ("buy", "no_fill")]
    assert book.purse[0]["cash"] == pytest.approx(50_000 - 2_000 * 1.0005, abs=1e-9)


def test_sell_that_fills_in_part_takes_the_oldest_lots_first() -> None:
    """Two lots of 0.00011999 and 0.00012; bids for 0.00015: the first goes whole, of the second 0.00003001."""
    buys = ((1_000, 50e6), (1_300, 50e6), (62_000, 50e6), (62_300, 50e6))
    tape = _tape(*buys, (120_000, 51e6), (120_300, 51e6), (121_000, 51e6))
    depth = _depth(
        (1_300, [(50_003_000.0, 10**8)], BIDS),
        (62_300, [(50e6, 10**8)], BIDS),
        (120_000, [(51_001_000.0, 10**8)], [(51e6, 10_000), (50_900_000.0, 5_000)]),
    )

    book = _run(tape, depth, forecasts={0: 60e6, 1: 60e6})

    assert _orders(book)[2] == ("sell", "partial", pytest.approx((51e6 * 2 + 50.9e6) / 3), 15_000, 2, 120_000)
    assert book.orders[2]["sent_e8"] == 11_999 + 12_000
    assert book.trips[:2].tolist() == [[0, 2, 11_999], [1, 2, 3_001]]
    assert (book.purse[0]["lots"], book.qty_e8[0], book.entry[0], book.bought_by[0]) == (1, 8_999, 50e6, 1)
    # What is left is worth 4,589 KRW: too small to be sent.
    assert book.purse[0]["orders"] == 3


def test_bids_above_the_trade_are_gone() -> None:
    """A trade at 51,000,000 after a bid of 51,100,000 shows that the bid is gone."""
    tape = _tape((1_000, 50e6), (1_300, 50e6), (2_000, 51_100_000.0), (2_300, 51e6))
    depth = _depth(
        (1_000, [(50e6, 10**8)], BIDS), (2_000, [(51_200_000.0, 10**8)], [(51_100_000.0, 10**8), (51e6, 10**8)])
    )

    assert _orders(_run(tape, depth))[1] == ("sell", "filled", 51e6, 12_000, 1, 2_000)


def test_profit_of_a_lot_sold_in_parts_is_that_of_its_parts() -> None:
    """What a part cost is its share of the buy with its fee; all parts together give the cash."""
    params = SEED2023._replace(order_krw=20_000.0)
    tape = _tape((1_000, 50e6), (1_300, 50e6), (2_000, 51e6), (2_300, 51e6), (15_000, 51e6), (15_300, 51e6))
    depth = _depth(
        (1_000, [(50e6, 10**8)], BIDS),
        (2_000, [(51_001_000.0, 10**8)], [(51e6, 15_000)]),
        (15_000, [(51_001_000.0, 10**8)], [(51e6, 25_000)]),
    )

    book = _run(tape, depth, params)
    result = _result(book, tape)

    assert result.orders["outcome"].to_list() == ["filled", "partial", "filled"]
    assert result.trips["qty_e8"].to_list() == [15_000, 25_000]
    assert result.trips["profit_krw"].to_list() == pytest.approx(
        [7_650 * 0.9995 - 7_500 * 1.0005, 12_750 * 0.9995 - 12_500 * 1.0005]
    )
    assert 50_000 + result.trips["profit_krw"].sum() == pytest.approx(book.purse[0]["cash"], abs=1e-9)
    assert result.equity["cash"][-1] == pytest.approx(book.purse[0]["cash"], abs=1e-9)
    assert (result.summary()["partial"], result.summary()["sells"], result.summary()["fills_without_depth"]) == (
        1,
        2,
        0,
    )


def test_model_book_without_recorded_books_is_refused() -> None:
    """Before anything is computed, and with what would be valid."""
    with pytest.raises(UsageError, match=r"fill model 'book' needs recorded order books.*with_orderbook"):
        run_ticks(_tape((1_000, 50e6)), _forecasts(UP), SIX, BOOK, 50_000.0)


def test_other_models_look_at_no_book() -> None:
    """`spread` with and without recorded books gives the same."""
    tape = _tape((1_000, 50e6), (1_300, 50e6))
    spread = FILL_MODELS["spread"]

    book = _run(tape, _depth((1_000, [(49e6, 10**8)], BIDS)), model=spread)

    assert _orders(book) == _orders(run_ticks(tape, _forecasts(UP), SIX, spread, 50_000.0))
    assert _result(book, tape).orders["book_at"].to_list() == [None]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    latency_ms=st.sampled_from([0, 300, 20_000]),
    preset=st.sampled_from(sorted(PRESETS)),
    order_krw=st.sampled_from([6_000.0, 20_000.0]),
    levels=st.integers(1, 5),
    coins=st.sampled_from([0.0005, 0.003, 0.05]),
    gap_ms=st.sampled_from([400, 5_000]),
    pace_ms=st.sampled_from([(60_000, 3_600_000), (200, 5_000)]),
)
def test_orders_equal_those_of_the_reference(
    seed: int,
    latency_ms: int,
    preset: str,
    order_krw: float,
    levels: int,
    coins: float,
    gap_ms: int,
    pace_ms: tuple[int, int],
) -> None:
    """Whole and partial fills, sides that are used up, old or behind: the list is equal, and so is the money.

    With a short cooldown and holding many orders fill from one book.
    """
    tape, forecasts = random_market(seed, 600)
    depth = random_depth(tape, seed, levels, coins, gap_ms)
    cooldown_ms, hold_ms = pace_ms
    params = PRESETS[preset]._replace(order_krw=order_krw, cooldown_ms=cooldown_ms, hold_ms=hold_ms)
    model = FillModel("book", latency_ms, 1, is_by_depth=True)

    book = run_ticks(tape, forecasts, params, model, 50_000.0, depth=depth)

    assert_equal(book, run_reference(tape, forecasts, params, model, 50_000, depth))


@pytest.mark.parametrize("seed", range(3))
def test_skipping_trades_changes_nothing(seed: int) -> None:
    """And every kind of outcome comes up, so that the reference was asked about each."""
    tape, forecasts = random_market(seed)
    depth = random_depth(tape, seed, 3, 0.003, 2_000)

    skipping = run_ticks(tape, forecasts, SEED2023, BOOK, 50_000.0, depth=depth)
    every = run_ticks(tape, forecasts, SEED2023, BOOK, 50_000.0, depth=depth, is_skipping=False)

    sent = skipping.purse[0]["orders"]
    assert skipping.orders[:sent].tobytes() == every.orders[:sent].tobytes()
    assert skipping.purse.tobytes() == every.purse.tobytes()
    found = skipping.orders[:sent]
    assert {OUTCOMES[outcome] for outcome in found["outcome"]} >= {"filled", "partial", "no_fill"}
    assert (found["book_ms"][found["filled_ms"] >= 0] == -1).any()
    assert (found["levels"] > 1).any()
