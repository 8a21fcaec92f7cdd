"""Reading the journal again and again: only what is new is read, and the answer is that of a first reading."""

import json
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_journal_store import put_segment, trade_line

from fakes import START_MS, FixedClock, read_whole
from tickloop.adapters.local import journal_index
from tickloop.adapters.local.dead_letter import DeadLetter
from tickloop.adapters.local.journal import JournalStore
from tickloop.adapters.local.segments import list_segments
from tickloop.domain.market import Change, Side, Source, Trade
from tickloop.domain.window import HOUR_MS, MINUTE_MS, Window
from tickloop.errors import HomeNotWritableError

MARKETS = ("KRW-BTC", "KRW-ETH", "KRW-XRP")
HOURS = [Window(START_MS + hour * HOUR_MS, START_MS + (hour + 1) * HOUR_MS) for hour in range(4)]
DEAD = b'{"type":"trade","no":"doc_id"}\n'


def store_of(folder: Path, dead: str = "dead", most_bytes: int = journal_index.MOST_BYTES) -> JournalStore:
    return JournalStore(folder / "journal", folder / dead, FixedClock(), most_bytes)


def ids(store: JournalStore, market: str = "KRW-BTC", window: Window = HOURS[0]) -> list[int]:
    return read_whole(store, market, window).trades["trade_id"].to_list()


def spoil(path: Path) -> None:
    """Put something else in place of all lines: who reads the segment again finds nothing but dead ones."""
    path.write_bytes(b"x" * (path.stat().st_size - 1) + b"\n")


def buried(folder: Path) -> list[tuple[str, int, bytes]]:
    return sorted(
        (one.origin, one.position, one.content) for path in folder.glob("*.jsonl") for one in DeadLetter(path).read()
    )


# --- a journal that grows, and what must be read from it --------------------------------------------------------


@dataclass
class Model:
    """Grows a journal by one thing at a time, and knows what a reading must give."""

    folder: Path
    now_ms: int = START_MS + MINUTE_MS
    lines: list[dict[str, object]] = field(default_factory=list)
    dead: list[tuple[str, int, bytes]] = field(default_factory=list)
    path: Path | None = None
    torn: tuple[bytes, dict[str, object] | None] | None = None
    arrival: int = 0
    clock: FixedClock = field(default_factory=FixedClock)

    def __post_init__(self) -> None:
        self.repairing = JournalStore(self.folder / "journal", self.folder / "unused", self.clock)

    def begin_segment(self) -> None:
        """No two begin at once; a torn line of the one before stays as it is for ever."""
        self.torn = None
        self.pass_time(1)
        self.path = put_segment(self.folder, b"", self.now_ms)

    def trade(self, market: str, trade_id: int, late_ms: int, cut: int) -> None:
        """A line, of which perhaps only a part is there until the next write."""
        self.arrival = max(self.arrival + 1, self.now_ms * 1_000_000)
        ts_ms = max(START_MS, self.now_ms - late_ms)
        row = {"market": market, "id": trade_id, "ts": ts_ms, "arrival": self.arrival, "source": "stream"}
        line = trade_line(trade_id, ts_ms, self.arrival, market)
        if cut:
            self._write(line[:cut])
            self.torn = line[cut:], row
        else:
            self._write(line)
            self.lines.append(row)

    def dead_line(self) -> None:
        path = self._open()
        self._complete()
        self.dead.append((path.name, path.stat().st_size, DEAD[:-1]))
        self._write(DEAD)

    def repair(self, market: str, trade_ids: list[int], late_ms: int) -> None:
        self.clock.set(self.now_ms)
        ts_ms = max(START_MS, self.now_ms - late_ms)
        trades = [
            Trade(market, number, ts_ms, 0, 0, 5.8e7, 124_000, Side.BUY, Change.RISE, Source.REST)
            for number in trade_ids
        ]
        self.repairing.append_repairs(trades)
        for number in trade_ids:
            self.lines.append({"market": market, "id": number, "ts": ts_ms, "arrival": None, "source": "rest"})

    def pass_time(self, ms: int) -> None:
        self.now_ms += ms

    def expected(self, market: str, window: Window) -> tuple[list[int], int]:
        """Give the ids, sorted, and the number of lines."""
        found = [row["id"] for row in self.lines if row["market"] == market and row["ts"] in window]
        return sorted(set(found)), len(found)

    def _open(self) -> Path:
        if self.path is None:
            self.begin_segment()
        assert self.path is not None
        return self.path

    def _complete(self) -> None:
        if self.torn is not None:
            rest, row = self.torn
            self.torn = None
            with self._open().open("ab") as file:
                file.write(rest)
            if row is not None:
                self.lines.append(row)

    def _write(self, data: bytes) -> None:
        path = self._open()
        self._complete()
        with path.open("ab") as file:
            file.write(data)


