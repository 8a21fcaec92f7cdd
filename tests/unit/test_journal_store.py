"""Reading journal segments: torn ends, corrupt lines, and segments that need not be opened."""

from pathlib import Path

import msgspec
import pytest

from fakes import START_MS, FixedClock, read_whole
from tickloop.adapters.local.journal import JournalStore
from tickloop.adapters.local.segments import OpenSegment, last_arrival, list_segments
from tickloop.domain.market import Change, Side, Trade
from tickloop.domain.window import HOUR_MS, Window
from tickloop.ports import RawCounts

HOUR = Window(START_MS, START_MS + HOUR_MS)
NEXT = Window(START_MS + HOUR_MS, START_MS + 2 * HOUR_MS)


def trade_line(
    trade_id: int, ts_ms: int = START_MS, arrival: int = 1, market: str = "KRW-BTC", **changes: str
) -> bytes:
    fields = {
        "type": '"trade"',
        "code": f'"{market}"',
        "trade_timestamp": str(ts_ms),
        "trade_price": "58000000.0",
        "trade_volume": "0.5",
        "ask_bid": '"ASK"',
        "change": '"FALL"',
        "sequential_id": str(trade_id),
        "ts_received": str(ts_ms * 1_000_000),
        "arrival": str(arrival),
        "@timestamp": '"2024-01-22T00:00:00.000Z"',
        "doc_id": f'"trade:{market}:{trade_id}"',
        **changes,
    }
    return b"{" + ",".join(f'"{name}":{value}' for name, value in fields.items()).encode() + b"}\n"


def ticker_line(ts_ms: int, market: str = "KRW-BTC") -> bytes:
    return f'{{"type":"ticker","code":"{market}","arrival":5,"doc_id":"ticker:{market}:{ts_ms}:0123abcd"}}\n'.encode()


@pytest.fixture
def store(tmp_path: Path) -> JournalStore:
    return JournalStore(tmp_path / "journal", tmp_path / "dead", FixedClock())


def put_segment(tmp_path: Path, data: bytes, start_ms: int = START_MS, writer: str = "collector") -> Path:
    segment = OpenSegment(tmp_path / "journal", writer, start_ms * 1_000_000)
    segment.write(data)
    segment.close()
    return segment.path


def ids(store: JournalStore, window: Window = HOUR, market: str = "KRW-BTC") -> list[int]:
    return read_whole(store, market, window).trades["trade_id"].to_list()


def test_unterminated_last_line_does_not_exist_until_it_is_whole(store: JournalStore, tmp_path: Path) -> None:
    """The collector may be writing it right now."""
    whole, rest = trade_line(2, arrival=2)[:40], trade_line(2, arrival=2)[40:]
    path = put_segment(tmp_path, trade_line(1) + whole)

    before = read_whole(store, "KRW-BTC", HOUR)
    with path.open("ab") as file:
        file.write(rest)

    assert (before.lines, before.dead) == (1, 0)
    assert ids(store) == [1, 2]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (b"\x00\x01 no line\n", "does not end in a doc_id"),
        (trade_line(9)[:-30] + b"\n", "does not end in a doc_id"),
        (trade_line(9, trade_price="NaN"), "malformed"),
        (trade_line(9, trade_price="-3.5"), "trade_price = -3.5: Expected `float` > 0"),
        (trade_line(9, arrival=2**63), "arrival = 9223372036854775808"),
        (trade_line(9, code='"KRW-ETH"'), "code = 'KRW-ETH'"),
    ],
)
def test_corrupt_line_is_copied_once_and_the_rest_loads(
    store: JournalStore, tmp_path: Path, broken: bytes, reason: str
) -> None:
    """With its bytes, place and reason; a second reading, here or in another process, adds nothing."""
    path = put_segment(tmp_path, trade_line(1) + broken + trade_line(2, arrival=2))

    first = read_whole(store, "KRW-BTC", HOUR)
    second = read_whole(JournalStore(tmp_path / "journal", tmp_path / "dead", FixedClock()), "KRW-BTC", HOUR)

    assert first.trades["trade_id"].to_list() == [1, 2]
    assert (first.dead, second.dead) == (1, 0)
    (dead,) = (tmp_path / "dead" / path.name).read_bytes().splitlines()
    found = msgspec.json.decode(dead)
    assert (found["origin"], found["position"]) == (path.name, len(trade_line(1)))
    assert msgspec.convert(found["content"], bytes) == broken[:-1]
    assert reason in found["reason"]


