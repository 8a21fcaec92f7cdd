"""How many requests of one group may go out, in market seconds: the exchange counts by its own clock.

Kept in one small file per group, so that all processes of one key, or of one machine, share what the exchange counts
together. A process that dies leaves nothing behind but requests that it really sent.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tickloop.ports import Clock


@dataclass(frozen=True)
class GroupLimit:
    """At most `count` requests in any `per_s` market seconds."""

    count: int
    per_s: float = 1.0


QUOTATION = GroupLimit(10)
"""Upbit developer centre, rate limits: each group of public REST, per IP."""

DEFAULT, ORDER, ORDER_TEST = GroupLimit(30), GroupLimit(8), GroupLimit(8)
CANCEL_ALL = GroupLimit(1, 2.0)
"""The same page, private groups, per account; orders are 12 a second since 2026-08-21, which the header then says."""

_MOST_COUNT = 64
_REMAINING = re.compile(r"sec=(\d+)")
_PROBE_S = 0.002  # real; a first short pause tells how fast market time runs
_MOST_PAUSE_S = 1.0
_LOCK_TRIES = 200
_LOCK_LOOK_S = 0.001

_HEAD = struct.Struct("<4sIdHH")  # magic, crc of the rest, blocked until, limit as learnt, number of times
_MAGIC = b"TLB1"
_SLACK_S = 3_600.0
"""A block that ends later than this, or a request in the future, is of an earlier boot or another speed: forgotten."""


class Budget:
    """What one group may still send; safe across threads, and across processes where it has a file.

    Args:
        path: the group's file; None keeps the count in this process alone.
        pause: waits real seconds.
    """

    def __init__(
        self,
        clock: Clock,
        limit: GroupLimit = QUOTATION,
        path: Path | None = None,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._clock = clock
        self._limit = limit
        self._pause = pause
        self._guard = threading.Lock()
        self._memory = _State([], float("-inf"), limit.count)
        self._descriptor = None if path is None else _open(path)

    def wait(self) -> None:
        """Wait until the next request may go out, and count it."""
        pacer = _Pacer(self._clock)
        while (left_s := self._take()) > 0:
            self._pause(pacer.next_pause(left_s))

    async def wait_async(self) -> None:
        """Do the same without holding up the event loop."""
        pacer = _Pacer(self._clock)
        while (left_s := self._take()) > 0:
            await asyncio.sleep(pacer.next_pause(left_s))

    def learn(self, remaining_req: str | None) -> None:
        """Take notice of a `Remaining-Req` header such as `group=candles; min=600; sec=9`; it may be missing."""
        match = _REMAINING.search(remaining_req or "")
        if match is None:
            return
        left = int(match.group(1))
        if left == 0:
            self.block(self._limit.per_s)
        elif left >= self._limit.count and left < _MOST_COUNT:
            with self._state() as state:
                state.count = max(state.count, left + 1)  # more than we knew: it says so itself

    def block(self, market_s: float) -> None:
        """Let nothing out for a while, in any process that shares the budget."""
        with self._state() as state:
            state.blocked_until = max(state.blocked_until, self._clock.elapsed_s() + market_s)

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _take(self) -> float:
        """Count a request and give 0, or give the market seconds until one may be possible."""
        with self._state() as state:
            now = self._clock.elapsed_s()
            state.forget(now, self._limit.per_s)
            ready_at = state.blocked_until
            if len(state.sent) >= state.count:
                ready_at = max(ready_at, state.sent[-state.count] + self._limit.per_s)
            if ready_at > now:
                return ready_at - now
            state.sent.append(now)
            return 0.0

    @contextmanager
    def _state(self) -> Iterator[_State]:
        with self._guard:
            if self._descriptor is None:
                yield self._memory
                return
            is_locked = _lock(self._descriptor)
            try:
                state = _read(self._descriptor, self._limit.count)
                yield state
                os.pwrite(self._descriptor, state.encode(), 0)
            finally:
                if is_locked:
                    fcntl.flock(self._descriptor, fcntl.LOCK_UN)


class _State:
    """Times of the last requests in market seconds, ascending, and until when nothing may go out."""

    def __init__(self, sent: list[float], blocked_until: float, count: int) -> None:
        self.sent = sent
        self.blocked_until = blocked_until
        self.count = count

    def forget(self, now: float, per_s: float) -> None:
        self.sent = sorted(at for at in self.sent if now - per_s < at <= now)
        if self.blocked_until > now + _SLACK_S:
            self.blocked_until = float("-inf")

    def encode(self) -> bytes:
        sent = self.sent[-_MOST_COUNT:]
        times = struct.pack(f"<{_MOST_COUNT}d", *sent, *[0.0] * (_MOST_COUNT - len(sent)))
        tail = struct.pack("<dHH", self.blocked_until, self.count, len(sent)) + times
        return struct.pack("<4sI", _MAGIC, zlib.crc32(tail)) + tail


class _Pacer:
    """How long to pause in real seconds for some market seconds, learnt from the pauses before."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pause_s = _PROBE_S
        self._began = clock.elapsed_s()
        self._paused_s = 0.0

    def next_pause(self, left_s: float) -> float:
        passed = self._clock.elapsed_s() - self._began
        # Market time per real second is what the pauses showed; doubling covers some that showed nothing.
        if self._paused_s and passed > 0:
            self._pause_s = self._paused_s * left_s / passed
        elif self._paused_s:
            self._pause_s *= 2
        self._pause_s = min(_MOST_PAUSE_S, max(self._pause_s, _PROBE_S / 10))
        self._paused_s += self._pause_s
        return self._pause_s


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _lock(descriptor: int) -> bool:
    """Take the file; give up after a while: a process that was stopped with it must not stop all others."""
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOCK_LOOK_S)
        else:
            return True
    return False


def _read(descriptor: int, count: int) -> _State:
    """Read what others left; a file that is torn, foreign or empty counts as nothing sent."""
    size = _HEAD.size + 8 * _MOST_COUNT
    data = os.pread(descriptor, size, 0)
    if len(data) != size:
        return _State([], float("-inf"), count)
    magic, crc, blocked_until, learnt, number = _HEAD.unpack_from(data)
    if magic != _MAGIC or crc != zlib.crc32(data[8:]) or number > _MOST_COUNT:
        return _State([], float("-inf"), count)
    times = struct.unpack_from(f"<{number}d", data, _HEAD.size)
    return _State(list(times), blocked_until, max(count, learnt))
