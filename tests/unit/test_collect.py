"""The collector over a fake feed: order, sessions, and an end that leaves nothing unsynced."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence

import pytest

from tickloop.domain.arrivals import ArrivalCounts
from tickloop.errors import HomeNotWritableError, RejectedError
from tickloop.ports import Disconnected, DiskShortage, Frames
from tickloop.services.collect import Collected, Missed, collect


class ScriptedFeed:
    """Yields its items, then raises `end` or stays silent until it is closed."""

    def __init__(self, items: Sequence[Frames | Disconnected], end: Exception | None = None) -> None:
        self.items = items
        self.end = end
        self.is_silent = asyncio.Event()
        self.is_closed = False

    async def batches(self) -> AsyncIterator[Frames | Disconnected]:
        try:
            for item in self.items:
                yield item
            if self.end is not None:
                raise self.end
            self.is_silent.set()
            await asyncio.Event().wait()
        finally:
            self.is_closed = True


class ListJournal:
    """Keeps raw messages; full after every `room` of them until drained, short of disk when told so."""

    arrivals = ArrivalCounts(1, 2, 3)

    def __init__(self, room: int = 1_000, failure: HomeNotWritableError | None = None) -> None:
        self.shortage: DiskShortage | None = None
        self.kept: list[bytes] = []
        self.given: list[int] = []
        self.room = room
        self.queued = 0
        self.failure = failure
        self.is_closed = False

    @property
    def is_full(self) -> bool:
        return self.queued >= self.room

    def append_all(self, frames: Frames) -> Counter[str]:
        if self.failure is not None:
            raise self.failure
        self.kept += frames.raws
        self.given.append(len(frames.raws))
        self.queued += len(frames.raws)
        return Counter("trade" if raw.startswith(b"t") else "dead" for raw in frames.raws)

    def has_synced(self, market: str, trade_id: int) -> bool:
        return False

    async def drain(self) -> None:
        self.queued = 0
        self.shortage = None

    async def close(self) -> None:
        self.is_closed = True


class ListSessions:
    def __init__(self) -> None:
        self.events: list[tuple[str, int, str]] = []
        self.markets: list[tuple[str, ...]] = []

    async def connected(self, at_ms: int, markets: Sequence[str] = ()) -> None:
        self.events.append(("connected", at_ms, ""))
        self.markets.append(tuple(markets))

    async def disconnected(self, at_ms: int, reason: str, markets: Sequence[str] = ()) -> None:
        self.events.append(("disconnected", at_ms, reason))
        self.markets.append(tuple(markets))


def kept_in(found: list[tuple[object, ...]]) -> Missed:
    async def missed(*gap: object) -> None:
        found.append(gap)

    return missed


def frames(*names: str, at_ms: int) -> Frames:
    return Frames([name.encode() for name in names], at_ms * 1_000_000)


ITEMS = [
    Disconnected(None, 100, "start"),
    frames("t1", "x", at_ms=115),
    frames("t2", at_ms=120),
    Disconnected(120, 180, "reset"),
    frames("t3", at_ms=190),
]


async def test_feed_goes_to_the_journal_in_order_until_the_stop() -> None:
    """Counts per kind, a session per connection, and a journal closed after the feed."""
    feed, journal, sessions = ScriptedFeed(ITEMS), ListJournal(room=2), ListSessions()
    stop, reports = asyncio.Event(), list[int]()
    running = asyncio.create_task(
        collect(feed, journal, sessions, lambda state: reports.append(state.connections), stop)
    )
    await asyncio.wait_for(feed.is_silent.wait(), 5)

    stop.set()
    state = await asyncio.wait_for(running, 5)

    assert journal.kept == [b"t1", b"x", b"t2", b"t3"]
    assert (dict(state.kinds), state.connections, state.waits) == ({"trade": 3, "dead": 1}, 2, 1)
    assert (state.connected_at_ms, state.last_ms) == (180, 190)
    assert sessions.events == [
        ("connected", 100, ""),
        ("disconnected", 120, "reset"),
        ("connected", 180, ""),
        ("disconnected", 190, "stopped"),
    ]
    assert feed.is_closed
    assert journal.is_closed
    assert reports == [1, 2, 2]


@pytest.mark.parametrize(
    ("feed_end", "journal_failure", "expected"),
    [
        (RejectedError("NO_CODES", "m", 400), None, RejectedError),
        (None, HomeNotWritableError("/x cannot be written"), HomeNotWritableError),
    ],
)
async def test_failure_of_feed_or_disk_ends_the_collector_in_order(
    feed_end: Exception | None, journal_failure: HomeNotWritableError | None, expected: type[Exception]
) -> None:
    """The error comes out after the journal was closed and the session's end was recorded."""
    feed, journal, sessions = ScriptedFeed(ITEMS, feed_end), ListJournal(failure=journal_failure), ListSessions()

    with pytest.raises(expected) as caught:
        await asyncio.wait_for(collect(feed, journal, sessions, _ignore, asyncio.Event()), 5)

    assert journal.is_closed
    assert feed.is_closed
    assert sessions.events[-1][2] == str(caught.value)


