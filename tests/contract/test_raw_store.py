"""Every raw store gives the trades of a window, each once, and takes repairs."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from fakes import START_MS, FakeRawStore, FixedClock
from tickloop.adapters.local.journal import JournalStore
from tickloop.adapters.local.journal_line import line_of
from tickloop.adapters.local.segments import OpenSegment
from tickloop.adapters.upbit.events import TradeEvent
from tickloop.adapters.upbit.parse import parse_frame
from tickloop.domain.market import Change, Side, Source, Trade
from tickloop.domain.tables import TRADE
from tickloop.domain.window import HOUR_MS, Window
from tickloop.ports import RawStore

HOUR = Window(START_MS, START_MS + HOUR_MS)

MakeStore = Callable[[Sequence[Trade]], RawStore]


def make_trade(trade_id: int, ts_ms: int = START_MS, arrival: int = 0, market: str = "KRW-BTC") -> Trade:
    received_ns = ts_ms * 1_000_000 + arrival
    return Trade(market, trade_id, ts_ms, received_ns, received_ns, 5.8e7, 124_000, Side.BUY, Change.RISE)


@pytest.fixture(params=["memory", "journal"])
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> MakeStore:
    """Give a store that the stream has filled with trades, in the given order."""
    if request.param == "memory":
        return FakeRawStore

    def make_journal(trades: Sequence[Trade]) -> JournalStore:
        if trades:
            segment = OpenSegment(tmp_path / "journal", "collector", min(trade.arrival for trade in trades))
            segment.write(b"".join(stream_line(trade) for trade in trades))
            segment.close()
        return JournalStore(tmp_path / "journal", tmp_path / "dead", FixedClock(START_MS + HOUR_MS))

    return make_journal


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

    read = store.read("KRW-BTC", HOUR)

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

    read = store.read("KRW-BTC", HOUR)

    assert read.trades.select("trade_id", "arrival").rows() == [(7, first.arrival), (8, first.arrival + 10)]
    assert (read.lines, read.repeats) == (3, 1)


def test_empty_store_gives_an_empty_trade_frame(make_store: MakeStore) -> None:
    """Nothing collected yet is not an error."""
    read = make_store([]).read("KRW-BTC", HOUR)

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
    read = store.read("KRW-BTC", HOUR)

    assert (written, more) == (3, 1)
    assert read.trades.select("trade_id", "source").rows() == [
        (5, "stream"),
        (8, "rest"),
        (6, "rest"),
        (2, "rest"),
    ]
    assert read.trades["arrival"].is_unique().all()
    assert read.repeats == 1
