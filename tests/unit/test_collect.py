"""The collector over a fake feed: order, sessions, and an end that leaves nothing unsynced."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from tickloop.adapters.local.sessions import FileSessionLog, Session
from tickloop.errors import HomeNotWritableError, RejectedError
from tickloop.ports import Disconnected, Frame
from tickloop.services.collect import Collected, collect


class ScriptedFeed:
    """Yields its items, then raises `end` or stays silent until it is closed."""

    def __init__(self, items: Sequence[Frame | Disconnected], end: Exception | None = None) -> None:
        self.items = items
        self.end = end
        self.is_silent = asyncio.Event()
        self.is_closed = False

    async def frames(self) -> AsyncIterator[Frame | Disconnected]:
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
    """Keeps raw messages; full after every `room` of them until drained."""

    def __init__(self, room: int = 1_000, failure: HomeNotWritableError | None = None) -> None:
        self.kept: list[bytes] = []
        self.room = room
        self.queued = 0
        self.failure = failure
        self.is_closed = False

    @property
    def is_full(self) -> bool:
        return self.queued >= self.room

    def append(self, frame: Frame) -> str:
        if self.failure is not None:
            raise self.failure
        self.kept.append(frame.raw)
        self.queued += 1
        return "trade" if frame.raw.startswith(b"t") else "dead"

    async def drain(self) -> None:
        self.queued = 0

    async def close(self) -> None:
        self.is_closed = True


class ListSessions:
    def __init__(self) -> None:
        self.events: list[tuple[str, int, str]] = []

    async def connected(self, at_ms: int) -> None:
        self.events.append(("connected", at_ms, ""))

    async def disconnected(self, at_ms: int, reason: str) -> None:
        self.events.append(("disconnected", at_ms, reason))


def frame(name: str, at_ms: int) -> Frame:
    return Frame(name.encode(), at_ms * 1_000_000)


ITEMS = [
    Disconnected(None, 100, "start"),
    frame("t1", 110),
    frame("x", 115),
    frame("t2", 120),
    Disconnected(120, 180, "reset"),
    frame("t3", 190),
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


async def test_session_log_pairs_starts_with_ends(tmp_path: Path) -> None:
    """A session whose process was killed has no end; a half-written line is skipped."""
    path = tmp_path / "sessions" / "collector.jsonl"
    log = FileSessionLog(path)
    assert log.sessions() == []

    await log.connected(100)
    await log.disconnected(120, "reset")
    await log.connected(180)
    with path.open("ab") as file:
        file.write(b'{"event":"disc')
    await log.connected(300)

    assert log.sessions() == [Session(100, 120, "reset"), Session(180, None, None), Session(300, None, None)]


def _ignore(_state: Collected) -> None:
    pass
