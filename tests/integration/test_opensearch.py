"""The raw store against a real OpenSearch: ties, refusals, locks, templates, pruning, and a server that goes away."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from fakes import START_MS, FixedClock, read_whole
from servers import Server as OwnServer
from servers import address_of, running
from shipping import trade_line, trade_text
from tickloop.adapters.local.dead_letter import DeadLetter
from tickloop.adapters.local.journal_line import line_of
from tickloop.adapters.opensearch.connect import Server, open_server
from tickloop.adapters.opensearch.events import Events
from tickloop.adapters.opensearch.probe import check_opensearch
from tickloop.adapters.opensearch.prune import OpensearchPruning
from tickloop.adapters.opensearch.sink import OpensearchSink
from tickloop.adapters.opensearch.store import OpensearchStore
from tickloop.adapters.opensearch.template import VERSION, check_template, pruned_before_ms, put_template, template
from tickloop.adapters.upbit.parse import parse_frame
from tickloop.domain.market import Change, Side, Source, Trade
from tickloop.domain.tables import TRADE, TRADE_ORDER
from tickloop.domain.window import DAY_MS, HOUR_MS, Window
from tickloop.errors import DataError, StoreAwayError, StoreError

pytestmark = pytest.mark.server

HOUR = Window(START_MS, START_MS + HOUR_MS)
DAY = "2024.01.22"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with address_of("opensearch", tmp_path_factory.mktemp("opensearch")) as address:
        yield address


@pytest.fixture
def place(url: str) -> Iterator[tuple[Server, str]]:
    """A server and an index prefix of the test's own."""
    server, prefix = open_server(url), f"t{uuid.uuid4().hex[:12]}"
    yield server, prefix
    server.ask("DELETE", f"/{prefix}-2*")
    server.look("DELETE", f"/_index_template/{prefix}")
    server.close()


@pytest.fixture(scope="module")
def own_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnServer]:
    """A server that others do not use: it may be stopped, and its settings may be changed."""
    with running("opensearch", tmp_path_factory.mktemp("own")) as process:
        yield process


@pytest.fixture
def own(own_process: OwnServer) -> Iterator[Server]:
    server = open_server(own_process.address)
    yield server
    limit_requests(server, None)
    server.look("DELETE", "/tickloop-2*")
    server.close()


def waits_never(seconds: float) -> None:
    raise AssertionError(f"nothing is to be sent again, and not after {seconds} s")


def made_trade(trade_id: int, ts_ms: int = START_MS) -> Trade:
    return Trade("KRW-BTC", trade_id, ts_ms, 0, 0, 5.8e7, 124_000, Side.BUY, Change.RISE, Source.REST)


def line_at(trade_id: int, ts_ms: int, arrival: int) -> bytes:
    """The line of a trade that arrived in another order than that of the ids."""
    raw = trade_text(trade_id, ts_ms)
    return line_of(raw, parse_frame(raw), ts_ms * 1_000_000, arrival)


def store_at(place: tuple[Server, str], folder: Path, clock: FixedClock | None = None) -> OpensearchStore:
    return OpensearchStore(*place, clock or FixedClock(START_MS + HOUR_MS), folder)


def settings(server: Server, index: str, **values: Any) -> None:
    server.ask("PUT", f"/{index}/_settings", {name.replace("__", "."): value for name, value in values.items()})


def test_thousands_of_trades_of_one_millisecond_come_whole_in_small_pages(place: tuple[Server, str]) -> None:
    """Pages end within the ties; batches end between two milliseconds, so that each is in trade order."""
    lines = [line_at(9_000 - number, START_MS + 1, arrival=number) for number in range(3_000)]
    lines += [line_at(20_000 + number, START_MS + number, arrival=9_000 + number) for number in range(2_000)]
    assert OpensearchSink(*place).deliver(lines).created == 5_000

    batches = list(Events(*place, page_size=700).batches("KRW-BTC", HOUR))

    frame = pl.concat(batches)
    assert frame.height == 5_000
    assert frame["trade_id"].n_unique() == 5_000
    assert frame.equals(frame.sort(TRADE_ORDER))
    assert dict(frame.schema) == TRADE.columns
    assert len(batches) > 2
    assert all(one.height <= 3_000 + 700 for one in batches)


