"""Every event sink stores each line of the journal once, however often it is delivered, and says what it refuses."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from fakes import START_MS
from servers import address_of
from shipping import MemorySink, trade_line
from tickloop.adapters.opensearch.sink import open_sink
from tickloop.domain.window import DAY_MS
from tickloop.ports import EventSink


@pytest.fixture(scope="module")
def opensearch_here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with address_of("opensearch", tmp_path_factory.mktemp("opensearch")) as url:
        yield url


@pytest.fixture(params=["memory", pytest.param("opensearch", marks=pytest.mark.server)])
def sink(request: pytest.FixtureRequest) -> Iterator[EventSink]:
    """Give an empty sink."""
    if request.param == "memory":
        made: EventSink = MemorySink()
    else:
        made = open_sink(request.getfixturevalue("opensearch_here"), f"t{uuid.uuid4().hex[:12]}")
    yield made
    made.close()


def test_line_that_is_new_is_created_and_known_from_then_on(sink: EventSink) -> None:
    """A repeated delivery changes nothing, in a later call as within one."""
    lines = [trade_line(number) for number in range(3)]

    first = sink.deliver(lines)
    second = sink.deliver([*lines, trade_line(3), trade_line(3)])

    assert (first.created, first.known, dict(first.refused)) == (3, 0, {})
    assert (second.created, second.known, dict(second.refused)) == (1, 4, {})


def test_nothing_is_delivered_when_there_is_nothing(sink: EventSink) -> None:
    """No request is made of no lines."""
    done = sink.deliver([])

    assert (done.created, done.known, dict(done.refused), dict(done.drift)) == (0, 0, {}, {})


def test_line_without_its_line_break_is_stored_as_well(sink: EventSink) -> None:
    """The last line too."""
    done = sink.deliver([trade_line(1), trade_line(2).rstrip(b"\n")])

    assert (done.created, dict(done.refused)) == (2, {})


def test_same_trade_from_stream_and_rest_is_one(sink: EventSink) -> None:
    """`doc_id` is the same, whatever else the lines hold: the one that came first stands."""
    sink.deliver([trade_line(7)])

    done = sink.deliver([trade_line(7, source="rest", trade_price=1.0)])

    assert (done.created, done.known) == (0, 1)


def test_events_of_one_id_each_day_are_kept_apart_by_their_doc_id(sink: EventSink) -> None:
    """Days may lie in different places of the sink; events of several days may come in one call."""
    lines = [trade_line(number, START_MS + number * DAY_MS) for number in range(3)]

    assert sink.deliver(lines).created == 3
    assert sink.deliver(lines).known == 3


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (b'{"type":"trade","code":"KRW-BTC"\n', ""),
        (b"\x00\x00\x00\n", ""),
        (b"[1,2]\n", ""),
        (b'{"type":"trade","code":"KRW-BTC","sequential_id":1}\n', "doc_id"),
        (trade_line(9).replace(b"58000000.0", b'"high"'), "trade_price"),
    ],
    ids=["cut off", "zeros", "no object", "no doc_id", "wrong type"],
)
def test_line_that_can_never_be_stored_is_refused_with_its_reason(sink: EventSink, bad: bytes, words: str) -> None:
    """The others of the same call are stored."""
    done = sink.deliver([trade_line(1), bad, trade_line(2)])

    assert (done.created, done.known) == (2, 0)
    assert list(done.refused) == [1]
    assert words in done.refused[1]


def test_field_that_the_exchange_adds_is_stored_and_told(sink: EventSink) -> None:
    """Drift of the schema must not refuse a day's trades."""
    done = sink.deliver([trade_line(1), trade_line(2, new_field="x"), trade_line(3, new_field=1, other=[1])])

    assert (done.created, dict(done.refused)) == (3, {})
    assert dict(done.drift) == {"new_field": 2, "other": 1}
