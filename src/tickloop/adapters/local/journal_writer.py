"""The collector's side of the journal: frames in, synced lines out, without ever blocking the event loop."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from tickloop.adapters.local.dead_letter import DeadAllowance, DeadLetter, DeadLine
from tickloop.adapters.local.files import free_bytes, not_writable, try_lock, writing
from tickloop.adapters.local.journal_intake import Intake, LineMaker
from tickloop.adapters.local.segment_writer import Lines, MakeSegment, SegmentWriter
from tickloop.adapters.local.segments import OpenSegment, last_arrival
from tickloop.domain.arrivals import ArrivalCounts, ArrivalWatch
from tickloop.errors import DiskFullError, HomeBusyError, HomeNotWritableError
from tickloop.ports import Clock, DiskShortage, Frame, Frames

MIN_FREE_BYTES = 50_000_000
"""Below this nothing more is taken in while there is still room for everything that was."""

QUEUE_BYTES = 256_000_000
"""Most bytes of messages in memory: a message may be large, so their number alone bounds nothing."""

_EAGER_BYTES = 4_000_000
"""When so much waits, it is written before its time: what is still in the processor's cache costs less to write."""

_SPARE_BYTES = 65_536  # a block or two more than what waits: names of files take room too
_LOOK_FACTOR = 4  # a full disk is looked at this many times less often than the queue
_ROOM_LOOK_S = 1.0  # a waiting feed looks at this pace whether the writer has failed
_CLOSE_DEADLINE_S = 30.0

_T = TypeVar("_T")