async def test_what_may_be_missing_is_told_with_its_markets() -> None:
    """The start has no beginning; a loss of one connection names its markets, one of all names none."""
    items = [Disconnected(None, 100, "start"), frames("t1", at_ms=110), Disconnected(110, 180, "reset", ("KRW-ETH",))]
    feed, sessions, missed = ScriptedFeed(items), ListSessions(), list[tuple[object, ...]]()
    stop = asyncio.Event()
    running = asyncio.create_task(
        collect(
            feed,
            ListJournal(),
            sessions,
            _ignore,
            stop,
            markets=lambda: ("KRW-BTC", "KRW-ETH"),
            missed=kept_in(missed),
        )
    )
    await asyncio.wait_for(feed.is_silent.wait(), 5)

    stop.set()
    state = await asyncio.wait_for(running, 5)

    both, one = ("KRW-BTC", "KRW-ETH"), ("KRW-ETH",)
    assert missed == [(both, None, 100), (one, 110, 180)]
    assert sessions.markets == [both, one, one, both]
    assert state.arrivals == ArrivalCounts(1, 2, 3)


async def test_time_in_which_a_full_disk_stopped_the_reading_is_told() -> None:
    """From the last frame kept until now: the exchange gives up on who does not read, and tells nobody."""
    journal, missed = ListJournal(room=2), list[tuple[object, ...]]()
    journal.shortage = DiskShortage(0, 1_000)
    feed, stop = ScriptedFeed([frames(f"t{number}", at_ms=100 + number) for number in range(4)]), asyncio.Event()
    running = asyncio.create_task(collect(feed, journal, ListSessions(), _ignore, stop, missed=kept_in(missed)))
    await asyncio.wait_for(feed.is_silent.wait(), 5)

    stop.set()
    await asyncio.wait_for(running, 5)

    assert missed == [((), 101, None)]
    assert journal.kept == [b"t0", b"t1", b"t2", b"t3"]


async def test_large_batch_goes_in_parts_with_a_look_for_room_before_each() -> None:
    """A burst may not overfill the journal by more than a part."""
    feed, journal, stop = (
        ScriptedFeed([frames(*(f"t{n}" for n in range(600)), at_ms=100)]),
        ListJournal(250),
        asyncio.Event(),
    )
    running = asyncio.create_task(collect(feed, journal, ListSessions(), _ignore, stop))
    await asyncio.wait_for(feed.is_silent.wait(), 5)

    stop.set()
    state = await asyncio.wait_for(running, 5)

    assert journal.given == [250, 250, 100]
    assert journal.kept == [b"t%d" % number for number in range(600)]
    assert (state.waits, state.kinds["trade"]) == (2, 600)


async def test_failure_beside_the_collector_ends_it_in_order() -> None:
    """A bug in a helper is not swallowed, and what was received is kept."""

    async def fail() -> None:
        raise RuntimeError("a bug")

    feed, journal, sessions = ScriptedFeed(ITEMS), ListJournal(), ListSessions()

    with pytest.raises(RuntimeError, match="a bug"):
        await asyncio.wait_for(collect(feed, journal, sessions, _ignore, asyncio.Event(), beside=(fail(),)), 5)

    assert journal.is_closed


def _ignore(_state: Collected) -> None:
    pass