def test_window_that_nothing_was_stored_of_gives_no_batch(place: tuple[Server, str]) -> None:
    """Before the first line, and in an hour without trades."""
    events = Events(*place)
    assert list(events.batches("KRW-BTC", HOUR)) == []

    OpensearchSink(*place).deliver([trade_line(1, START_MS + 2 * HOUR_MS)])

    assert list(events.batches("KRW-BTC", HOUR)) == []


def test_document_that_the_server_refuses_is_told_with_its_reason(place: tuple[Server, str]) -> None:
    """The others of the request are stored."""
    bad = b'{"type":"ticker","code":"KRW-BTC","timestamp":"soon","@timestamp":"2024-01-22T00:00:00Z","doc_id":"x"}'

    done = OpensearchSink(*place, waits_never).deliver([trade_line(1), bad, trade_line(3)])

    assert (done.created, list(done.refused)) == (2, [1])
    assert "mapper_parsing_exception (400)" in done.refused[1]
    assert "failed to parse field [timestamp]" in done.refused[1]


def test_known_field_of_another_kind_costs_no_trade(place: tuple[Server, str]) -> None:
    """It stays in the document, and is told as drift; so does one that is new."""
    server, prefix = place
    line = trade_line(1, best_ask_price="none", colour="red")

    done = OpensearchSink(server, prefix).deliver([line])
    (found,) = next(iter(Events(server, prefix).scan("trade", "KRW-BTC", HOUR)))

    assert (done.created, dict(done.refused)) == (1, {})
    assert dict(done.drift) == {"best_ask_price": 1, "colour": 1}
    assert found == json.loads(line)


