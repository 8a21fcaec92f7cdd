"""Recent bars: what is a bar, what is asked from the exchange, and what is only counted."""

from __future__ import annotations

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import START_MS
from tickloop.domain.bars import build_bars, candle_frame, trade_frame
from tickloop.domain.market import Candle, Change, Side, Trade
from tickloop.domain.recent_bars import RecentBars
from tickloop.domain.tables import BAR_1M
from tickloop.domain.window import MINUTE_MS

MARKET = "KRW-BTC"


def trade(trade_id: int, at_ms: int, price: float = 100.0, qty_e8: int = 100_000_000) -> Trade:
    """A trade `at_ms` after the start."""
    ts = START_MS + at_ms
    return Trade(MARKET, trade_id, ts, ts * 1_000_000, ts * 1_000_000 + trade_id, price, qty_e8, Side.BUY, Change.RISE)


def candle(minute: int, close: float = 100.0) -> Candle:
    return Candle(MARKET, START_MS + minute * MINUTE_MS, 100.0, max(100.0, close), 100.0, close, 2.0, 200.0)


def connected() -> RecentBars:
    """Recent bars whose stream is open since the start."""
    recent = RecentBars(MARKET, 10)
    recent.lost(None, START_MS)
    return recent


def minutes_of(recent: RecentBars) -> list[int]:
    return [(ts - START_MS) // MINUTE_MS for ts in recent.frame()["ts_open"].to_physical().to_list()]


def at(minute: int) -> int:
    return START_MS + minute * MINUTE_MS


def test_closed_minute_is_a_bar_of_its_trades() -> None:
    """Open, high, low, close and volume are those of the minute's trades in trade order."""
    recent = connected()
    for one in (trade(2, 2_000, 120.0), trade(1, 1_000, 110.0), trade(3, 59_999, 90.0, 50_000_000)):
        recent.add(one)

    missing = recent.close(at(1))

    assert missing == []
    row = recent.frame().row(0, named=True)
    assert (row["open"], row["high"], row["low"], row["close"], row["volume"]) == (110.0, 120.0, 90.0, 90.0, 2.5)
    assert recent.frame().schema == pl.Schema(BAR_1M.columns)


def test_minute_without_a_trade_has_no_bar_and_is_not_asked_for() -> None:
    """Silence of an open stream is a fact, not a gap."""
    recent = connected()
    recent.add(trade(1, 0))
    recent.add(trade(2, 2 * MINUTE_MS))

    assert recent.close(at(3)) == []
    assert minutes_of(recent) == [0, 2]


def test_open_minute_is_shown_apart_and_is_no_closed_bar() -> None:
    """The minute under way has a bar so far."""
    recent = connected()
    recent.add(trade(1, 0, 100.0))
    recent.close(at(1))
    recent.add(trade(2, MINUTE_MS + 5, 130.0))

    assert minutes_of(recent) == [0]
    assert recent.open_bars()["close"].to_list() == [130.0]
    assert recent.last_price() == 130.0


def test_repeated_trade_is_counted_once() -> None:
    """A reconnect sends the newest trade again: open or closed, it changes nothing."""
    recent = connected()
    taken = [recent.add(trade(1, 10)), recent.add(trade(1, 10))]
    recent.close(at(1))
    taken.append(recent.add(trade(1, 10)))

    assert taken == [True, False, False]
    assert recent.frame()["trades"].to_list() == [1]
    assert (recent.duplicates, recent.late) == (2, 0)


def test_late_trade_is_counted_and_leaves_the_bar_as_it_was() -> None:
    """What was forecast from a bar stays explainable by it."""
    recent = connected()
    recent.add(trade(1, 10, 100.0))
    recent.close(at(1))
    recent.add(trade(2, 20, 500.0))
    recent.close(at(2))

    assert recent.frame()["high"].to_list() == [100.0]
    assert recent.late == 1


def test_minute_in_which_the_stream_was_away_is_taken_from_the_candle() -> None:
    """Its trades are not all there: the candle stands, with null where it does not tell."""
    recent = connected()
    for minute in range(4):
        recent.add(trade(minute, minute * MINUTE_MS + 30_000, 100.0 + minute))
    recent.lost(at(1) + 40_000, at(2) + 5_000)

    missing = recent.close(at(4))
    before = minutes_of(recent)
    recent.fill(candle_frame([candle(1, 111.0), candle(2, 122.0)]))

    assert missing == [at(1), at(2)]
    assert before == [0, 3]
    assert recent.frame()["close"].to_list() == [100.0, 111.0, 122.0, 103.0]
    assert recent.frame()["trades"].to_list() == [1, None, None, 1]
    assert recent.close(at(5)) == []


def test_gap_told_after_its_minute_was_closed_takes_the_bar_back() -> None:
    """The stream says that it was away only once it is back."""
    recent = connected()
    recent.add(trade(1, 10))
    recent.close(at(1))
    recent.lost(START_MS + 20_000, at(1) + 10_000)

    assert minutes_of(recent) == []
    assert recent.close(at(2)) == [at(0), at(1)]


def test_break_at_the_start_of_a_minute_doubts_the_minute_before_too() -> None:
    """A trade of the last second may have been on its way when the stream broke."""
    recent = connected()
    recent.close(at(1))
    recent.lost(at(1) + 500, at(1) + 900)

    assert recent.close(at(2)) == [at(0), at(1)]


def test_minute_is_asked_for_again_until_it_is_filled() -> None:
    """A failed fetch loses nothing; a minute without a candle had no trade."""
    recent = connected()
    recent.lost(at(0) + 30_000, at(0) + 40_000)

    assert recent.close(at(1)) == [at(0)]
    assert recent.close(at(2)) == [at(0)]
    recent.fill(candle_frame([]))
    assert recent.close(at(3)) == []


def test_fill_settles_only_the_minutes_that_were_asked_for() -> None:
    """A slow answer says nothing of a minute that went missing in the meantime."""
    recent = connected()
    recent.lost(at(0) + 30_000, at(0) + 40_000)
    asked = recent.close(at(1))
    recent.lost(at(1) + 30_000, at(1) + 40_000)
    recent.close(at(2))
    recent.fill(candle_frame([candle(0)]), asked)

    assert recent.close(at(3)) == [at(1)]


def test_seed_then_stream_leaves_no_hole() -> None:
    """The minute in which the stream began, and those since the last candle, come from the exchange."""
    recent = RecentBars(MARKET, 10)
    recent.seed(candle_frame([candle(0, 101.0), candle(1, 102.0)]))
    recent.add(trade(9, 3 * MINUTE_MS + 50_000))
    recent.lost(None, at(3) + 45_000)

    assert recent.last_price() == 100.0
    assert recent.close(at(4)) == [at(2), at(3)]


def test_without_a_stream_every_minute_is_asked_for() -> None:
    """Before its first word nothing counts as seen."""
    recent = RecentBars(MARKET, 10)
    recent.seed(candle_frame([candle(0)]))

    assert recent.close(at(3)) == [at(1), at(2)]


def test_stream_that_opens_on_the_minute_sees_that_minute_whole() -> None:
    """A demo's clock stands at a whole minute until everybody is subscribed."""
    recent = RecentBars(MARKET, 10)
    recent.seed(candle_frame([candle(0)]))
    recent.lost(None, at(1))
    recent.add(trade(1, MINUTE_MS))

    assert recent.close(at(2)) == []
    assert minutes_of(recent) == [0, 1]


def test_only_the_newest_bars_are_kept() -> None:
    """Capacity bounds bars, known ids and the minutes asked for after a long absence."""
    recent = connected()
    for minute in range(30):
        recent.add(trade(minute, minute * MINUTE_MS))
        recent.close(at(minute + 1))
    recent.lost(at(30), at(500) + 1)

    assert minutes_of(recent) == list(range(20, 30))
    assert recent.close(at(501)) == [at(minute) for minute in range(491, 501)]


TRADES = st.lists(
    st.tuples(
        st.integers(0, 5 * MINUTE_MS - 1),
        st.floats(1.0, 2e8),
        st.integers(1, 10**12),
        st.sampled_from(list(Side)),
        st.sampled_from(list(Change)),
    ),
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(TRADES, st.randoms(use_true_random=False))
def test_bars_equal_those_built_from_all_trades_at_once(values, random) -> None:
    """Whatever the order within a minute and wherever it is closed, a whole minute gives the same bits."""
    trades = [
        Trade(MARKET, number, START_MS + at_ms, 1, number, price, qty, side, change)
        for number, (at_ms, price, qty, side, change) in enumerate(values)
    ]
    recent = connected()
    for minute in range(5):
        own = [one for one in trades if at(minute) <= one.ts_event_ms < at(minute + 1)]
        early = [one for one in trades if at(minute + 1) <= one.ts_event_ms and random.random() < 0.1]
        for one in random.sample(own, len(own)) + early + own[:2]:
            recent.add(one)
        if random.random() < 0.6:
            recent.close(at(minute + 1))

    assert recent.close(at(5)) == []
    assert recent.frame().equals(build_bars(trade_frame(trades)))
