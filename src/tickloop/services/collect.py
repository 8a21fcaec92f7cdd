"""Collect: every message of the feed into the journal, in the order of arrival."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, cast

from tickloop.ports import Disconnected, Frame, Journal, SessionLog, TradeFeed

_REPORT_EVERY_S = 1.0  # real


@dataclass
class Collected:
    """What has been collected so far.

    Attributes:
        kinds: messages by kind: trade, ticker, orderbook; dead were unreadable, status and error are no data.
        connections: times that the feed was connected.
        waits: times that the feed was not read because the journal was full.
        connected_at_ms: market time since which nothing was missed, None before the first connection.
        last_ms: market time of the last message, or of the connection when none came yet.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    waits: int = 0
    connected_at_ms: int | None = None
    last_ms: int | None = None


async def collect(
    feed: TradeFeed,
    journal: Journal,
    sessions: SessionLog,
    report: Callable[[Collected], None],
    stop: asyncio.Event,
) -> Collected:
    """Write the feed to the journal until `stop` is set or the feed ends; then everything received is synced.

    Args:
        report: called at each connection and about once a second.

    Raises:
        HomeNotWritableError: the disk refuses; what was written before stands.
        ExchangeError: the exchange refuses the subscription.
    """
    state = Collected()
    reading = asyncio.create_task(_read(feed, journal, sessions, report, state))
    helpers = (asyncio.create_task(_report(report, state)), asyncio.create_task(stop.wait()))
    try:
        await asyncio.wait((reading, helpers[1]), return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _end(reading, *helpers)
        problem = None if reading.cancelled() else reading.exception()
        await journal.close()
        if state.last_ms is not None:
            await sessions.disconnected(state.last_ms, "stopped" if problem is None else str(problem))
    if problem is not None:
        raise problem
    report(state)
    return state


async def _read(
    feed: TradeFeed, journal: Journal, sessions: SessionLog, report: Callable[[Collected], None], state: Collected
) -> None:
    # The port promises an iterator; every feed gives a generator, whose socket must close before the journal does.
    async with aclosing(cast("AsyncGenerator[Frame | Disconnected]", feed.frames())) as frames:
        async for item in frames:
            if isinstance(item, Disconnected):
                await _note_connection(item, sessions, state)
                report(state)
                continue
            if journal.is_full:
                state.waits += 1
                await journal.drain()
            state.kinds[journal.append(item)] += 1
            state.last_ms = item.ts_received_ns // 1_000_000


async def _note_connection(gap: Disconnected, sessions: SessionLog, state: Collected) -> None:
    if gap.since_ms is not None:
        await sessions.disconnected(gap.since_ms, gap.reason)
    await sessions.connected(gap.until_ms)
    state.connections += 1
    state.connected_at_ms = state.last_ms = gap.until_ms


async def _report(report: Callable[[Collected], None], state: Collected) -> None:
    while True:
        await asyncio.sleep(_REPORT_EVERY_S)
        report(state)


async def _end(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
