"""Every raw store gives events that are no trades: of one type, market and window, in order of time, each once."""

import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from fakes import START_MS, FakeRawStore, FixedClock
from tickloop.adapters.local.journal import JournalStore
from tickloop.adapters.local.journal_line import line_of
from tickloop.adapters.local.segments import OpenSegment
from tickloop.adapters.opensearch.connect import open_server
from tickloop.adapters.opensearch.sink import OpensearchSink
from tickloop.adapters.opensearch.store import OpensearchStore
from tickloop.adapters.upbit.parse import parse_frame
from tickloop.domain.window import HOUR_MS, Window
from tickloop.ports import RawStore

HOUR = Window(START_MS, START_MS + HOUR_MS)

MakeStore = Callable[[Sequence[bytes]], RawStore]


@pytest.fixture(params=["memory", "journal", pytest.param("opensearch", marks=pytest.mark.server)])
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeStore]:
    """Give a store that holds these lines, in the order of their arrival."""
    with ExitStack() as stack:
        if request.param == "memory":
            yield lambda lines: FakeRawStore(events=[json.loads(line) for line in lines])
        elif request.param == "journal":
            yield lambda lines: journal_of(tmp_path, lines)
        else:
            url = request.getfixturevalue("opensearch_url")
            yield lambda lines: opensearch_of(url, tmp_path, stack, lines)


def journal_of(tmp_path: Path, lines: Sequence[bytes]) -> JournalStore:
    """A segment for every three lines."""
    for start in range(0, len(lines), 3):
        segment = OpenSegment(tmp_path / "journal", "collector", START_MS * 1_000_000 + start)
        segment.write(b"".join(lines[start : start + 3]))
        segment.close()
    return JournalStore(tmp_path / "journal", tmp_path / "dead", FixedClock(START_MS + HOUR_MS))


def opensearch_of(url: str, tmp_path: Path, stack: ExitStack, lines: Sequence[bytes]) -> OpensearchStore:
    prefix, server = f"t{uuid.uuid4().hex[:12]}", open_server(url)
    stack.callback(server.ask, "DELETE", f"/{prefix}-2*")
    OpensearchSink(server, prefix).deliver(lines)
    return OpensearchStore(server, prefix, FixedClock(START_MS + HOUR_MS), tmp_path / "dead", page_size=4)


def book(ms: int, arrival: int, size: float = 1.5, market: str = "KRW-BTC") -> bytes:
    """A line with an order book of one level, so many ms after START_MS."""
    unit = {"ask_price": 58_001_000.0, "bid_price": 58_000_000.0, "ask_size": size, "bid_size": 0.25}
    body = {"type": "orderbook", "code": market, "timestamp": START_MS + ms, "total_ask_size": size}
    return _line({**body, "total_bid_size": 0.25, "orderbook_units": [unit], "level": 0}, arrival)


def ticker(ms: int, arrival: int) -> bytes:
    body = {"type": "ticker", "code": "KRW-BTC", "trade_price": 5.8e7, "timestamp": START_MS + ms}
    return _line({**body, "trade_timestamp": START_MS + ms, "ask_bid": "BID", "change": "RISE"}, arrival)


def trade(ms: int, arrival: int) -> bytes:
    body = {"type": "trade", "code": "KRW-BTC", "trade_timestamp": START_MS + ms, "trade_price": 5.8e7}
    return _line({**body, "trade_volume": 1.0, "ask_bid": "BID", "change": "RISE", "sequential_id": arrival}, arrival)


def _line(body: dict[str, Any], arrival: int) -> bytes:
    raw = json.dumps(body, separators=(",", ":")).encode()
    return line_of(raw, parse_frame(raw), START_MS * 1_000_000 + arrival, START_MS * 1_000_000 + arrival)


def read(store: RawStore, kind: str = "orderbook", window: Window = HOUR) -> list[tuple[int, int, Any]]:
    """(ms after START_MS, arrival, size of the ask) of every event, in order."""
    return [
        (
            event["timestamp"] - START_MS,
            event["arrival"] - START_MS * 1_000_000,
            event["orderbook_units"][0]["ask_size"] if kind == "orderbook" else None,
        )
        for batch in store.events(kind, "KRW-BTC", window)
        for event in batch
    ]


def test_events_of_a_type_come_in_order_of_their_time(make_store: MakeStore) -> None:
    """Not of their arrival; other types, markets and hours are left out."""
    lines = [
        book(500, 1, size=2.0),
        trade(400, 2),
        book(100, 3),
        ticker(300, 4),
        book(200, 5, market="KRW-ETH"),
        book(-1, 6),
        book(HOUR_MS, 7),
        book(HOUR_MS - 1, 8),
        book(0, 9),
    ]

    store = make_store(lines)

    assert read(store) == [(0, 9, 1.5), (100, 3, 1.5), (500, 1, 2.0), (HOUR_MS - 1, 8, 1.5)]
    assert read(store, "ticker") == [(300, 4, None)]


def test_event_that_came_twice_comes_once(make_store: MakeStore) -> None:
    """A reconnect repeats them; another book of the same millisecond is another event."""
    lines = [book(100, 1), book(200, 2), book(100, 3), book(100, 4, size=9.0), book(100, 5)]

    found = read(make_store(lines))

    assert sorted(found[:2], key=lambda event: event[1]) == [(100, 1, 1.5), (100, 4, 9.0)]
    assert found[2:] == [(200, 2, 1.5)]


def test_more_events_than_any_store_reads_at_a_time_are_all_read(make_store: MakeStore) -> None:
    """Pages and batches end between events of one millisecond as well as elsewhere."""
    lines = [book(ms // 3, number, size=float(number + 1)) for number, ms in enumerate(range(120))]

    found = read(make_store(lines))

    assert sorted(size for _, _, size in found) == [float(number + 1) for number in range(120)]
    assert [ms for ms, _, _ in found] == sorted(ms for ms, _, _ in found)


def test_store_without_such_events_gives_none(make_store: MakeStore) -> None:
    """No order book was collected: that is no error here."""
    assert read(make_store([trade(1, 1)])) == []
