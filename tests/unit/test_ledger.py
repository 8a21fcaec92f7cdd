"""The completeness ledger: the state of a minute, and the bar that stands for it."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import pytest

from fakes import START_MS
from tickloop.domain.bars import bars_from_candles, build_bars, candle_frame, trade_frame
from tickloop.domain.ledger import classify, classify_backfill, label_bars, pending_ranges
from tickloop.domain.market import Candle, Change, Side, Source, Trade
from tickloop.domain.tables import LEDGER, REPAIR
from tickloop.domain.window import MINUTE_MS, Window, to_ms
from tickloop.errors import DataError

MINUTE = Window(START_MS, START_MS + MINUTE_MS)


def trades_of(*quantities: int, source: Source = Source.STREAM, minute: int = 0) -> list[Trade]:
    start = START_MS + minute * MINUTE_MS
    return [
        Trade("KRW-BTC", start + i, start + i, 0, start + i, 100.0 + i, qty, Side.BUY, Change.RISE, source)
        for i, qty in enumerate(quantities)
    ]


def candle(volume: float, minute: int = 0) -> Candle:
    return Candle("KRW-BTC", START_MS + minute * MINUTE_MS, 100.0, 101.0, 100.0, 101.0, volume, None)


def asked(outcome: str | None, minute: int = 0) -> pl.DataFrame:
    if outcome is None:
        return REPAIR.empty()
    at = START_MS + minute * MINUTE_MS
    return pl.DataFrame([("KRW-BTC", at, at, outcome, 0)], schema=REPAIR.columns, orient="row")


STREAM, REST = Source.STREAM, Source.REST
CASES = [
    # our quantities, source, candle volume, REST outcome -> state, reason, is_rounded
    ((10_000_000, 20_000_000), STREAM, 0.3, None, "verified", None, False),
    ((10_000_000, 20_000_000), REST, 0.3, "fetched", "repaired", None, False),
    ((), STREAM, None, None, "no_trade", None, False),
    ((1,), STREAM, None, None, "unknown", "excess", False),
    ((30_000_001,), STREAM, 0.3, None, "unknown", "excess", False),
    ((30_000_001,), REST, 0.3, "fetched", "unknown", "excess", False),
    ((29_999_999,), STREAM, 0.3, None, "unknown", "pending", False),
    ((), STREAM, 0.3, None, "unknown", "pending", False),
    ((29_999_999,), STREAM, 0.3, "fetched", "candle", "short", False),
    ((29_999_999,), REST, 0.3, "fetched", "candle", "short", False),
    ((), STREAM, 0.3, "gone", "candle", "gone", False),
    # 23,456,789.87654321 is printed by the exchange one unit of a double's last place lower
    ((2_345_678_987_654_321,), STREAM, 23_456_789.876543205, None, "verified", None, True),
    ((2_345_678_987_654_321,), STREAM, 23_456_789.87654321, None, "verified", None, False),
    ((2_345_678_987_654_321,), STREAM, 23_456_789.876544, None, "unknown", "pending", False),
    # below 1e7 there is no rounding to allow for
    ((987_654_321_000_000,), STREAM, 9_876_543.210000003, None, "unknown", "pending", False),
    # more than 64 bits of 1e-8 in one minute
    ((9 * 10**18, 9 * 10**18), STREAM, 1.8e11, None, "verified", None, False),
]


@pytest.mark.parametrize(("ours", "source", "theirs", "outcome", "state", "reason", "is_rounded"), CASES)
def test_a_minute_is_classified(
    ours: Sequence[int],
    source: Source,
    theirs: float | None,
    outcome: str | None,
    state: str,
    reason: str | None,
    is_rounded: bool,
) -> None:
    """The table of design.md section 4."""
    candles = candle_frame([] if theirs is None else [candle(theirs)])

    rows = classify("KRW-BTC", MINUTE, trade_frame(trades_of(*ours, source=source)), candles, asked(outcome))

    assert rows.schema == LEDGER.empty().schema
    assert rows.select("state", "reason", "is_rounded", "trades").row(0) == (state, reason, is_rounded, len(ours))


def test_one_rest_trade_among_many_makes_a_minute_repaired() -> None:
    """`repaired` follows from the sources of the trades alone."""
    trades = [*trades_of(1, 2), *trades_of(5, source=Source.REST)[:1]]
    trades[-1] = Trade("KRW-BTC", 7, START_MS + 9, 0, 7, 100.0, 5, Side.BUY, Change.RISE, Source.REST)

    rows = classify("KRW-BTC", MINUTE, trade_frame(trades), candle_frame([candle(8e-8)]), asked("fetched"))

    assert rows["state"].to_list() == ["repaired"]


def test_every_minute_of_the_window_has_one_row() -> None:
    """Also those where neither side has anything."""
    window = Window(START_MS, START_MS + 60 * MINUTE_MS)

    rows = classify("KRW-BTC", window, trade_frame(trades_of(5, minute=7)), candle_frame([]), REPAIR.empty())

    assert [to_ms(minute) for minute in rows["minute"]] == list(range(window.start_ms, window.end_ms, MINUTE_MS))
    assert rows["state"].value_counts().sort("state").rows() == [("no_trade", 59), ("unknown", 1)]


def test_pending_minutes_come_as_contiguous_ranges() -> None:
    """REST is asked once for neighbours."""
    window = Window(START_MS, START_MS + 10 * MINUTE_MS)
    candles = candle_frame([candle(1.0, minute) for minute in (1, 2, 3, 6, 9)])
    rows = classify("KRW-BTC", window, trade_frame([]), candles, asked("gone", minute=9))

    assert pending_ranges(rows) == [
        Window(START_MS + 1 * MINUTE_MS, START_MS + 4 * MINUTE_MS),
        Window(START_MS + 6 * MINUTE_MS, START_MS + 7 * MINUTE_MS),
    ]


def test_back_filled_minutes_are_candle_or_no_trade() -> None:
    """Their trades were not asked for, so nothing is said of ours."""
    window = Window(START_MS, START_MS + 2 * MINUTE_MS)

    rows = classify_backfill("KRW-BTC", window, candle_frame([candle(1.5, 1)]))

    assert rows.schema == LEDGER.empty().schema
    columns = rows.select("state", "reason", "our_volume", "candle_volume", "trades").rows()
    assert columns == [("no_trade", None, None, None, 0), ("candle", "backfill", None, 1.5, 0)]


def test_bars_follow_the_ledger() -> None:
    """Ours where verified or repaired, the candle's elsewhere, none where the exchange has none."""
    window = Window(START_MS, START_MS + 6 * MINUTE_MS)
    trades = trade_frame(
        [
            *trades_of(10, minute=0),
            *trades_of(20, source=Source.REST, minute=1),
            *trades_of(5, minute=2),  # short, asked: candle
            *trades_of(50, minute=3),  # more than the candle: unknown
            *trades_of(1, minute=4),  # no candle: unknown without a bar
        ]
    )
    volumes = {0: 10e-8, 1: 20e-8, 2: 9e-8, 3: 40e-8}
    candles = candle_frame([candle(volume, minute) for minute, volume in volumes.items()])
    ledger = classify("KRW-BTC", window, trades, candles, asked("fetched", minute=2))

    bars = label_bars(build_bars(trades), bars_from_candles(candles), ledger)

    found = bars.select(pl.col("ts_open").dt.minute(), "state", "volume", "trades").rows()
    assert found == [
        (0, "verified", 10e-8, 1),
        (1, "repaired", 20e-8, 1),
        (2, "candle", 9e-8, None),
        (3, "unknown", 40e-8, None),
    ]


def test_a_ledger_that_calls_for_a_missing_candle_is_an_error() -> None:
    """A bar is never dropped in silence."""
    ledger = classify("KRW-BTC", MINUTE, trade_frame([]), candle_frame([candle(1.0)]), asked("gone"))

    with pytest.raises(DataError, match="is candle in the ledger"):
        label_bars(build_bars(trade_frame([])), bars_from_candles(candle_frame([])), ledger)
