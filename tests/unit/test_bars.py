"""Bars from trades and from candles."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import START_MS
from tickloop.domain.bars import bars_from_candles, bars_of_trades, build_bars, candle_frame, trade_frame
from tickloop.domain.market import Candle, Change, Side, Trade
from tickloop.domain.tables import BAR_1M, CANDLE, TRADE, TRADE_ORDER
from tickloop.errors import DataError, UnsortedTradesError

T0 = datetime(2024, 1, 22, tzinfo=UTC)


def trade(at_ms: int, price: float, qty_e8: int, side: Side = Side.BUY, change: Change = Change.RISE) -> Trade:
    return Trade("KRW-BTC", at_ms + 1, START_MS + at_ms, 0, at_ms + 1, price, qty_e8, side, change)


def test_bar_with_one_trade_has_equal_open_and_close() -> None:
    """One trade fills every column of its bar."""
    bars = build_bars(trade_frame([trade(30_000, 57_000_000.0, 10_000_000)]))

    assert bars.to_dicts() == [
        {
            "market": "KRW-BTC",
            "ts_open": T0,
            "open": 57_000_000.0,
            "high": 57_000_000.0,
            "low": 57_000_000.0,
            "close": 57_000_000.0,
            "vwap": 57_000_000.0,
            "mean_price": 57_000_000.0,
            "volume": 0.1,
            "notional": 5_700_000.0,
            "trades": 1,
            "buy_volume": 0.1,
            "sell_volume": 0.0,
            "change_mode": "RISE",
            "state": "unknown",
        }
    ]


def test_minutes_are_half_open_and_empty_minutes_have_no_bar() -> None:
    """A trade at 00:01:00.000 belongs to the minute that starts there."""
    bars = build_bars(trade_frame([trade(59_999, 1.0, 1), trade(60_000, 2.0, 1), trade(180_000, 3.0, 1)]))

    assert [opened.minute for opened in bars["ts_open"]] == [0, 1, 3]
    assert bars["close"].to_list() == [1.0, 2.0, 3.0]


def test_a_bar_sums_its_trades_by_side_and_weight() -> None:
    """Extremes, weighted and plain mean, exact volumes."""
    rows = [
        trade(0, 100.0, 10_000_000, Side.BUY),
        trade(1, 120.0, 20_000_000, Side.SELL),
        trade(2, 90.0, 10_000_000, Side.BUY),
    ]

    bar = build_bars(trade_frame(rows)).row(0, named=True)

    assert (bar["open"], bar["high"], bar["low"], bar["close"]) == (100.0, 120.0, 90.0, 90.0)
    assert (bar["volume"], bar["buy_volume"], bar["sell_volume"]) == (0.4, 0.2, 0.2)
    assert (bar["notional"], bar["vwap"], bar["trades"]) == (43.0, 107.5, 3)
    assert bar["mean_price"] == pytest.approx(103.33333333333333, abs=1e-12)


def test_volume_is_the_exact_sum_of_its_quantities() -> None:
    """0.1 + 0.2 is 0.3, as the exchange prints it."""
    bars = build_bars(trade_frame([trade(0, 1.0, 10_000_000), trade(1, 1.0, 20_000_000)]))

    assert bars["volume"][0] == 0.3


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ("RISE RISE FALL", "RISE"),
        ("EVEN FALL RISE", "FALL"),
        ("RISE EVEN", "EVEN"),
        ("EVEN", "EVEN"),
    ],
)
def test_change_mode_is_the_most_frequent_and_of_equals_the_first(changes: str, expected: str) -> None:
    """Ties go to the first of FALL, EVEN, RISE."""
    rows = [trade(at, 1.0, 1, change=Change(name)) for at, name in enumerate(changes.split())]

    assert build_bars(trade_frame(rows))["change_mode"].to_list() == [expected]


def test_no_trades_give_an_empty_frame_of_the_contract() -> None:
    """Empty in, empty out, same columns and types."""
    assert build_bars(TRADE.empty()).schema == BAR_1M.empty().schema


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (replace(trade(1, 1.0, 1), price=float("nan")), "trade row 1: price is nan"),
        (replace(trade(1, 1.0, 1), price=float("inf")), "trade row 1: price is inf"),
        (replace(trade(1, 1.0, 1), price=-5.0), "trade row 1: price is -5.0"),
        (replace(trade(1, 1.0, 1), qty_e8=0), "trade row 1: qty_e8 is 0"),
        (replace(trade(1, 1.0, 1), market="KRW-ETH"), "one market at a time"),
        (replace(trade(1, 1.0, 1), qty_e8=2**63 - 1), "past 64 bits"),
    ],
)
def test_a_trade_that_cannot_be_is_refused_with_row_and_field(row: Trade, message: str) -> None:
    """Corrupt data stops the line."""
    with pytest.raises(DataError, match=message):
        build_bars(trade_frame([trade(0, 1.0, 1), row]))


def test_a_null_is_refused() -> None:
    """A missing price is no price."""
    rows = trade_frame([trade(0, 1.0, 1), trade(1, 1.0, 1)])

    with pytest.raises(DataError, match="trade row 1: price is null"):
        build_bars(rows.with_columns(price=pl.Series([1.0, None])))


def test_trades_that_go_back_in_time_are_refused() -> None:
    """Also within one minute, where the bar would look right."""
    rows = trade_frame([trade(1, 1.0, 1), trade(5, 1.0, 1)]).reverse()

    with pytest.raises(UnsortedTradesError, match="trade row 1"):
        build_bars(rows)


TRADES = st.lists(
    st.builds(
        trade,
        st.integers(0, 600_000),
        st.integers(1, 10**8).map(float),
        st.integers(1, 10**12),
        st.sampled_from(Side),
        st.sampled_from(Change),
    ),
    min_size=1,
    max_size=60,
    unique_by=lambda one: one.trade_id,
)


@settings(max_examples=60, deadline=None)
@given(TRADES, st.randoms(use_true_random=False))
def test_shuffled_chunks_give_the_bars_of_the_whole_and_keep_its_volume(trades: list[Trade], random: object) -> None:
    """Sorting makes the order of arrival in chunks irrelevant, bit for bit; no quantity is lost or made."""
    chunks = [trade_frame(trades[start : start + 7]) for start in range(0, len(trades), 7)]
    random.shuffle(chunks)  # type: ignore[attr-defined]

    bars = build_bars(pl.concat(chunks).sort(TRADE_ORDER))

    assert bars.equals(build_bars(trade_frame(trades)))
    assert bars["trades"].sum() == len(trades)
    assert sum(round(volume * 1e8) for volume in bars["volume"]) == sum(one.qty_e8 for one in trades)
    assert ((bars["vwap"] >= bars["low"] * (1 - 1e-12)) & (bars["vwap"] <= bars["high"] * (1 + 1e-12))).all()


@given(TRADES, st.randoms(use_true_random=False))
def test_trades_of_a_stream_give_the_bars_of_their_frame_in_any_order(trades: list[Trade], random: Any) -> None:
    """The short way is the same arithmetic."""
    shuffled = [replace(one, side=random.choice(list(Side)), change=random.choice(list(Change))) for one in trades]
    whole = build_bars(trade_frame(shuffled))
    random.shuffle(shuffled)

    assert bars_of_trades(shuffled).equals(whole)


def test_trades_of_a_stream_that_cannot_be_are_refused_as_in_a_frame() -> None:
    """A price of 0, and trades of two markets."""
    good = trade(0, 100.0, 1)

    with pytest.raises(DataError, match="price is 0"):
        bars_of_trades([good, replace(good, price=0.0)])
    with pytest.raises(DataError, match="one market at a time"):
        bars_of_trades([good, replace(good, market="KRW-ETH")])


def test_a_bar_from_a_candle_is_null_where_a_candle_does_not_tell() -> None:
    """vwap comes from the turnover, and is null without one."""
    candles = [
        Candle("KRW-BTC", START_MS, 100.0, 120.0, 90.0, 110.0, 0.5, 52.0),
        Candle("KRW-BTC", START_MS + 60_000, 110.0, 110.0, 110.0, 110.0, 0.5, None),
    ]

    bars = bars_from_candles(candle_frame(candles))

    assert bars.schema == BAR_1M.empty().schema
    assert bars["state"].to_list() == ["candle", "candle"]
    assert bars["vwap"].to_list() == [104.0, None]
    unknown = bars.select("mean_price", "trades", "buy_volume", "sell_volume", "change_mode")
    assert unknown.row(0) == (None,) * 5


def test_no_candles_give_an_empty_frame() -> None:
    """Empty in, empty out."""
    assert candle_frame([]).schema == CANDLE.empty().schema
    assert bars_from_candles(candle_frame([])).schema == BAR_1M.empty().schema


@pytest.mark.parametrize(
    ("candle", "field"),
    [
        (Candle("KRW-BTC", START_MS, float("nan"), 2.0, 1.0, 1.0, 1.0, None), "open is nan"),
        (Candle("KRW-BTC", START_MS, 1.0, 2.0, 1.5, 1.5, 1.0, None), "low is 1.5"),
        (Candle("KRW-BTC", START_MS, 1.0, 0.5, 0.5, 0.5, 1.0, None), "high is 0.5"),
        (Candle("KRW-BTC", START_MS, 1.0, 1.0, 1.0, 1.0, -1.0, None), "volume is -1.0"),
    ],
)
def test_a_candle_that_cannot_be_is_refused(candle: Candle, field: str) -> None:
    """Prices outside [low, high], and volumes below zero, are errors of the source."""
    with pytest.raises(DataError, match=field):
        bars_from_candles(candle_frame([candle]))
