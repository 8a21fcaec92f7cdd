"""The simulated market as of a moment: candles, pages, stream, ticker and book agree and never show the future."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickloop.domain.bars import build_bars
from tickloop.domain.window import DAY_MS, HOUR_MS, MINUTE_MS
from tickloop.errors import UnknownMarketError
from tickloop.simulator.prices.exchange import SimulatedExchange
from tickloop.simulator.prices.gaps import Gap
from tickloop.simulator.prices.market import SimulatedMarket
from tickloop.simulator.prices.periods import every_minutes
from tickloop.simulator.prices.recording import load_recording

START = 1_705_881_600_000  # 2024-01-22T00:00Z
FIRST = 1_704_034_800_000  # 2023-12-31T15:00Z, where the recording begins
ETH_END = 1_706_626_800_000  # 2024-01-30T15:00Z
MOMENTS = [START + offset for offset in (0, 1, 29_500, 59_999, 60_000, 3_600_000, 12_345_678, 86_399_999)]


@pytest.fixture(scope="module")
def exchange() -> SimulatedExchange:
    return SimulatedExchange(load_recording("candles"), seed=20240122)


@pytest.fixture(scope="module")
def btc(exchange: SimulatedExchange) -> SimulatedMarket:
    return exchange.market("KRW-BTC")


def ids(market: SimulatedMarket, start_ms: int, end_ms: int) -> list[int]:
    result: list[int] = market.made(start_ms, end_ms).trade_id.tolist()
    return result


@pytest.mark.parametrize("now_ms", MOMENTS)
def test_nothing_later_than_now_is_shown(btc: SimulatedMarket, now_ms: int) -> None:
    """Candles, trades, ticker, book and snapshot all end at the last trade up to now, itself included."""
    day = now_ms - now_ms % DAY_MS
    last = max([*btc.made(day - DAY_MS, day).ts_event[-1:], *btc.made(day, now_ms + 1).ts_event[-1:]])

    ticker, book, told = btc.ticker(now_ms), btc.book(now_ms), btc.last_streamed(now_ms)

    assert ticker is not None
    assert book is not None
    assert told is not None
    assert (ticker.trade_ts_ms, book.ts_ms, told.ts_ms) == (last, last, last)
    assert [btc.candles(every_minutes(unit), None, 3, now_ms).ts_last[0] for unit in (1, 5, 240)] == [last, last, last]
    assert all(moment <= now_ms for moment in btc.trades_page(now_ms, count=500).ts_event)


@pytest.mark.parametrize("unit", [1, 3, 5, 10, 15, 30, 60, 240])
def test_candles_of_every_unit_are_the_bars_of_the_trades_so_far(btc: SimulatedMarket, unit: int) -> None:
    """The open one included; turnover is that of the made trades; empty intervals are absent; newest first."""
    now_ms = START + 12_345_678
    minutes = build_bars(btc.made(START, now_ms + 1).frame())
    bars = minutes.group_by_dynamic("ts_open", every=f"{unit}m").agg(
        pl.col("open").first(), pl.col("high").max(), pl.col("low").min(), pl.col("close").last()
    )

    candles = btc.candles(every_minutes(unit), None, len(bars), now_ms)

    assert candles.ts_open[::-1].tolist() == bars["ts_open"].to_physical().to_list()
    for name in ("open", "high", "low", "close"):
        assert getattr(candles, name)[::-1].tolist() == bars[name].to_list()
    assert int(candles.qty_e8.sum()) == int(btc.made(START, now_ms + 1).qty_e8.sum())
    assert candles.notional.sum() == pytest.approx(minutes["notional"].sum(), rel=1e-12)


def test_closed_minutes_carry_the_volume_and_turnover_of_their_trades_to_the_bit(btc: SimulatedMarket) -> None:
    """The same numbers in REST candles and in bars made from the stream."""
    events = btc.stream_between(START - 1, START + HOUR_MS - 1)
    bars = build_bars(btc.made(START, START + HOUR_MS).frame())

    candles = btc.candles(every_minutes(1), START + HOUR_MS, len(bars), START + 2 * HOUR_MS)

    assert candles.notional[::-1].tolist() == bars["notional"].to_list()
    assert (candles.qty_e8[::-1] / 1e8).tolist() == bars["volume"].to_list()
    assert len(events) == bars["trades"].sum()


def test_candle_pages_walk_back_to_the_first_candle_without_loss() -> None:
    """`to` is exclusive: the oldest start of a page is the next page's `to`. One market's month, 200 a page."""
    recording = load_recording("candles")
    market = SimulatedExchange(recording, seed=1).market("KRW-ETH")
    seen: list[int] = []
    to_ms: int | None = None

    for _ in range(500):
        page = market.candles(every_minutes(1), to_ms, 200, ETH_END)
        if not len(page.ts_open):
            break
        seen += page.ts_open.tolist()
        to_ms = seen[-1]

    assert seen[::-1] == recording.frames["KRW-ETH"]["ts_open"].to_list()


@settings(max_examples=20, deadline=None)
@given(count=st.integers(40, 500), days_ago=st.integers(0, 7))
def test_trade_pages_walk_back_through_a_day_without_loss(
    exchange: SimulatedExchange, count: int, days_ago: int
) -> None:
    """With the smallest id of a page as cursor, which inside one millisecond is not the oldest trade's."""
    market = exchange.market("KRW-ETH")
    now_ms = START + 5 * HOUR_MS
    day = START - days_ago * DAY_MS
    seen: dict[int, None] = {}
    cursor = None

    for _ in range(1000):
        page = market.trades_page(now_ms, cursor=cursor, count=count, days_ago=days_ago)
        seen |= dict.fromkeys(page.trade_id.tolist())
        if len(page) < count:
            break
        cursor = int(page.trade_id.min())

    assert list(seen)[::-1] == ids(market, day, min(day + DAY_MS, now_ms + 1))


