"""The collector's side of the journal: frames in, synced lines out, without ever blocking the event loop."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from pathlib import Path

from tickloop.adapters.local.dead_letter import DeadLetter, DeadLine
from tickloop.adapters.local.files import not_writable, try_lock, writing
from tickloop.adapters.local.journal_line import line_of
from tickloop.adapters.local.segments import HOUR_NS, OpenSegment, last_arrival
from tickloop.adapters.upbit.events import ExchangeErrorEvent, OrderbookEvent, StatusEvent, TickerEvent, TradeEvent
from tickloop.adapters.upbit.parse import parse_frame
from tickloop.errors import CorruptLineError, HomeBusyError, HomeNotWritableError
from tickloop.ports import Clock, Frame

# Below this the writer stops while there is still room for everything that it has accepted.
MIN_FREE_BYTES = 50_000_000

_ROOM_LOOK_S = 1.0  # a waiting feed looks at this pace whether the writer has failed
_CLOSE_DEADLINE_S = 30.0

_KIND_OF = {
    TradeEvent: "trade",
    TickerEvent: "ticker",
    OrderbookEvent: "orderbook",
    StatusEvent: "status",
    ExchangeErrorEvent: "error",
}


class JournalWriter:
    """Implements `ports.Journal` on a folder of segments.

    One thread writes and syncs what was appended, at most every `sync_interval_s`, so a process that is killed loses
    no more than that. The queue holds `queue_frames`; when it is full the feed is not read (`is_full`, `drain`) and
    `waits` counts it. A segment ends with its market hour, at `segment_bytes`, and with the process.
    """

    def __init__(
        self,
        folder: Path,
        dead_folder: Path,
        name: str,
        clock: Clock,
        *,
        segment_bytes: int,
        sync_interval_s: float,
        queue_frames: int,
        min_free_bytes: int = MIN_FREE_BYTES,
    ) -> None:
        self._folder = folder
        self._dead_letter = DeadLetter(dead_folder / f"feed-{name}.jsonl")
        self._name = name
        self._clock = clock
        self._segment_bytes = segment_bytes
        self._sync_interval_s = sync_interval_s
        self._queue_frames = queue_frames
        self._min_free_bytes = min_free_bytes
        # Both ends of a deque are safe across threads: the event loop appends, the writing thread takes.
        self._lines: deque[tuple[int, bytes]] = deque()
        self._dead: deque[DeadLine] = deque()
        self._wake = threading.Event()
        self._room = threading.Event()
        self._closing = threading.Event()
        self._failure: HomeNotWritableError | None = None
        self.waits = 0
        self.synced_lines = 0

    def open(self) -> JournalWriter:
        """Take the writer's name, go on from its last `arrival` and start a segment.

        Raises:
            HomeBusyError: another process writes under this name.
            HomeNotWritableError: the folder is read-only or nearly full.
        """
        self._lock = _take_name(self._folder, self._name)
        try:
            if (shortage := self._shortage()) is not None:
                raise shortage
            self._arrival = last_arrival(self._folder, self._name)
            self._segment = OpenSegment(self._folder, self._name, max(self._arrival + 1, self._clock.now_ns()))
        except HomeNotWritableError:
            os.close(self._lock)
            raise
        self._thread = threading.Thread(target=self._run, name=f"journal-{self._name}", daemon=True)
        self._thread.start()
        return self

    @property
    def is_full(self) -> bool:
        return len(self._lines) + len(self._dead) >= self._queue_frames

    def append(self, frame: Frame) -> str:
        if self._failure is not None:
            raise self._failure
        arrival = max(self._arrival + 1, frame.ts_received_ns)
        try:
            event = parse_frame(frame.raw)
            if isinstance(event, StatusEvent | ExchangeErrorEvent):
                return _KIND_OF[type(event)]
            line = line_of(frame.raw, event, frame.ts_received_ns, arrival)
        except CorruptLineError as exc:
            self._dead.append(DeadLine("feed", frame.ts_received_ns, str(exc), frame.raw))
            return "dead"
        self._arrival = arrival
        self._lines.append((arrival, line))
        return _KIND_OF[type(event)]

    async def drain(self) -> None:
        while self.is_full:
            if self._failure is not None:
                raise self._failure
            self.waits += 1
            self._room.clear()
            self._wake.set()
            if self.is_full:
                await asyncio.to_thread(self._room.wait, _ROOM_LOOK_S)

    async def close(self) -> None:
        self._closing.set()
        self._wake.set()
        await asyncio.to_thread(self._thread.join, _CLOSE_DEADLINE_S)
        os.close(self._lock)
        if self._failure is None and self._thread.is_alive():
            self._failure = not_writable(self._folder, f"the disk did not sync within {_CLOSE_DEADLINE_S:.0f} s")
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            is_last = False
            while not is_last:
                self._wake.wait(self._sync_interval_s)
                self._wake.clear()
                is_last = self._closing.is_set()  # looked at before the queue is, so that nothing stays in it
                self._flush()
        except HomeNotWritableError as exc:
            self._failure = exc
        except OSError as exc:
            self._failure = not_writable(self._folder, exc.strerror or str(exc))
        finally:
            self._segment.close()
            self._room.set()

    def _flush(self) -> None:
        chunk: list[bytes] = []
        size = self._segment.size
        for _ in range(len(self._lines)):
            arrival, line = self._lines.popleft()
            is_over = size > 0 and size + len(line) > self._segment_bytes
            if is_over or arrival // HOUR_NS != self._segment.hour:
                self._put(chunk)
                self._roll(arrival)
                chunk, size = [], 0
            chunk.append(line)
            size += len(line)
        self._put(chunk)
        self._dead_letter.add([self._dead.popleft() for _ in range(len(self._dead))])
        self._room.set()
        if chunk and self._failure is None:
            self._failure = self._shortage()  # no more is accepted, what was accepted is still written

    def _put(self, chunk: list[bytes]) -> None:
        if chunk:
            self._segment.write(b"".join(chunk))
            self._segment.sync()
            self.synced_lines += len(chunk)

    def _roll(self, arrival: int) -> None:
        finished = self._segment
        self._segment = OpenSegment(self._folder, self._name, arrival)
        finished.close()

    def _shortage(self) -> HomeNotWritableError | None:
        with writing(self._folder):
            usage = os.statvfs(self._folder)
        free = usage.f_bavail * usage.f_frsize
        if free >= self._min_free_bytes:
            return None
        return not_writable(self._folder, f"{free:,} bytes are free, {self._min_free_bytes:,} are needed")


def _take_name(folder: Path, name: str) -> int:
    path = folder / f".{name}.lock"
    with writing(path):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    if try_lock(descriptor):
        return descriptor
    os.close(descriptor)
    raise HomeBusyError(f"journal {folder} already has a writer {name!r}; stop it, or give this one another --home")
