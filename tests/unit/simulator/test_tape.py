"""Trades made from candles add up to those candles, however the recording is cut."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickloop.domain.bars import build_bars
from tickloop.domain.window import MINUTE_MS
from tickloop.simulator.prices.recording import CANDLE_COLUMNS, TRADE_COLUMNS, Recording, load_recording, recording_of
from tickloop.simulator.prices.tape import CHANGES, SIDES, Tape, trades_as_recorded, trades_from_candles

MINUTE = 1_705_881_600_000  # 2024-01-22T00:00Z
ONE_WEEK = 10_000  # candles
SHOWN = ["ts_open", "open", "high", "low", "close", "volume"]


@pytest.fixture(scope="module")
def shipped() -> Recording:
    return load_recording("candles")


def recorded(rows: list[dict[str, Any]], market: str = "KRW-BTC") -> pl.DataFrame:
    frame = pl.DataFrame([{"market": market, **row} for row in rows], schema=CANDLE_COLUMNS)
    return recording_of("candles", "candles", frame, "here").frames[market]


def assert_bars_are(candles: pl.DataFrame, tape: Tape) -> None:
    bars = build_bars(tape.frame()).with_columns(pl.col("ts_open").dt.epoch("ms"))
    assert bars.select(SHOWN).equals(candles.select(SHOWN))


def same(one: Tape, other: Tape) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(vars(one).values(), vars(other).values(), strict=True))


@pytest.mark.parametrize(("market", "most"), [("KRW-BTC", 40), ("KRW-ETH", 39)])
def test_bars_of_made_trades_are_the_shipped_candles_to_the_bit(shipped: Recording, market: str, most: int) -> None:
    """Every candle that ships, all five numbers."""
    candles = shipped.frames[market]

    tape = trades_from_candles(market, candles, seed=7)

    assert_bars_are(candles, tape)
    assert tape.qty_e8.min() >= 1
    assert not (tape.price % 1000).any()
    counts = np.unique(tape.ts_event // MINUTE_MS, return_counts=True)[1]
    assert (counts.min(), counts.max()) == (4, most)


@st.composite
def a_candle(draw: st.DrawFn) -> dict[str, Any]:
    """Any candle of 100 to 999 KRW (step 0.1 in 2024) whose volume has a unit for each of its prices."""
    low, opening, close, high = sorted(draw(st.lists(st.integers(1001, 9989), min_size=4, max_size=4)))
    opening, close = draw(st.sampled_from([(opening, close), (close, opening), (low, high), (high, low), (low, low)]))
    prices = {"open": opening / 10, "high": high / 10, "low": low / 10, "close": close / 10}
    return {**prices, "volume": draw(st.integers(4, 2**53 - 1)) / 1e8}


@settings(max_examples=150, deadline=None)
@given(st.lists(a_candle(), min_size=1, max_size=5), st.integers(0, 2**63 - 1))
def test_bars_of_made_trades_equal_any_candle(rows: list[dict[str, Any]], seed: int) -> None:
    """Tiny and huge volumes, flat and wide candles, steps that no double holds exactly."""
    candles = recorded(
        [{"ts_open": MINUTE + MINUTE_MS * place, **row} for place, row in enumerate(rows)], market="KRW-XRP"
    )

    tape = trades_from_candles("KRW-XRP", candles, seed)

    assert_bars_are(candles, tape)
    assert np.array_equal(np.rint(tape.price * 10) / 10, tape.price)
    assert tape.qty_e8.min() >= 1


def test_one_unit_of_a_flat_candle_is_one_trade() -> None:
    """Fewer trades than four only where the volume has no more units."""
    flat = {"open": 57_000_000.0, "high": 57_000_000.0, "low": 57_000_000.0, "close": 57_000_000.0}
    candles = recorded(
        [{"ts_open": MINUTE, "volume": 1e-8, **flat}, {"ts_open": MINUTE + MINUTE_MS, "volume": 1.0, **flat}]
    )

    tape = trades_from_candles("KRW-BTC", candles, seed=1)

    assert tape.qty_e8[0] == 1
    assert (tape.ts_event < MINUTE + MINUTE_MS).sum() == 1
    assert (tape.ts_event >= MINUTE + MINUTE_MS).sum() >= 4


def test_candle_across_two_price_units_stays_on_the_common_step() -> None:
    """From 99,980 (step 10) to 100,050 (step 50): every price is a multiple of 10."""
    prices = {"open": 99_980.0, "high": 100_050.0, "low": 99_980.0, "close": 100_000.0}

    tape = trades_from_candles("KRW-SOL", recorded([{"ts_open": MINUTE, "volume": 9.0, **prices}], "KRW-SOL"), seed=3)

    assert not (tape.price % 10).any()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, ONE_WEEK), min_size=1, max_size=6))
def test_trades_do_not_depend_on_how_the_recording_is_cut(shipped: Recording, cuts: list[int]) -> None:
    """Any pieces, put together, are the whole."""
    candles = shipped.frames["KRW-BTC"][:ONE_WEEK]
    edges = [0, *sorted(cuts), ONE_WEEK]

    parts = [trades_from_candles("KRW-BTC", candles[a:b], 7) for a, b in pairwise(edges)]

    whole = trades_from_candles("KRW-BTC", candles, 7)
    for name in ("ts_event", "trade_id", "price", "qty_e8", "side", "change", "prev_close"):
        assert np.array_equal(np.concatenate([getattr(part, name) for part in parts]), getattr(whole, name))


def test_seed_and_market_each_change_the_path(shipped: Recording) -> None:
    """Same candles, other trades."""
    candles = shipped.frames["KRW-BTC"][:10]
    tape = trades_from_candles("KRW-BTC", candles, 7)

    assert same(tape, trades_from_candles("KRW-BTC", candles, 7))
    assert not np.array_equal(tape.ts_event[:4], trades_from_candles("KRW-BTC", candles, 8).ts_event[:4])
    assert not np.array_equal(tape.ts_event[:4], trades_from_candles("KRW-ETH", candles, 7).ts_event[:4])


def test_ids_are_unique_and_do_not_order_trades_of_one_millisecond(shipped: Recording) -> None:
    """As on the exchange: an order by id is wrong inside a millisecond and right across milliseconds."""
    tape = trades_from_candles("KRW-BTC", shipped.frames["KRW-BTC"][:ONE_WEEK], 7)
    shares_ms = np.diff(tape.ts_event) == 0
    falls = np.diff(tape.trade_id) < 0

    assert len(np.unique(tape.trade_id)) == len(tape)
    assert np.array_equal(tape.trade_id // 10_000, tape.ts_event)
    assert 0 < falls[shares_ms].sum() < shares_ms.sum()
    assert not falls[~shares_ms].any()


def test_upticks_are_bought_more_often_than_downticks(shipped: Recording) -> None:
    """Nine in ten against one in ten, inside the minutes."""
    tape = trades_from_candles("KRW-BTC", shipped.frames["KRW-BTC"][:ONE_WEEK], 7)
    is_inside = np.diff(tape.ts_event // MINUTE_MS) == 0
    move, side = np.diff(tape.price)[is_inside], tape.side[1:][is_inside]

    assert 0.88 < (side[move > 0] == SIDES.index("BUY")).mean() < 0.92
    assert 0.08 < (side[move < 0] == SIDES.index("BUY")).mean() < 0.12


def test_change_is_against_the_close_of_the_day_before(shipped: Recording) -> None:
    """EVEN on the first day, whose day before the recording does not know."""
    candles = shipped.frames["KRW-BTC"].filter(pl.col("ts_open") < 1_704_067_200_000 + 5 * MINUTE_MS)
    tape = trades_from_candles("KRW-BTC", candles, 7)
    is_first_day = tape.ts_event < 1_704_067_200_000
    close = candles.filter(pl.col("ts_open") < 1_704_067_200_000)["close"][-1]

    assert {CHANGES[code] for code in tape.change[is_first_day]} == {"EVEN"}
    assert np.array_equal(tape.prev_close[is_first_day], tape.price[is_first_day])
    assert set(tape.prev_close[~is_first_day]) == {close}
    assert np.array_equal(tape.change[~is_first_day] - 1.0, 0.0 + np.sign(tape.price[~is_first_day] - close))


def test_recorded_trades_keep_order_and_equal_rows_and_get_sides_by_the_tick_rule() -> None:
    """The first is a buy; an equal price keeps the side before it."""
    prices = [100.0, 100.0, 101.0, 101.0, 100.0, 100.0, 102.0]
    rows = pl.DataFrame(
        {"market": "KRW-XRP", "ts_event": [MINUTE] * 7, "price": prices, "qty": [1.0] * 7}, schema=TRADE_COLUMNS
    )

    tape = trades_as_recorded("KRW-XRP", recording_of("bursts", "trades", rows, "here").frames["KRW-XRP"], seed=1)

    assert tape.price.tolist() == prices
    assert [SIDES[code].value for code in tape.side] == ["BUY", "BUY", "BUY", "BUY", "SELL", "SELL", "BUY"]
    assert sorted(tape.trade_id.tolist()) == [MINUTE * 10_000 + n for n in range(7)]