def test_late_and_early_trades_are_found_in_neighbouring_segments(store: JournalStore, tmp_path: Path) -> None:
    """A late one lies in a later segment, one from an exchange whose clock is ahead in the segment before."""
    put_segment(tmp_path, trade_line(1, START_MS + HOUR_MS + 20))
    put_segment(tmp_path, trade_line(2, START_MS + HOUR_MS + 30, arrival=2), START_MS + HOUR_MS)
    put_segment(tmp_path, trade_line(3, START_MS + HOUR_MS + 40, arrival=3), START_MS + 2 * HOUR_MS)

    assert ids(store, NEXT) == [1, 2, 3]
    assert ids(store, NEXT) == [1, 2, 3]
    assert ids(store, HOUR) == []


def test_segment_that_ended_before_the_window_is_not_opened(store: JournalStore, tmp_path: Path) -> None:
    """Shown by one that cannot be read at all; other writers do not end it."""
    put_segment(tmp_path, trade_line(2), START_MS - HOUR_MS)
    put_segment(tmp_path, b"", START_MS - HOUR_MS // 2, writer="repair")
    old = put_segment(tmp_path, b"corrupt\n", START_MS - 3 * HOUR_MS)
    put_segment(tmp_path, b"", START_MS - 2 * HOUR_MS)

    read = read_whole(store, "KRW-BTC", HOUR)

    assert read.trades["trade_id"].to_list() == [2]
    assert not (tmp_path / "dead" / old.name).exists()


def test_arrival_tie_between_writers_goes_to_the_stream(store: JournalStore, tmp_path: Path) -> None:
    """Two writers count on their own."""
    put_segment(tmp_path, trade_line(1, source='"rest"'), writer="repair")
    put_segment(tmp_path, trade_line(1))

    assert read_whole(store, "KRW-BTC", HOUR).trades["source"].to_list() == ["stream"]


def test_counts_tell_stream_rest_repeats_and_other_types_apart(store: JournalStore, tmp_path: Path) -> None:
    """What the demo's report shows."""
    put_segment(
        tmp_path,
        trade_line(1)
        + trade_line(1, arrival=2)
        + trade_line(2, arrival=3)
        + trade_line(3, arrival=4, source='"rest"')
        + trade_line(4, START_MS + HOUR_MS, arrival=5)
        + trade_line(5, arrival=6, market="KRW-ETH")
        + ticker_line(START_MS)
        + ticker_line(START_MS + HOUR_MS)
        + ticker_line(START_MS, market="KRW-ETH"),
    )

    assert store.counts("KRW-BTC", HOUR) == RawCounts(
        stream_lines=3, rest_lines=1, distinct=3, repeats=1, other_lines=1
    )


def test_repairs_go_on_after_the_last_arrival_of_earlier_ones(store: JournalStore, tmp_path: Path) -> None:
    """Even when the clock stands still or was set back."""
    trade = Trade("KRW-BTC", 1, START_MS, 0, 0, 5.8e7, 124_000, Side.BUY, Change.RISE)
    put_segment(tmp_path, trade_line(9, arrival=START_MS * 1_000_000 + 77), writer="repair")

    store.append_repairs([trade])

    assert last_arrival(tmp_path / "journal", "repair") == START_MS * 1_000_000 + 78
    assert len(list_segments(tmp_path / "journal")) == 2
