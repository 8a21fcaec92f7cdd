"""The stepped clock: market time stands until it is told to go on, and goes on only when everybody is done."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable

from tickloop.simulator.account.state import Counts
from tickloop.simulator.clock import MarketClock
from tickloop.simulator.protocol.stream import Hub

MOST_EVENTS = 100_000
"""Events of one step by number."""

PROGRAMS_KEPT = 1_000
"""Programs under test that are remembered; the one that came first goes first."""


class Stepper:
    """Moves market time event by event, and waits before and after each for the programs under test.

    A program is under test once it has acknowledged: it says how many messages it has finished with, orders that
    follow from them included, over all its connections, which it names by their User-Agent. What a program was told
    counts from when it last had no connection: one that was killed is not waited for, and one that comes back is
    not asked for what the break has swallowed.

    Args:
        deadline_s: real seconds for which those under test are waited for.
    """

    def __init__(self, hub: Hub, clock: MarketClock, deadline_s: float) -> None:
        self._hub = hub
        self._clock = clock
        self._deadline_s = deadline_s
        self._finished: dict[str, int] = {}  # by program
        self._before: dict[str, int] = {}  # the part of it that belongs to connections from before it had none
        self._news = asyncio.Event()
        self._turn = asyncio.Lock()
        hub.on_arrival = self._begin_anew

    def ack(self, name: str, frames: int) -> None:
        """Note how many messages a program has finished with."""
        self._finished[name] = max(frames, self._finished.get(name, 0))
        if len(self._finished) > PROGRAMS_KEPT:
            gone = next(iter(self._finished))
            del self._finished[gone]
            self._before.pop(gone, None)
        self._news.set()

    async def step_events(self, count: int) -> list[str]:
        """Go on to the next event, `count` times; give the names of those that did not answer in time."""
        async with self._turn:
            late = await self._settled()
            while not late and count and (next_ms := self._hub.next_ms()) is not None:
                late = await self._step(next_ms)
                count -= 1
            return late

    async def step_until(self, until_ms: int) -> list[str]:
        """Go on event by event to a moment; give the names of those that did not answer in time."""
        async with self._turn:
            late = await self._settled()
            while not late and (next_ms := self._hub.next_ms()) is not None and next_ms < until_ms:
                late = await self._step(next_ms)
            return late or await self._step(until_ms)

    async def settle(self) -> list[str]:
        """Let everybody finish with what was told; give the names of those that did not in time."""
        async with self._turn:
            return await self._settled()

    async def _step(self, to_ms: int) -> list[str]:
        self._clock.step_to(to_ms)
        self._hub.advance(self._clock.now_ms())
        return await self._settled()

    async def _settled(self) -> list[str]:
        await asyncio.sleep(0)  # a step that concerns nobody still lets requests in
        await self._hub.flush(self._deadline_s)
        try:
            async with asyncio.timeout(self._deadline_s):
                while late := self._late():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return late
        return []

    def _late(self) -> list[str]:
        return [
            name for name, done in self._finished.items() if done - self._before.get(name, 0) < self._hub.told_to(name)
        ]

    def _begin_anew(self, name: str) -> None:
        if name in self._finished:
            self._before[name] = self._finished[name]


def random_id() -> str:
    return str(uuid.uuid4())


def ids_of(seed: int, kept: Counts, start_ms: int) -> Callable[[], str]:
    """Give a source of uuids that depend on a seed and on how often it was asked since the start.

    Args:
        kept, start_ms: what the account held and where the clock stood at the start: a later start gives none of
            the ids that an earlier one gave to an order or a fill, since these are among what is kept.
    """
    space = f"tickloop simulator/{seed}/{kept.orders}/{kept.fills}/{start_ms}"
    count = 0

    def new_id() -> str:
        nonlocal count
        count += 1
        return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{space}/{count}"))

    return new_id
