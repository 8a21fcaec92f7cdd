"""Recorded order books: what is taken from events, what is refused, and a real recording from journal to fill."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chain_fakes import FakePorts
from fakes import START_MS, FixedClock
from tick_reference import assert_equal, run_reference
from tickloop.adapters.local.journal import JournalStore
from tickloop.adapters.local.journal_line import line_of
from tickloop.adapters.local.segments import OpenSegment
from tickloop.adapters.upbit.events import TradeEvent
from tickloop.adapters.upbit.parse import parse_frame
from tickloop.domain.backtest import run_ticks
from tickloop.domain.backtest_book import OUTCOMES
from tickloop.domain.depth import Depth, between, depth_from, no_depth
from tickloop.domain.fills import FILL_MODELS
from tickloop.domain.strategy import PRESETS
from tickloop.domain.tape import ForecastSeries, Tape
from tickloop.domain.window import HOUR_MS, MINUTE_MS, Window
from tickloop.errors import DataError, NotEnoughDataError, UsageError
from tickloop.services.depth import depth_of

FRAMES = Path(__file__).parents[1] / "data" / "upbit-ws-2021" / "books-simple.jsonl"
MARKET = "KRW-DAWN"
MINUTE = 1_617_646_620_000  # 2021-04-05T18:17Z

Levels = Sequence[tuple[float, float, float, float]]


def _event(ts_ms: int, levels: Levels, arrival: int = 0, **other: Any) -> dict[str, Any]:
    """An order book; levels as (ask price, ask size, bid price, bid size)."""
    names = ("ask_price", "ask_size", "bid_price", "bid_size")
    units = [dict(zip(names, level, strict=True)) for level in levels]
    return {"code": "KRW-BTC", "timestamp": ts_ms, "arrival": arrival, "orderbook_units": units, "level": 0, **other}


ONE: Levels = [(101.0, 1.5, 100.0, 0.25)]
TWO: Levels = [(101.0, 1.5, 100.0, 0.25), (102.0, 0.00000001, 99.0, 2.0)]


def test_books_become_arrays_in_order_of_time() -> None:
    """Sizes in 1e-8; what a book lacks of the levels is 0, what it has beyond them is left out."""
    depth = depth_from(
        [[_event(200, TWO)], [], [_event(100, ONE), _event(150, [*TWO, (103.0, 1.0, 98.0, 1.0)])]], "KRW-BTC", 2
    )

    assert depth.ts_ms.tolist() == [100, 150, 200]
    assert depth.ask_price.tolist() == [[101.0, 0.0], [101.0, 102.0], [101.0, 102.0]]
    assert depth.ask_e8.tolist() == [[150_000_000, 0], [150_000_000, 1], [150_000_000, 1]]
    assert depth.bid_price.tolist() == [[100.0, 0.0], [100.0, 99.0], [100.0, 99.0]]
    assert depth.bid_e8.tolist() == [[25_000_000, 0], [25_000_000, 200_000_000], [25_000_000, 200_000_000]]
    assert all(array.flags.c_contiguous for array in depth)


def test_of_books_of_one_millisecond_the_one_that_arrived_last_counts() -> None:
    """In whatever order and batch they are read."""
    late = _event(100, [(105.0, 1.0, 104.0, 1.0)], arrival=7)

    depth = depth_from([[late, _event(100, ONE, arrival=3)], [_event(100, ONE, arrival=5)]], "KRW-BTC", 1)

    assert (depth.ts_ms.tolist(), depth.ask_price.tolist()) == ([100], [[105.0]])


def test_level_at_price_0_is_none_whatever_its_size() -> None:
    """The exchange fills a thin side up with zeros."""
    depth = depth_from([[_event(100, [(0.0, 3.0, 100.0, 1.0), (0.0, 0.0, 99.0, 1.0)])]], "KRW-BTC", 2)

    assert depth.ask_e8.tolist() == [[0, 0]]
    assert depth.bid_e8.tolist() == [[100_000_000, 100_000_000]]


def test_size_beyond_what_fits_is_cut_off() -> None:
    """1e12 coins at each of two levels: their sum stays within int64."""
    depth = depth_from([[_event(100, [(2.0, 1e12, 1.0, 1e12), (3.0, 1e12, 0.5, 1e12)])]], "KRW-BTC", 2)

    assert depth.ask_e8.sum() == 1 << 62


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (_event(1, ONE, code="KRW-ETH"), r"has code 'KRW-ETH' and level 0; valid: 'KRW-BTC' and 0"),
        (_event(1, ONE, level=10_000), r"level 10000; valid: 'KRW-BTC' and 0, each price by itself"),
        (
            _event(1, ONE, doc_id="orderbook:KRW-BTC:1:00", orderbook_units=[{"ask_price": 1.0}]),
            r"orderbook:KRW-BTC:1:00",
        ),
        (_event(1, ONE, orderbook_units=None), r"of KRW-BTC at 1: .*valid: the fields of the DEFAULT format"),
        (_event(1, [(float("nan"), 1.0, 1.0, 1.0)]), "cannot stand"),
        (_event(1, [(2.0, float("inf"), 1.0, 1.0)]), "cannot stand"),
        (_event(1, [(2.0, -1.0, 1.0, 1.0)]), "cannot stand"),
        (_event(1, [(2.0, 1.0, 2.0, 1.0)]), "bids below asks"),
        (_event(1, [(3.0, 1.0, 1.0, 1.0), (2.0, 1.0, 0.5, 1.0)]), "prices in order from the best on"),
        (_event(1, [(2.0, 1.0, 0.5, 1.0), (3.0, 1.0, 1.0, 1.0)]), "prices in order from the best on"),
        (_event(1, [(0.0, 0.0, 1.0, 1.0), (2.0, 1.0, 0.5, 1.0)]), "prices in order from the best on"),
        (_event(1, [(2.0, 1.0, 0.0, 0.0), (3.0, 1.0, 1.0, 1.0)]), "prices in order from the best on"),
    ],
)
def test_book_that_must_not_go_on_is_refused(event: dict[str, Any], message: str) -> None:
    """Named by its `doc_id` or time, among others that are fine."""
    with pytest.raises(DataError, match=message):
        depth_from([[_event(0, ONE), event]], "KRW-BTC", 2)


def test_part_of_a_span_keeps_the_books_that_its_first_fills_look_at() -> None:
    """Those of 10 s before its start, as views of the same arrays."""
    depth = depth_from([[_event(ms, ONE) for ms in (89_999, 90_000, 99_999, 100_000, 159_999, 160_000)]], "KRW-BTC", 1)

    part = between(depth, 100_000, 160_000)

    assert part.ts_ms.tolist() == [90_000, 99_999, 100_000, 159_999]
    assert np.shares_memory(part.ask_e8, depth.ask_e8)
    assert len(between(no_depth(), 0, 60_000).ts_ms) == 0


def test_window_without_a_recorded_book_is_refused() -> None:
    """With the setting that records them."""
    ports = FakePorts()
    ports.raw.others.append(_event(START_MS + HOUR_MS, ONE, type="orderbook", doc_id="one"))

    with pytest.raises(NotEnoughDataError, match=r"no order book of KRW-BTC was recorded .*collect.with_orderbook"):
        depth_of(ports, "KRW-BTC", Window(START_MS, START_MS + HOUR_MS))
    assert len(depth_of(ports, "KRW-BTC", Window(START_MS + HOUR_MS, START_MS + 2 * HOUR_MS)).ts_ms) == 1


def test_events_of_trades_are_refused_by_the_journal(tmp_path: Path) -> None:
    """Trades have an order of their own."""
    store = JournalStore(tmp_path, tmp_path, FixedClock())

    with pytest.raises(UsageError, match="read as trades"):
        list(store.events("trade", "KRW-BTC", Window(START_MS, START_MS + HOUR_MS)))


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tape, Depth]:
    """Half a minute of KRW-DAWN of 2021 as the exchange sent it, from the journal."""
    folder = tmp_path_factory.mktemp("journal")
    frames = FRAMES.read_bytes().splitlines()
    events = [parse_frame(frame) for frame in frames]
    segment = OpenSegment(folder, "collector", MINUTE * 1_000_000)
    segment.write(
        b"".join(line_of(raw, event, n, n) for n, (raw, event) in enumerate(zip(frames, events, strict=True)))
    )
    segment.close()
    ports = FakePorts()
    ports.raw = JournalStore(folder, folder / "dead", FixedClock())  # type: ignore[assignment]
    trades = sorted((one for one in events if isinstance(one, TradeEvent)), key=lambda one: one.trade_timestamp)
    tape = Tape(
        MARKET, np.array([one.trade_timestamp for one in trades]), np.array([float(one.trade_price) for one in trades])
    )
    return tape, depth_of(ports, MARKET, Window(MINUTE, MINUTE + MINUTE_MS))


def test_real_order_books_come_whole_from_the_journal(recording: tuple[Tape, Depth]) -> None:
    """68 books of 15 levels; the first as it was sent."""
    depth = recording[1]

    assert depth.ask_price.shape == (68, 15)
    assert depth.ts_ms[0] == 1_617_646_621_611
    assert (depth.ask_price[0, 0], depth.ask_e8[0, 0]) == (6_300.0, 30_754_814_752)
    assert (depth.bid_price[0, 0], depth.bid_e8[0, 0]) == (6_285.0, 52_514_649_596)


def test_order_walks_up_a_real_book(recording: tuple[Tape, Depth]) -> None:
    """8,000,000 KRW decided at 622,000 meet the book of 622,786: all 975.9611418 at 6,300, the rest at 6,305."""
    tape, depth = recording
    params = PRESETS["seed2023"]._replace(order_krw=8_000_000.0)
    series = ForecastSeries(np.array([MINUTE]), np.array([7_000.0]), np.array([MINUTE + 1_000]))

    book = run_ticks(tape, series, params, FILL_MODELS["book"], 50_000_000.0, depth=depth)

    first = book.orders[0]
    assert (first["decided_ms"] - MINUTE, first["filled_ms"] - MINUTE, first["book_ms"] - MINUTE) == (
        2_000,
        3_000,
        2_786,
    )
    assert (first["levels"], OUTCOMES[first["outcome"]]) == (2, "filled")
    assert first["qty_e8"] == 97_596_114_180 + 29_364_707_480


@pytest.mark.parametrize("order_krw", [6_000.0, 8_000_000.0, 200_000_000.0])
def test_fills_from_real_books_equal_the_reference(recording: tuple[Tape, Depth], order_krw: float) -> None:
    """From orders that the best level holds to some that the whole book does not."""
    tape, depth = recording
    params = PRESETS["seed2023"]._replace(order_krw=order_krw, cooldown_ms=2_000, hold_ms=3_000)
    series = ForecastSeries(np.array([MINUTE]), np.array([7_000.0]), np.array([MINUTE + 1_000]))
    model = FILL_MODELS["book"]

    book = run_ticks(tape, series, params, model, 1e9, depth=depth)

    assert_equal(book, run_reference(tape, series, params, model, 10**9, depth))
    outcomes = {OUTCOMES[one] for one in book.orders["outcome"][: book.purse[0]["orders"]]}
    assert ("partial" in outcomes) == (order_krw > 1e8)