def test_trade_page_ends_before_to_and_before_the_cursor(btc: SimulatedMarket) -> None:
    """Newest first, within one UTC day, nothing older than seven days."""
    now_ms, to_ms = START + HOUR_MS, START + 10 * MINUTE_MS
    before = ids(btc, START, to_ms)

    assert btc.trades_page(now_ms, to_ms=to_ms, count=2).trade_id.tolist() == before[:-3:-1]
    assert btc.trades_page(now_ms, cursor=before[1], count=5).trade_id.tolist() == before[:1]
    assert len(btc.trades_page(now_ms, cursor=START * 10_000, count=5)) == 0
    assert len(btc.trades_page(now_ms, count=5, days_ago=8)) == 0


def test_stream_and_withheld_together_are_all_trades(exchange: SimulatedExchange) -> None:
    """A gap takes its trades out of the stream; REST has them, unless it refuses them too."""
    soft = Gap("KRW-BTC", START + 100_000, START + 190_000, is_refused_by_rest=False)
    hard = Gap("KRW-BTC", START + 300_000, START + 390_000, is_refused_by_rest=True)
    market = exchange.with_gaps([soft, hard]).market("KRW-BTC")
    now_ms = START + 10 * MINUTE_MS

    told = [event.trade_id for event in market.stream_between(START - 1, now_ms)]
    fetched = market.trades_page(now_ms, count=500).trade_id[::-1].tolist()

    lost = [ids(market, gap.start_ms, gap.end_ms) for gap in (soft, hard)]
    made = ids(market, START, now_ms + 1)
    assert told == [trade for trade in made if trade not in lost[0] + lost[1]]
    assert fetched == [trade for trade in made if trade not in lost[1]]
    assert market.last_streamed(hard.end_ms - 1) == market.last_streamed(hard.start_ms - 1)
    assert market.ticker(hard.end_ms - 1) == exchange.market("KRW-BTC").ticker(hard.end_ms - 1)
    assert market.candles(every_minutes(1), None, 9, now_ms).qty_e8.tolist() == (
        exchange.market("KRW-BTC").candles(every_minutes(1), None, 9, now_ms).qty_e8.tolist()
    )


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, HOUR_MS), max_size=8))
def test_stream_in_pieces_is_the_stream_at_once(exchange: SimulatedExchange, steps: list[int]) -> None:
    """Over midnight, in any steps: no trade twice, none lost, by time and then market."""
    first, end = START - HOUR_MS // 2, START + HOUR_MS // 2
    edges = [first, *sorted(first + step for step in steps), end]

    pieces = [exchange.stream_between(a, b) for a, b in pairwise(edges)]

    told = [(event.market, event.trade_id) for piece in pieces for event in piece]
    assert told == [(event.market, event.trade_id) for event in exchange.stream_between(first, end)]
    assert len(set(told)) == len(told) > 1000


def test_next_trade_is_the_first_one_of_the_stream(exchange: SimulatedExchange) -> None:
    """Gaps are passed over; asking again, for earlier or later moments, changes nothing."""
    gap = Gap("KRW-BTC", START, START + 2 * HOUR_MS, is_refused_by_rest=False)
    market = exchange.with_gaps([gap]).market("KRW-BTC")
    later = market.stream_between(gap.end_ms - 1, gap.end_ms + MINUTE_MS)[0].ts_ms

    assert [market.next_trade_ms(START + offset) for offset in (0, 5, HOUR_MS, 1)] == [later] * 4
    assert exchange.market("KRW-BTC").next_trade_ms(START) == exchange.made("KRW-BTC", START + 1, later).ts_event[0]
    assert market.next_trade_ms(market.end_ms) is None
    assert market.next_trade_ms(0) == exchange.market("KRW-BTC").stream_between(0, FIRST + MINUTE_MS)[0].ts_ms


