"""What the connections of one feed have received and its consumer has not taken yet."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from tickloop.ports import Disconnected, Frame

Item = Frame | Disconnected

_MOST_ITEMS = 10_000


class Inbox:
    """A queue of batches with one consumer.

    It takes whole batches while it holds fewer than `most` items; then connections wait for room before they look at
    their sockets again, so nothing is dropped and it is the exchange that waits.
    """

    def __init__(self, most: int = _MOST_ITEMS) -> None:
        self._most = most
        self._batches: deque[Sequence[Item]] = deque()
        self._held = 0
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._has_items = asyncio.Event()
        self._failure: BaseException | None = None

    async def room(self) -> None:
        """Wait until there is room for a batch."""
        await self._has_room.wait()

    def put(self, batch: Sequence[Item]) -> None:
        """Add a batch; the caller has waited for `room`."""
        if not batch:
            return
        self._batches.append(batch)
        self._held += len(batch)
        self._has_items.set()
        if self._held >= self._most:
            self._has_room.clear()

    def fail(self, failure: BaseException) -> None:
        """Let `take` raise this once everything that came before is taken."""
        self._failure = self._failure or failure
        self._has_items.set()

    async def take(self) -> Sequence[Item]:
        """Wait for the next batch."""
        while not self._batches:
            if self._failure is not None:
                raise self._failure
            self._has_items.clear()
            await self._has_items.wait()
        batch = self._batches.popleft()
        self._held -= len(batch)
        if self._held < self._most:
            self._has_room.set()
        return batch
