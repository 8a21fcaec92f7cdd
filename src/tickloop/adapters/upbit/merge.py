"""Several links as one stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing

from tickloop.adapters.upbit.inbox import Inbox, Item
from tickloop.adapters.upbit.link import Link
from tickloop.ports import Clock, Disconnected, Frame, Frames


class Merge:
    """Runs links and hands over what they receive, in the order in which it was taken off the sockets.

    Attributes:
        is_running: whether its items are being read; only then links may be started and stopped.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._inbox = Inbox()
        self.is_running = False
        self._tasks: dict[Link, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def start(self, link: Link) -> None:
        task = asyncio.create_task(link.run(self._inbox))
        task.add_done_callback(self._note_end)
        self._tasks[link] = task

    def stop(self, link: Link) -> None:
        """Close a link's connection, without waiting for it."""
        task = self._tasks.pop(link)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        task.cancel()

    async def frames(self, links: Callable[[], Iterable[Link]]) -> AsyncGenerator[Frame | Disconnected, None]:
        """Do as `items`, message by message."""
        async with aclosing(self.items(links)) as items:
            async for item in items:
                if isinstance(item, Disconnected):
                    yield item
                    continue
                for raw in item.raws:
                    yield Frame(raw, item.ts_received_ns)

    async def items(self, links: Callable[[], Iterable[Link]]) -> AsyncGenerator[Item, None]:
        """Start these links and yield until one fails, which raises, or the iterator is closed, which ends them all."""
        self.is_running = True
        item: Item | None = None
        try:
            for link in links():
                self.start(link)
            while True:
                batch = await self._inbox.take()
                for item in batch:
                    yield item
                self._clock.finished(sum(len(one.raws) for one in batch if isinstance(one, Frames)))
        finally:
            self.is_running = False
            running = list(self._tasks)
            for link in running:
                self.stop(link)
            if self._ending:
                await asyncio.wait(self._ending)
            for link in running:
                link.begin_anew(None if item is None else _moment_ms(item))

    def _note_end(self, task: asyncio.Task[None]) -> None:
        problem = None if task.cancelled() else task.exception()
        if problem is not None:
            self._inbox.fail(problem)


def _moment_ms(item: Item) -> int:
    return item.ts_received_ns // 1_000_000 if isinstance(item, Frames) else item.until_ms