def test_market_whose_recording_ended_is_delisted_and_still_readable(exchange: SimulatedExchange) -> None:
    """Its stream is over; the other market goes on."""
    eth = exchange.market("KRW-ETH")
    now_ms = ETH_END + 40 * DAY_MS

    ticker = eth.ticker(now_ms)

    assert [eth.state(moment) for moment in (FIRST - 1, FIRST, ETH_END - 1, ETH_END)] == [
        "PREVIEW",
        "ACTIVE",
        "ACTIVE",
        "DELISTED",
    ]
    assert ticker is not None
    assert (ticker.state, ticker.qty_e8_day, ticker.change.value) == ("DELISTED", 0, "EVEN")
    assert eth.next_trade_ms(ETH_END) is None
    assert eth.stream_between(ETH_END, now_ms) == []
    assert eth.candles(every_minutes(1), None, 1, now_ms).ts_open.tolist() == [ETH_END - MINUTE_MS]
    assert exchange.market("KRW-BTC").next_trade_ms(now_ms) is not None


def test_nothing_is_there_before_the_recording(btc: SimulatedMarket) -> None:
    """No ticker, no book, no candle, no trade."""
    now_ms = FIRST - 1

    assert btc.ticker(now_ms) is None
    assert btc.book(now_ms) is None
    assert btc.last_streamed(now_ms) is None
    assert len(btc.candles(every_minutes(1), None, 200, now_ms).ts_open) == 0
    assert len(btc.trades_page(now_ms, count=5)) == 0


def test_ticker_adds_up_the_day_and_the_last_24_hours(btc: SimulatedMarket) -> None:
    """Sums and extremes are those of the trades; the day's close before is `prev_close`."""
    now_ms = START + 5 * HOUR_MS + 1234
    today = btc.made(START, now_ms + 1)
    yesterday = btc.made(now_ms - DAY_MS + 1, START)

    ticker = btc.ticker(now_ms)

    assert ticker is not None
    assert (ticker.open, ticker.high, ticker.low) == (today.price[0], today.price.max(), today.price.min())
    assert (ticker.price, ticker.prev_close) == (today.price[-1], btc.made(START - HOUR_MS, START).price[-1])
    assert ticker.qty_e8_day == today.qty_e8.sum()
    assert ticker.qty_e8_24h == today.qty_e8.sum() + yesterday.qty_e8.sum()
    assert ticker.notional == pytest.approx((today.price * today.qty_e8 / 1e8).sum())
    both = np.concatenate([today.price * today.qty_e8, yesterday.price * yesterday.qty_e8])
    assert ticker.notional_24h == pytest.approx(both.sum() / 1e8)
    assert (ticker.year.high, ticker.year.low) == (66_779_000.0, 54_346_000.0)


def test_book_stands_one_tick_around_the_last_price(btc: SimulatedMarket) -> None:
    """Thirty levels, one tick apart, sizes above 0 and the same when asked again; the stream sees the same best."""
    now_ms = START + HOUR_MS
    ticker, book = btc.ticker(now_ms), btc.book(now_ms)

    assert ticker is not None
    assert book is not None
    last = Decimal(int(ticker.price))
    assert [ask.price - last for ask in book.asks] == [1000 * level for level in range(1, 31)]
    assert [last - bid.price for bid in book.bids] == [1000 * level for level in range(1, 31)]
    assert all(level.qty > 0 and level.qty == round(level.qty, 8) for level in (*book.asks, *book.bids))
    assert book == btc.book(now_ms)
    event = btc.last_streamed(now_ms)
    assert event is not None
    assert (event.best_ask, event.best_bid) == (book.asks[0], book.bids[0])


def test_bursts_are_streamed_as_recorded() -> None:
    """Every row of the source, market by market, in its order."""
    recording = load_recording("bursts")
    exchange = SimulatedExchange(recording, seed=1)

    events = exchange.market("KRW-BTC").stream_between(0, exchange.end_ms)

    frame = recording.frames["KRW-BTC"]
    assert [(event.ts_ms, event.price, event.qty_e8) for event in events] == frame.select(
        "ts_event", "price", "qty_e8"
    ).rows()
    assert {event.ticker.change.value for event in events} == {"EVEN"}


def test_unknown_market_is_named(exchange: SimulatedExchange) -> None:
    """The message lists the markets that there are."""
    with pytest.raises(UnknownMarketError, match="'KRW-DOGE' is not known here; valid: KRW-BTC, KRW-ETH"):
        exchange.market("KRW-DOGE")