market = st.sampled_from(MARKETS)
number = st.integers(1, 40)
late = st.sampled_from([0, 0, 0, MINUTE_MS, HOUR_MS, 3 * HOUR_MS])
action = st.one_of(
    st.tuples(st.just("trade"), market, number, late, st.sampled_from([0, 0, 1, 150])),
    st.tuples(st.just("repair"), market, st.lists(number, min_size=1, max_size=4), late),
    st.tuples(st.just("dead_line")),
    st.tuples(st.just("begin_segment")),
    st.tuples(st.just("pass_time"), st.integers(1, HOUR_MS // 2)),
    st.tuples(st.just("read"), market, st.sampled_from(HOURS)),
)


@settings(max_examples=30, deadline=None)
@given(
    actions=st.lists(action, min_size=20, max_size=60),
    most_bytes=st.sampled_from([0, 200, journal_index.MOST_BYTES]),
    chunk_bytes=st.sampled_from([64, 700, 4_000_000]),
)
def test_every_reading_of_a_growing_journal_is_as_a_first_one(
    actions: list[tuple[object, ...]], most_bytes: int, chunk_bytes: int
) -> None:
    """Late lines, repairs, torn ends and dead lines among them, whatever is let go in between."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal_index, "_CHUNK_BYTES", chunk_bytes)
        folder = Path(name)
        model, store, dead = Model(folder), store_of(folder, most_bytes=most_bytes), 0
        windows = [(one, hour) for one in MARKETS for hour in HOURS]
        for what, *arguments in [*actions, *(("read", *one) for one in windows)]:
            if what != "read":
                getattr(model, str(what))(*arguments)
                continue
            of, window = arguments
            read = read_whole(store, of, window)
            fresh = read_whole(store_of(folder, "dead-again"), of, window)
            dead += read.dead

            assert read.trades.equals(fresh.trades)
            assert (read.lines, read.repeats) == (fresh.lines, fresh.repeats)
            assert (sorted(read.trades["trade_id"]), read.lines) == model.expected(of, window)

        assert buried(folder / "dead") == sorted(model.dead)
        assert dead == len(model.dead)
        arrivals = [
            json.loads(line)["arrival"]
            for segment in list_segments(folder / "journal")
            if segment.writer == "repair"
            for line in segment.path.read_bytes().splitlines()
        ]
        assert arrivals == sorted(set(arrivals))


# --- what is read, and what is not ------------------------------------------------------------------------------


def test_segment_is_read_once_for_all_markets_and_then_where_it_has_grown(tmp_path: Path) -> None:
    """Shown by a segment whose lines are replaced by others in between."""
    store = store_of(tmp_path)
    path = put_segment(tmp_path, trade_line(1) + trade_line(2, arrival=2, market="KRW-ETH"))

    first = ids(store)
    spoil(path)
    with path.open("ab") as file:
        file.write(trade_line(3, arrival=3))

    assert first == [1]
    assert ids(store, "KRW-ETH") == [2]
    assert ids(store) == [1, 3]
    assert buried(tmp_path / "dead") == []


def test_of_segments_that_were_let_go_only_those_with_the_market_and_hour_are_read_again(tmp_path: Path) -> None:
    """A repair of one market must not make the others slow."""
    store = store_of(tmp_path, most_bytes=0)
    put_segment(tmp_path, trade_line(1))
    other_market = put_segment(tmp_path, trade_line(2, market="KRW-ETH"), START_MS + 1)
    other_hour = put_segment(tmp_path, trade_line(3, START_MS + HOUR_MS), START_MS + HOUR_MS)

    first = ids(store)
    spoil(other_market)
    spoil(other_hour)

    assert first == ids(store) == [1]
    assert ids(store, "KRW-ETH") == []


def test_lines_that_could_not_be_buried_are_not_passed_over(tmp_path: Path) -> None:
    """The dead letter's disk was full, or not there: the next reading buries them."""
    store = store_of(tmp_path)
    put_segment(tmp_path, trade_line(1) + DEAD)
    (tmp_path / "dead").write_text("in the way")

    with pytest.raises(HomeNotWritableError):
        read_whole(store, "KRW-BTC", HOURS[0])
    (tmp_path / "dead").unlink()
    read = read_whole(store, "KRW-BTC", HOURS[0])

    assert (read.lines, read.dead) == (1, 1)
    assert [content for _, _, content in buried(tmp_path / "dead")] == [DEAD[:-1]]


def test_segments_that_were_removed_are_forgotten(tmp_path: Path) -> None:
    """An operator may move old ones away."""
    store = store_of(tmp_path)
    old = put_segment(tmp_path, trade_line(1))
    put_segment(tmp_path, trade_line(2, arrival=2), START_MS + 1)

    before = ids(store)
    old.unlink()

    assert (before, ids(store)) == ([1, 2], [2])


def test_several_threads_read_what_one_would(tmp_path: Path) -> None:
    """Back-fill reads markets in parallel, while the collector writes."""
    store = store_of(tmp_path, most_bytes=2_000)
    path = put_segment(tmp_path, b"")
    start = threading.Barrier(5)

    def write() -> None:
        start.wait(10)
        for place in range(300):
            with path.open("ab") as file:
                file.write(trade_line(place, arrival=place, market=MARKETS[place % 3]) + DEAD * (place % 10 == 0))

    def read(market: str) -> int:
        start.wait(10)
        return sum(read_whole(store, market, HOURS[0]).dead for _ in range(40))

    with ThreadPoolExecutor(5) as pool:
        writing = pool.submit(write)
        dead = sum(pool.map(read, (*MARKETS, MARKETS[0])))
        writing.result()
    dead += read_whole(store, MARKETS[0], HOURS[0]).dead

    assert [ids(store, market) for market in MARKETS] == [list(range(first, 300, 3)) for first in range(3)]
    assert dead == len(buried(tmp_path / "dead")) == 30


# --- repairs ----------------------------------------------------------------------------------------------------


def missed(trade_id: int) -> list[Trade]:
    return [Trade("KRW-BTC", trade_id, START_MS, 0, 0, 5.8e7, 124_000, Side.BUY, Change.RISE, Source.REST)]


def repair_segments(folder: Path) -> list[Path]:
    return [segment.path for segment in list_segments(folder / "journal")]


def test_repairs_of_one_process_share_a_segment_until_the_hour_is_over(tmp_path: Path) -> None:
    """Thousands of repairs are no thousands of files."""
    clock = FixedClock()
    store = JournalStore(tmp_path / "journal", tmp_path / "dead", clock)

    for number in range(5):
        store.append_repairs(missed(number))
    of_one_hour = len(repair_segments(tmp_path))
    clock.advance(HOUR_MS)
    store.append_repairs(missed(5))

    assert (of_one_hour, len(repair_segments(tmp_path))) == (1, 2)
    assert ids(store) == [0, 1, 2, 3, 4, 5]


def test_repair_begins_a_segment_after_another_process_has_repaired(tmp_path: Path) -> None:
    """So that each segment ends where the next one begins, and arrival grows over all of them."""
    stores = [store_of(tmp_path), store_of(tmp_path)]

    for number in range(4):
        stores[number % 2].append_repairs(missed(number))

    assert len(repair_segments(tmp_path)) == 4
    read = read_whole(stores[0], "KRW-BTC", HOURS[0]).trades
    assert read.sort("arrival")["trade_id"].to_list() == [0, 1, 2, 3]
    assert read["arrival"].is_unique().all()


def test_nothing_is_added_to_a_repair_that_was_cut_off(tmp_path: Path) -> None:
    """A line behind half a line would be lost with it."""
    store = store_of(tmp_path)
    store.append_repairs(missed(1))
    with repair_segments(tmp_path)[0].open("ab") as file:
        file.write(b'{"type":"tra')

    store.append_repairs(missed(2))

    assert len(repair_segments(tmp_path)) == 2
    assert ids(store) == [1, 2]
