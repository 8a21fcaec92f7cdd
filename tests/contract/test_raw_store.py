"""Every raw store gives the trades of a window, each once, and takes repairs."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from fakes import START_MS, FakeRawStore, FixedClock, read_whole
from tickloop.adapters.local.journal import JournalStore
from tickloop.adapters.local.journal_line import line_of
from tickloop.adapters.local.segments import OpenSegment
from tickloop.adapters.opensearch.connect import open_server
from tickloop.adapters.opensearch.sink import OpensearchSink
from tickloop.adapters.opensearch.store import OpensearchStore
from tickloop.adapters.upbit.events import TradeEvent
from tickloop.adapters.upbit.parse import parse_frame
from tickloop.domain.market import Change, Side, Source, Trade
from tickloop.domain.tables import TRADE
from tickloop.domain.window import DAY_MS, HOUR_MS, Window
from tickloop.ports import RawCounts, RawStore

HOUR = Window(START_MS, START_MS + HOUR_MS)

MakeStore = Callable[[Sequence[Trade]], RawStore]


def make_trade(trade_id: int, ts_ms: int = START_MS, arrival: int = 0, market: str = "KRW-BTC") -> Trade:
    received_ns = ts_ms * 1_000_000 + arrival
    return Trade(market, trade_id, ts_ms, received_ns, received_ns, 5.8e7, 124_000, Side.BUY, Change.RISE)


@pytest.fixture(params=["memory", "journal", pytest.param("opensearch", marks=pytest.mark.server)])
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeStore]:
    """Give a store that the stream has filled with trades, in the given order."""
    with ExitStack() as stack:
        if request.param == "memory":
            yield FakeRawStore
        elif request.param == "journal":
            yield journal_maker(tmp_path)
        else:
            yield opensearch_maker(request.getfixturevalue("opensearch_url"), tmp_path, stack)


def journal_maker(tmp_path: Path) -> MakeStore:

    def make_journal(trades: Sequence[Trade]) -> JournalStore:
        if trades:
            segment = OpenSegment(tmp_path / "journal", "collector", min(trade.arrival for trade in trades))
            segment.write(b"".join(stream_line(trade) for trade in trades))
            segment.close()
        return JournalStore(tmp_path / "journal", tmp_path / "dead", FixedClock(START_MS + HOUR_MS))

    return make_journal


def opensearch_maker(url: str, tmp_path: Path, stack: ExitStack) -> MakeStore:
    def make_opensearch(trades: Sequence[Trade]) -> OpensearchStore:
        prefix, server = f"t{uuid.uuid4().hex[:12]}", open_server(url)
        stack.callback(server.ask, "DELETE", f"/{prefix}-2*")
        store = OpensearchStore(server, prefix, FixedClock(START_MS + HOUR_MS), tmp_path / "dead", page_size=2)
        # As the shipper does: in order of arrival.
        OpensearchSink(server, prefix).deliver([stream_line(trade) for trade in sorted(trades, key=by_arrival)])
        return store

    return make_opensearch


def by_arrival(trade: Trade) -> int:
    return trade.arrival


def stream_line(trade: Trade) -> bytes:
    raw = (
        f'{{"type":"trade","code":"{trade.market}","trade_timestamp":{trade.ts_event_ms},"trade_price":{trade.price},'
        f'"trade_volume":0.00124,"ask_bid":"BID","change":"RISE","sequential_id":{trade.trade_id}}}'
    ).encode()
    event = parse_frame(raw)
    assert isinstance(event, TradeEvent)
    return line_of(raw, event, trade.ts_received_ns, trade.arrival)


def test_window_gives_its_trades_in_trade_order(make_store: MakeStore) -> None:
    """By event time, then arrival; other markets and the window's end are left out."""
    store = make_store(
        [
            make_trade(9, START_MS + 5, arrival=1),
            make_trade(3, START_MS + 5, arrival=2),
            make_trade(7, START_MS),
            make_trade(1, START_MS + HOUR_MS),
            make_trade(2, START_MS - 1),
            make_trade(4, START_MS, market="KRW-ETH"),
        ]
    )

    read = read_whole(store, "KRW-BTC", HOUR)

    assert read.trades["trade_id"].to_list() == [7, 9, 3]
    assert dict(read.trades.schema) == TRADE.columns
    assert read.trades.row(0) == (
        "KRW-BTC", 7, HOUR.start, HOUR.start, START_MS * 1_000_000, 5.8e7, 124_000, "BUY", "RISE", "stream",
    )  # fmt: skip
    assert (read.lines, read.repeats, read.dead) == (3, 0, 0)


