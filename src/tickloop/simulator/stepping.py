"""The stepped clock: market time stands until it is told to go on, and goes on only when everybody is done."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable

from tickloop.simulator.clock import MarketClock
from tickloop.simulator.stream import Hub

MOST_EVENTS = 100_000


class Stepper:
    """Moves market time event by event, and waits after each for the programs under test.

    A program is under test once it has acknowledged: it says how many messages it has finished with, orders that
    follow from them included, over all its connections, which it names by their User-Agent.

    Args:
        deadline_s: real seconds that a step waits for those under test.
    """

    def __init__(self, hub: Hub, clock: MarketClock, deadline_s: float) -> None:
        self._hub = hub
        self._clock = clock
        self._deadline_s = deadline_s
        self._acked: dict[str, int] = {}
        self._news = asyncio.Event()

    def ack(self, name: str, frames: int) -> None:
        """Note how many messages a program has finished with."""
        self._acked[name] = max(frames, self._acked.get(name, 0))
        self._news.set()

    async def step_events(self, count: int) -> list[str]:
        """Go on to the next event, `count` times; give the names of those that did not answer in time."""
        for _ in range(min(count, MOST_EVENTS)):
            next_ms = self._hub.next_ms()
            if next_ms is None:
                return []
            late = await self._step(next_ms)
            if late:
                return late
        return []

    async def step_until(self, until_ms: int) -> list[str]:
        """Go on event by event to a moment; give the names of those that did not answer in time."""
        for _ in range(MOST_EVENTS):
            next_ms = self._hub.next_ms()
            if next_ms is None or next_ms >= until_ms:
                break
            late = await self._step(next_ms)
            if late:
                return late
        return await self._step(until_ms)

    async def _step(self, to_ms: int) -> list[str]:
        self._clock.step_to(to_ms)
        self._hub.advance(to_ms)
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
        return [name for name, frames in self._acked.items() if frames < self._hub.sent_to(name)]


def random_id() -> str:
    return str(uuid.uuid4())


def ids_of(seed: int, used: int) -> Callable[[], str]:
    """Give a source of uuids that depend on a seed and a count alone; `used` were given before."""
    count = used

    def new_id() -> str:
        nonlocal count
        count += 1
        return str(uuid.uuid5(uuid.NAMESPACE_OID, f"tickloop simulator/{seed}/{count}"))

    return new_id