class JournalWriter:
    """Implements `ports.Journal` on a folder of segments.

    One thread writes and syncs what was appended, every `sync_interval_s` and sooner when 4 MB wait, so a process that
    is killed loses no more than that. The queue holds `queue_frames` and `QUEUE_BYTES`, and above that what is appended
    at once; when it is full the feed is not read (`is_full`, `drain`) and `waits` counts it. A segment ends with its
    market hour, at `segment_bytes`, and with the process.

    A disk without room makes the journal full too, and `shortage` says so; what was accepted is written as soon as
    there is room, and then the journal goes on. Any other refusal of the disk ends it.
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
        make_segment: MakeSegment = OpenSegment,
        watch: ArrivalWatch | None = None,
        line_maker: LineMaker | None = None,
    ) -> None:
        self._folder = folder
        self._dead_letter = DeadLetter(dead_folder / f"feed-{name}.jsonl")
        self._allowance = DeadAllowance()
        self._name = name
        self._clock = clock
        self._sync_interval_s = sync_interval_s
        self._queue_frames = queue_frames
        self._min_free_bytes = min_free_bytes
        self._segments = SegmentWriter(folder, name, segment_bytes, make_segment)
        self._watch = watch or ArrivalWatch()
        self._intake = Intake(self._watch, self._refuse, line_maker)
        # Both ends of a deque are safe across threads: the event loop appends, the writing thread takes.
        self._lines: deque[Lines] = deque()
        self._dead: deque[DeadLine] = deque()
        self._burying: list[DeadLine] = []
        self._lines_in = self._lines_out = 0  # each is written by one thread alone
        self._bytes_in = self._bytes_out = 0
        self._wake = threading.Event()
        self._room = threading.Event()
        self._closing = threading.Event()
        self._failure: HomeNotWritableError | None = None
        self.shortage: DiskShortage | None = None
        self.waits = 0

    def open(self) -> JournalWriter:
        """Take the writer's name, go on from its last `arrival` and start a segment, unless the disk is full.

        Raises:
            HomeBusyError: another process writes under this name.
            HomeNotWritableError: the folder is read-only, or no place for a folder.
        """
        self._lock = _take_name(self._folder, self._name)
        try:
            self._intake.arrival = last_arrival(self._folder, self._name)
            self.shortage = self._shortage()
            if self.shortage is None:
                self._start_segment()
        except HomeNotWritableError:
            os.close(self._lock)
            raise
        self._thread = threading.Thread(target=self._run, name=f"journal-{self._name}", daemon=True)
        self._thread.start()
        return self

    @property
    def is_full(self) -> bool:
        return (
            self.shortage is not None
            or self._lines_in - self._lines_out + len(self._dead) >= self._queue_frames
            or self._bytes_in - self._bytes_out >= QUEUE_BYTES
        )

    @property
    def arrivals(self) -> ArrivalCounts:
        return self._watch.counts

    @property
    def synced_lines(self) -> int:
        return self._segments.synced_lines

    def has_synced(self, market: str, trade_id: int) -> bool:
        arrival = self._watch.arrival_of(market, trade_id)
        return arrival is not None and arrival <= max(self._segments.synced_arrival, 0)

    def append_all(self, frames: Frames) -> Mapping[str, int]:
        if self._failure is not None:
            raise self._failure
        return self._intake.take(frames, self._queue)

    def append(self, frame: Frame) -> str:
        """Queue one message, whatever it is; give its kind."""
        return next(iter(self.append_all(Frames((frame.raw,), frame.ts_received_ns))))

    def _queue(self, lines: Lines) -> None:
        self._lines.append(lines)
        self._lines_in += len(lines)
        self._bytes_in += len(lines.text)
        if self._bytes_in - self._bytes_out > _EAGER_BYTES:
            self._wake.set()

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

    def _refuse(self, raw: bytes, ts_received_ns: int, reason: str) -> None:
        if self._allowance.allows(len(raw), ts_received_ns // 1_000_000):
            self._dead.append(DeadLine("feed", ts_received_ns, reason, raw))
            self._bytes_in += len(raw)

    def _run(self) -> None:
        try:
            is_last = False
            while not is_last:
                self._wake.wait(self._sync_interval_s * (1 if self.shortage is None else _LOOK_FACTOR))
                self._wake.clear()
                is_last = self._closing.is_set()  # looked at before the queue is, so that nothing stays in it
                self._turn()
            self._failure = self._unwritten()
        except HomeNotWritableError as exc:
            self._failure = exc
        except OSError as exc:
            self._failure = not_writable(self._folder, exc.strerror or str(exc))
        finally:
            self._segments.close()
            self._room.set()

    def _turn(self) -> None:
        """Write what is queued if there is room, and look how much room there is for more."""
        self._take()
        waiting_bytes = self._waiting_bytes()
        if self.shortage is not None and waiting_bytes:
            self.shortage = self._shortage(waiting_bytes + _SPARE_BYTES)
            if self.shortage is not None and self.shortage.free_bytes < waiting_bytes + _SPARE_BYTES:
                return  # another attempt would only cut off another line
        try:
            self._segments.flush()
            self._dead_letter.add(self._burying)
            self._burying.clear()
            self.shortage = self._shortage()
        except DiskFullError:
            needed = max(self._min_free_bytes, self._waiting_bytes() + _SPARE_BYTES)
            self.shortage = DiskShortage(free_bytes(self._folder), needed)
            return
        self._room.set()

    def _take(self) -> None:
        dead = list(_popped(self._dead))
        before = self._segments.waiting_bytes
        for lines in _popped(self._lines):
            self._segments.add(lines)
            self._lines_out += len(lines)
        self._burying += dead
        self._bytes_out += self._segments.waiting_bytes - before + sum(len(one.content) for one in dead)

    def _waiting_bytes(self) -> int:
        return self._segments.waiting_bytes + 2 * sum(len(line.content) for line in self._burying)

    def _shortage(self, least_bytes: int = 0) -> DiskShortage | None:
        needed = max(self._min_free_bytes, least_bytes)
        free = free_bytes(self._folder)
        return None if free >= needed else DiskShortage(free, needed)

    def _start_segment(self) -> None:
        try:
            self._segments.start(max(self._intake.arrival + 1, self._clock.now_ns()))
        except DiskFullError:
            self.shortage = DiskShortage(free_bytes(self._folder), max(self._min_free_bytes, _SPARE_BYTES))

    def _unwritten(self) -> HomeNotWritableError | None:
        lines = self._segments.waiting_lines + len(self._burying)
        if not lines:
            return None
        return not_writable(self._folder, f"{lines:,} messages found no room on a full disk before the end")


def _popped(queue: deque[_T]) -> Iterator[_T]:
    return (queue.popleft() for _ in range(len(queue)))


def _take_name(folder: Path, name: str) -> int:
    path = folder / f".{name}.lock"
    with writing(path):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    if try_lock(descriptor):
        return descriptor
    os.close(descriptor)
    raise HomeBusyError(f"journal {folder} already has a writer {name!r}; stop it, or give this one another --home")
