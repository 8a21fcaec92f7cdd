"""Collect: every message of the feed into the journal, in the order of arrival."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from tickloop.domain.arrivals import ArrivalCounts
from tickloop.errors import HomeNotWritableError
from tickloop.ports import BatchFeed, Disconnected, DiskShortage, Frames, Journal, SessionLog

_REPORT_EVERY_S = 1.0  # real

_MOST_AT_ONCE = 250
"""Messages given to the journal between two looks whether it is full: it holds no more than these above its limit."""

_LONG_WAIT_S = 10.0
"""Real seconds without reading after which some may be lost: the exchange gives up on who does not take its messages,
and what is read last then looks newer than it is."""


@dataclass
class Collected:
    """What has been collected so far.

    Attributes:
        kinds: messages by kind: trade, ticker, orderbook, candle; dead were unreadable, status and error are no data.
        connections: times that the feed, or one of its connections, was connected.
        waits: times that the feed was not read because the journal was full.
        connected_at_ms: market time since which nothing was missed, None before the first connection.
        last_ms: market time of the last message, or of the connection when none came yet.
        shortage: what the disk lacks while nothing is taken in for want of room.
        arrivals: trades that came twice, late or out of order.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    waits: int = 0
    connected_at_ms: int | None = None
    last_ms: int | None = None
    shortage: DiskShortage | None = None
    arrivals: ArrivalCounts = field(default_factory=ArrivalCounts)


class Missed(Protocol):
    async def __call__(self, markets: Sequence[str], since_ms: int | None, until_ms: int | None, /) -> None:
        """Take note, for good, that events of markets may be missing between two market times.

        `since_ms` None is the first connection, `until_ms` None is now.
        """


async def collect(
    feed: BatchFeed,
    journal: Journal,
    sessions: SessionLog,
    report: Callable[[Collected], None],
    stop: asyncio.Event,
    *,
    markets: Callable[[], Sequence[str]] = tuple,
    missed: Missed | None = None,
    beside: Sequence[Coroutine[Any, Any, None]] = (),
) -> Collected:
    """Write the feed to the journal until `stop` is set or the feed ends; then everything received is synced.

    While the disk is full the feed is not read; what may be lost by that is told to `missed` when it goes on.

    Args:
        report: called at each connection and about once a second.
        markets: gives the markets of the feed as they are now.
        missed: hears of every stretch of time in which events may be missing.
        beside: what runs as long as this does; an error of theirs ends it.

    Raises:
        HomeNotWritableError: the disk refuses for another reason than want of room; what was written before stands.
        ExchangeError: the exchange refuses the subscription.
    """
    state = Collected()

    def tell() -> None:
        state.shortage, state.arrivals = journal.shortage, journal.arrivals
        report(state)

    reader = _Reader(feed, journal, sessions, tell, state, markets, missed or _ignore)
    reading = asyncio.create_task(reader.read())
    helpers = [asyncio.create_task(one) for one in (_report(tell), *beside)]
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((reading, stopping, *helpers), return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _end(reading, stopping, *helpers)
        problem = next(filter(None, map(_problem, (reading, *helpers))), None)
        problem = await _close(journal, sessions, state, markets(), problem)
    if problem is not None:
        raise problem
    tell()
    return state


async def _close(
    journal: Journal, sessions: SessionLog, state: Collected, markets: Sequence[str], problem: BaseException | None
) -> BaseException | None:
    """Write what is queued, then the session's end; give the first problem."""
    try:
        await journal.close()
    except HomeNotWritableError as exc:
        problem = problem or exc
    try:
        if state.last_ms is not None:
            await sessions.disconnected(state.last_ms, "stopped" if problem is None else str(problem), markets)
    except HomeNotWritableError as exc:
        problem = problem or exc
    return problem


class _Reader:
    """Takes what the feed gives, one item after the other."""

    def __init__(
        self,
        feed: BatchFeed,
        journal: Journal,
        sessions: SessionLog,
        tell: Callable[[], None],
        state: Collected,
        markets: Callable[[], Sequence[str]],
        missed: Missed,
    ) -> None:
        self._feed = feed
        self._journal = journal
        self._sessions = sessions
        self._tell = tell
        self._state = state
        self._markets = markets
        self._missed = missed

    async def read(self) -> None:
        # The port promises an iterator; every feed gives a generator, whose socket must close before the journal does.
        async with aclosing(cast("AsyncGenerator[Frames | Disconnected]", self._feed.batches())) as items:
            async for item in items:
                if isinstance(item, Disconnected):
                    await self._note_connection(item)
                else:
                    await self._keep(item)

    async def _keep(self, frames: Frames) -> None:
        for at in range(0, len(frames.raws), _MOST_AT_ONCE):
            if self._journal.is_full:
                await self._wait_for_room()
            part = Frames(frames.raws[at : at + _MOST_AT_ONCE], frames.ts_received_ns)
            self._state.kinds.update(self._journal.append_all(part))
            self._state.last_ms = frames.ts_received_ns // 1_000_000

    async def _wait_for_room(self) -> None:
        loop = asyncio.get_running_loop()
        began, since_ms = loop.time(), self._state.last_ms
        is_blocked = self._journal.shortage is not None
        self._state.waits += 1
        await self._journal.drain()
        if since_ms is not None and (is_blocked or loop.time() - began > _LONG_WAIT_S):
            await self._missed(self._markets(), since_ms, None)

    async def _note_connection(self, gap: Disconnected) -> None:
        state, sessions = self._state, self._sessions
        markets = gap.markets or tuple(self._markets())
        if gap.since_ms is not None:
            await sessions.disconnected(gap.since_ms, gap.reason, markets)
        # In this order a process that is killed in between finds the gap noted, or the session before it unended.
        await self._missed(markets, gap.since_ms, gap.until_ms)
        await sessions.connected(gap.until_ms, markets)
        state.connections += 1
        state.connected_at_ms = state.last_ms = gap.until_ms
        self._tell()


async def _report(tell: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(_REPORT_EVERY_S)
        tell()


async def _end(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def _problem(task: asyncio.Task[Any]) -> BaseException | None:
    return None if task.cancelled() else task.exception()


async def _ignore(_markets: Sequence[str], _since_ms: int | None, _until_ms: int | None, /) -> None:
    pass
