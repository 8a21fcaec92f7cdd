"""What the connections of one feed have received and its consumer has not taken yet."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from tickloop.ports import Disconnected, Frames

Item = Frames | Disconnected

_MOST_MESSAGES = 10_000


class Inbox:
    """A queue of batches with one consumer.

    It takes whole batches while it holds fewer than `most` messages; then connections wait for room before they look
    at their sockets again, so nothing is dropped and it is the exchange that waits.
    """

    def __init__(self, most: int = _MOST_MESSAGES) -> None:
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
        self._held += _weight(batch)
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
        self._held -= _weight(batch)
        if self._held < self._most:
            self._has_room.set()
        return batch


def _weight(batch: Sequence[Item]) -> int:
    return sum(len(item.raws) if isinstance(item, Frames) else 1 for item in batch)
