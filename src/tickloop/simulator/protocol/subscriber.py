"""One connection to the stream: what it wants, and the bounded queue of what waits for it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tickloop.simulator.faults.board import Fault
from tickloop.simulator.faults.on_sockets import Distortion, Outgoing
from tickloop.simulator.protocol.formats import Format
from tickloop.simulator.protocol.subscription import ALL, StreamRequest, Want

QUEUE_FRAMES = 20_000
"""Frames that may wait for one client, about 10 MB. When they are more, the client is too slow: it is disconnected,
which it notices, rather than given a stream with holes, which it would not."""


@dataclass(eq=False)
class Subscriber:
    """One connection: what it wants and what waits for it.

    Attributes:
        drop: ends the connection at once; called when the queue is full.
        is_mute: the connection stays, but nothing goes out and nothing is heard any more.
        told: data messages queued so far.
    """

    user_agent: str
    drop: Callable[[], None]
    distortion: Distortion
    is_private: bool = False
    is_mute: bool = False
    queue: asyncio.Queue[Outgoing] = field(default_factory=lambda: asyncio.Queue(QUEUE_FRAMES))
    request: StreamRequest | None = None
    is_dropped: bool = False
    told: int = 0
    sent: Counter[tuple[str, str]] = field(default_factory=Counter)

    def offer(self, frame: Outgoing) -> None:
        """Queue a frame, or end the connection when there is no room."""
        if self.is_dropped or self.is_mute:
            return
        try:
            self.queue.put_nowait(frame)
        except asyncio.QueueFull:
            self.end()
        else:
            self.told += bool(frame.type)

    def end(self) -> None:
        """Break the connection."""
        self.is_dropped = True
        self.drop()

    def forget_queue(self) -> None:
        """Throw away what waits: nobody writes it out any more, and nobody must wait until somebody does."""
        while not self.queue.empty():
            self.queue.get_nowait()
            self.queue.task_done()

    def hears_of(self, fault: Fault) -> bool:
        """Tell whether a fault's program, market and type are those of this connection; an empty one is anybody's."""
        if fault.user_agent not in self.user_agent:
            return False
        return not (fault.market or fault.type) or any(
            fault.type in ("", want.type) and (fault.market in ("", want.code) or want.code == ALL)
            for want in self.wants
        )

    @property
    def form(self) -> Format:
        return "DEFAULT" if self.request is None else self.request.form

    @property
    def wants(self) -> list[Want]:
        """Give one want per type and market: naming one twice in a request does not double its stream."""
        asked = () if self.request is None else self.request.wants
        last = {(want.type, want.code): want for want in asked}
        return [want for want in last.values() if want.code == ALL or (want.type, ALL) not in last]