def test_tickers_are_scanned_by_their_own_time(place: tuple[Server, str]) -> None:
    """Several of one millisecond, in pages smaller than them; trades are no tickers."""
    raws = [
        b'{"type":"ticker","code":"KRW-BTC","timestamp":%d,"trade_timestamp":%d,"trade_price":%d.0,"change":"RISE"}'
        % (START_MS + number // 50, START_MS - 1, 1_000 + number)
        for number in range(100)
    ]
    lines = [line_of(raw, parse_frame(raw), 1, 1 + number) for number, raw in enumerate(raws)]
    OpensearchSink(*place).deliver([*lines, trade_line(1)])
    events = Events(*place, page_size=30)

    found = [one for batch in events.scan("ticker", "KRW-BTC", HOUR) for one in batch]

    assert sorted(one["trade_price"] for one in found) == [1_000.0 + number for number in range(100)]
    assert [one["timestamp"] for one in found] == sorted(one["timestamp"] for one in found)
    assert events.counts("KRW-BTC", HOUR).other_lines == 100


def test_document_that_is_no_trade_goes_to_the_dead_letter_once(place: tuple[Server, str], tmp_path: Path) -> None:
    """Another program may write into our index; the trades beside it are read all the same."""
    server, prefix = place
    OpensearchSink(server, prefix).deliver([trade_line(1), trade_line(3)])
    stray = {"type": "trade", "code": "KRW-BTC", "trade_timestamp": START_MS, "sequential_id": 2, "trade_price": None}
    server.ask("PUT", f"/{prefix}-{DAY}/_doc/stray", stray)
    store = store_at(place, tmp_path)

    first, second = read_whole(store, "KRW-BTC", HOUR), read_whole(store, "KRW-BTC", HOUR)

    assert first.trades["trade_id"].to_list() == second.trades["trade_id"].to_list() == [1, 3]
    assert (first.dead, second.dead) == (1, 0)
    (dead,) = DeadLetter(tmp_path / "opensearch").read()
    assert dead.origin == f"opensearch:{prefix}-{DAY}:stray"
    assert "trade_price" in dead.reason
    with pytest.raises(DataError, match=f"document stray of index {prefix}-{DAY}"):
        list(Events(server, prefix).batches("KRW-BTC", HOUR))


@pytest.mark.parametrize(
    ("block", "error", "words"),
    [
        ("index__blocks__write", StoreError, "blocks.write"),
        ("index__blocks__read_only_allow_delete", StoreAwayError, "disk is too full"),
    ],
)
def test_locked_index_takes_nothing_and_says_why_until_it_is_unlocked(
    place: tuple[Server, str], block: str, error: type[StoreError], words: str
) -> None:
    """Somebody's lock, and the one that a full disk brings; no line is refused for it."""
    server, prefix = place
    sink = OpensearchSink(server, prefix, waits_never)
    sink.deliver([trade_line(1)])
    settings(server, f"{prefix}-{DAY}", **{block: True})

    with pytest.raises(StoreError, match=words) as caught:
        sink.deliver([trade_line(1), trade_line(2)])

    settings(server, f"{prefix}-{DAY}", **{block: None})
    done = sink.deliver([trade_line(1), trade_line(2)])
    assert type(caught.value) is error
    assert (done.created, done.known, dict(done.refused)) == (1, 1, {})


def test_template_is_put_once_and_a_newer_one_is_left_alone(place: tuple[Server, str]) -> None:
    """An older one is replaced."""
    server, prefix = place
    path = f"/_index_template/{prefix}"

    assert put_template(server, prefix) is True
    assert put_template(server, prefix) is False
    server.ask("PUT", path, template(prefix) | {"version": VERSION - 1})
    assert put_template(server, prefix) is True
    server.ask("PUT", path, template(prefix) | {"version": VERSION + 1})
    with pytest.raises(StoreError, match="newer Tickloop"):
        OpensearchSink(server, prefix).deliver([trade_line(1)])


def test_older_template_is_replaced_by_the_first_delivery(place: tuple[Server, str]) -> None:
    """Version 1 sorted by time first. What was set by hand stays, and what was deleted for its age stays known."""
    server, prefix = place
    old = template(prefix, shards=2, replicas=1, pruned_before_ms=START_MS - DAY_MS)
    old["version"] = 1
    old["template"]["settings"]["index"]["sort.field"] = ["trade_timestamp", "code", "sequential_id"]
    server.ask("PUT", f"/_index_template/{prefix}", old)
    with pytest.raises(
        StoreError, match=r"has version 1 of index template .*; valid: 2; remedy: `tickloop ship --once`"
    ):
        check_template(server, prefix)

    OpensearchSink(server, prefix).deliver([trade_line(1)])

    check_template(server, prefix)
    found = json.loads(server.ask("GET", f"/{prefix}-{DAY}/_settings"))[f"{prefix}-{DAY}"]["settings"]["index"]
    assert found["sort"]["field"] == ["code", "trade_timestamp", "sequential_id"]
    assert (found["number_of_shards"], found["number_of_replicas"]) == ("2", "1")
    assert pruned_before_ms(server, prefix) == START_MS - DAY_MS


def test_template_that_vanished_is_put_again_before_the_next_day(place: tuple[Server, str]) -> None:
    """Or the fields of that day would be guessed."""
    server, prefix = place
    sink = OpensearchSink(server, prefix)
    sink.deliver([trade_line(1)])
    server.ask("DELETE", f"/_index_template/{prefix}")

    sink.deliver([trade_line(2, START_MS + DAY_MS)])

    mapping = json.loads(server.ask("GET", f"/{prefix}-2024.01.23/_mapping"))
    assert mapping[f"{prefix}-2024.01.23"]["mappings"]["_meta"] == {"tickloop": {"version": VERSION}}


def test_index_made_without_the_template_is_told_with_the_remedy(place: tuple[Server, str]) -> None:
    """By the reader and by doctor: it was there before the template."""
    server, prefix = place
    server.ask("PUT", f"/{prefix}-{DAY}/_doc/1", {"code": "KRW-BTC", "type": "trade", "trade_timestamp": START_MS})
    put_template(server, prefix)

    with pytest.raises(StoreError, match="made without our template"):
        list(Events(server, prefix).batches("KRW-BTC", HOUR))
    with pytest.raises(StoreError, match=f"{prefix}-{DAY} was made without our template"):
        check_opensearch(server, prefix)


def test_closed_index_is_no_empty_hour(place: tuple[Server, str], tmp_path: Path) -> None:
    """Its trades are there, only not to be read."""
    server, prefix = place
    OpensearchSink(server, prefix).deliver([trade_line(1)])
    server.ask("POST", f"/{prefix}-{DAY}/_close")

    with pytest.raises(StoreError, match=f"{prefix}-{DAY} is closed.*_open"):
        read_whole(store_at(place, tmp_path), "KRW-BTC", HOUR)


def test_old_days_are_deleted_and_never_read_as_empty(place: tuple[Server, str], tmp_path: Path) -> None:
    """What is pruned is told; newer days stay; a second look finds nothing to do."""
    server, prefix = place
    OpensearchSink(server, prefix).deliver([trade_line(number, START_MS + number * DAY_MS) for number in range(4)])
    pruning = OpensearchPruning(server, prefix, keep_days=2)
    now_ms = START_MS + 4 * DAY_MS + HOUR_MS

    assert pruning.prune(now_ms) == [f"{prefix}-2024.01.22", f"{prefix}-2024.01.23"]
    assert pruning.prune(now_ms) == []
    store = store_at(place, tmp_path)
    with pytest.raises(DataError, match=r"no events of 2024-01-22 any more \(opensearch.keep_days\)"):
        read_whole(store, "KRW-BTC", HOUR)
    kept = Window(START_MS + 2 * DAY_MS, START_MS + 5 * DAY_MS)
    assert read_whole(store, "KRW-BTC", kept).trades["trade_id"].to_list() == [2, 3]
    assert put_template(server, prefix) is False


def test_arrival_of_repairs_goes_on_when_the_clock_was_set_back(place: tuple[Server, str], tmp_path: Path) -> None:
    """Over a restart of the process too: the order of repairs is that in which they were made."""
    trades = [made_trade(number) for number in range(1, 5)]
    store_at(place, tmp_path, FixedClock(START_MS + HOUR_MS)).append_repairs(trades[:2])
    later = store_at(place, tmp_path, FixedClock(START_MS))

    later.append_repairs(trades[2:3])
    later.append_repairs(trades[3:])

    rows = read_whole(later, "KRW-BTC", HOUR).trades.select("trade_id", "arrival").rows()
    first = (START_MS + HOUR_MS) * 1_000_000
    assert rows == [(1, first), (2, first + 1), (3, first + 2), (4, first + 3)]


def test_doctor_writes_reads_and_leaves_nothing_behind(place: tuple[Server, str]) -> None:
    """Without a template it says who puts it."""
    server, prefix = place
    with pytest.raises(StoreError, match="ship --once"):
        check_opensearch(server, prefix)
    OpensearchSink(server, prefix).deliver([trade_line(1)])

    said = check_opensearch(server, prefix)

    assert f"template {prefix} {VERSION}, 1 daily indices" in said
    assert server.ask("GET", f"/_cat/indices/{prefix}-*", h="index").split() == [f"{prefix}-{DAY}"]


def test_what_an_overloaded_server_gave_back_is_sent_again_with_pauses(own: Server) -> None:
    """It says 429 for as long as its memory for requests is short; then all is stored, once."""
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            limit_requests(own, None)

    sink = OpensearchSink(own, "tickloop", wait)
    lines = [trade_line(number) for number in range(100)]
    sink.deliver(lines[:1])
    limit_requests(own, "1kb")

    done = sink.deliver(lines)

    assert (done.created, done.known, len(waited)) == (99, 1, 3)
    assert all(0 <= seconds <= 5 for seconds in waited)


def test_server_that_stays_overloaded_is_away(own: Server) -> None:
    """After some attempts; who delivers decides how long to go on."""
    waited: list[float] = []
    sink = OpensearchSink(own, "tickloop", waited.append)
    sink.deliver([trade_line(1)])
    limit_requests(own, "1kb")

    with pytest.raises(StoreAwayError, match=r"overloaded.*circuit_breaking_exception \(429\)"):
        sink.deliver([trade_line(number) for number in range(100)])

    limit_requests(own, None)
    assert len(waited) == 4


def limit_requests(server: Server, most: str | None) -> None:
    server.ask("PUT", "/_cluster/settings", {"transient": {"network.breaker.inflight_requests.limit": most}})


def test_delivery_and_reading_go_on_where_the_server_comes_back(own_process: OwnServer) -> None:
    """Stopped in order and killed: what was acknowledged stays, and what is delivered again is known."""
    place = open_server(own_process.address), "back"
    sink, events = OpensearchSink(*place), Events(*place, page_size=100)
    lines = [trade_line(number, START_MS + number) for number in range(1_000)]
    sink.deliver(lines[:500])
    reading = events.batches("KRW-BTC", HOUR)
    next(reading)

    own_process.stop()
    with pytest.raises(StoreAwayError, match=r"\(opensearch.url\) cannot be reached"):
        sink.deliver(lines[500:])
    own_process.start()
    with pytest.raises(StoreAwayError, match=r"read again|cannot be reached"):  # a page may have been on its way
        list(reading)

    assert sink.deliver(lines).created == 500
    own_process.stop(9)
    own_process.start()
    assert sink.deliver(lines).known == 1_000
    assert pl.concat(events.batches("KRW-BTC", HOUR))["trade_id"].to_list() == list(range(1_000))