def test_trade_that_came_twice_counts_by_its_first_arrival(make_store: MakeStore) -> None:
    """Reconnects repeat trades."""
    first = make_trade(7, arrival=10)
    store = make_store([make_trade(8, arrival=20), replace(first, arrival=first.arrival + 90), first])

    read = read_whole(store, "KRW-BTC", HOUR)

    assert read.trades.select("trade_id", "arrival").rows() == [(7, first.arrival), (8, first.arrival + 10)]
    assert read.lines == 2 + read.repeats
    assert read.repeats == (1 if keeps_repeats(store) else 0)


def test_empty_store_gives_an_empty_trade_frame(make_store: MakeStore) -> None:
    """Nothing collected yet is not an error."""
    read = read_whole(make_store([]), "KRW-BTC", HOUR)

    assert read.trades.is_empty()
    assert dict(read.trades.schema) == TRADE.columns


def test_repairs_are_read_after_the_stream_in_the_order_given(make_store: MakeStore) -> None:
    """Their arrival grows in exchange order; a trade that the stream had keeps the stream's line."""
    store = make_store([make_trade(5, START_MS + 5)])
    missed = [
        replace(make_trade(number, START_MS + 5), ts_received_ns=0, arrival=0, source=Source.REST)
        for number in (8, 5, 6)
    ]

    written = store.append_repairs(missed)
    more = store.append_repairs([replace(missed[0], trade_id=2)])
    read = read_whole(store, "KRW-BTC", HOUR)

    assert (written, more) == (3, 1)
    assert read.trades.select("trade_id", "source").rows() == [
        (5, "stream"),
        (8, "rest"),
        (6, "rest"),
        (2, "rest"),
    ]
    assert read.trades["arrival"].is_unique().all()
    assert read.repeats == (1 if keeps_repeats(store) else 0)


def test_lines_are_counted_by_where_they_came_from(make_store: MakeStore) -> None:
    """Of the market and window alone."""
    store = make_store([make_trade(1), make_trade(2), make_trade(3, START_MS + HOUR_MS)])
    missed = [replace(make_trade(number), ts_received_ns=0, arrival=0, source=Source.REST) for number in (8, 9)]

    store.append_repairs(missed)

    assert store.counts("KRW-BTC", HOUR) == RawCounts(2, 2, distinct=4, repeats=0, other_lines=0)
    assert store.counts("KRW-ETH", HOUR) == RawCounts(0, 0, distinct=0, repeats=0, other_lines=0)


def test_hour_without_trades_between_hours_with_some_is_empty(make_store: MakeStore) -> None:
    """Nothing was traded is a fact, not an error."""
    store = make_store([make_trade(1), make_trade(2, START_MS + 2 * HOUR_MS)])

    read = read_whole(store, "KRW-BTC", Window(START_MS + HOUR_MS, START_MS + 2 * HOUR_MS))

    assert (read.trades.height, read.lines, read.dead) == (0, 0, 0)


def test_window_over_midnight_is_read_whole(make_store: MakeStore) -> None:
    """Days may lie in different places of the store."""
    midnight = START_MS + DAY_MS
    store = make_store([make_trade(1, midnight - 1), make_trade(2, midnight), make_trade(3, midnight + HOUR_MS)])

    read = read_whole(store, "KRW-BTC", Window(midnight - HOUR_MS, midnight + HOUR_MS))

    assert read.trades["trade_id"].to_list() == [1, 2]


def test_trades_of_one_millisecond_are_all_read_in_order_of_arrival(make_store: MakeStore) -> None:
    """More of them than any store reads at a time; `trade_id` does not give their order."""
    trades = [make_trade(1000 - number, arrival=number) for number in range(25)]
    store = make_store(trades)

    read = read_whole(store, "KRW-BTC", HOUR)

    assert read.trades["trade_id"].to_list() == [trade.trade_id for trade in trades]


def test_reading_again_after_a_repair_gives_the_same_and_the_repair(make_store: MakeStore) -> None:
    """A window is run again when it was repaired."""
    store = make_store([make_trade(1, START_MS), make_trade(3, START_MS + 2)])
    before = read_whole(store, "KRW-BTC", HOUR).trades

    missed = replace(make_trade(2, START_MS + 1), ts_received_ns=0, arrival=0, source=Source.REST)
    store.append_repairs([missed])
    store.append_repairs([missed])
    after = read_whole(store, "KRW-BTC", HOUR).trades

    assert after["trade_id"].to_list() == [1, 2, 3]
    assert after.filter(pl.col("trade_id") != 2).equals(before)


def keeps_repeats(store: RawStore) -> bool:
    """A store that knows lines by their `doc_id` has none twice."""
    return not isinstance(store, OpensearchStore)
