"""When the next request of a group may go out, for all processes of one key, or of one machine, together.

They share one small file per group. A process that dies leaves nothing behind but requests that it really sent.
"""

from __future__ import annotations

import asyncio
import fcntl
import math
import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tickloop.adapters.upbit.budget_state import QUOTATION, BudgetState, GroupLimit, decode_state
from tickloop.adapters.upbit.errors import LOCKED_OUT
from tickloop.ports import Clock

_REMAINING = re.compile(r"group=([\w-]+).*\bsec=(\d{1,9})\b", re.ASCII)
_PROBE_S = 0.002  # real; a first short pause tells how fast market time runs
_MOST_PAUSE_S = 1.0
_LOCK_TRIES, _BRIEF_TRIES = 100, 5
_LOCK_LOOK_S = 0.001
"""Real seconds between two looks at a file that another process has, for some 10 us: so 0.1 s or 5 ms at most.

A lock of the kernel has no wait with a deadline, and its holder tells nobody that it is done: a wait without end would
let one process that was stopped stop all others, and an alarm belongs to the main thread alone.
"""

_Act = Callable[[BudgetState, float], float]


class Budget:
    """What one group may still send; safe across threads, and across processes where it has a file.

    No span of the limit's seconds holds more requests than its count. That keeps within the limit whether the exchange
    counts by whole seconds (public groups) or by a bucket that refills (private groups).
    Source: Upbit developer centre, REST best practice.

    Args:
        clock: gives market seconds by `elapsed_s`.
        path: the group's file; None, or a file that cannot be used (a full disk), counts for this process alone.
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
        self._memory = BudgetState(limit)
        self._descriptor = None if path is None else _open(path)

    def wait(self) -> None:
        """Wait until the next request may go out, and count it."""
        pacer = _Pacer(self._clock)
        while (left_s := self._do(BudgetState.take, _LOCK_TRIES)) > 0:
            self._pause(pacer.next_pause(left_s))

    async def wait_async(self, most_s: float = math.inf) -> float:
        """Do the same without holding up the event loop.

        Args:
            most_s: market seconds that the wait is worth.

        Returns:
            0 when the request may go out, else the market seconds still to wait: then it was not counted.
        """
        pacer = _Pacer(self._clock)
        until = self._clock.elapsed_s() + most_s
        while (left_s := await self._take_async()) > 0:
            if self._clock.elapsed_s() + left_s > until:
                return left_s
            await asyncio.sleep(pacer.next_pause(left_s))
        return 0.0

    def learn(self, remaining_req: str | None) -> None:
        """Take notice of an answer other than 429 and 418.

        Args:
            remaining_req: its header `Remaining-Req`, such as `group=candles; min=600; sec=9`; one that is missing,
                strange, or of another group says nothing.
        """
        left = self._left_of(remaining_req or "")
        self._do(lambda state, now: state.learn(now, left), _BRIEF_TRIES)

    def refused(self, status: int, market_s: float) -> None:
        """Let nothing out for a while, in any process that shares the budget.

        Args:
            status: 429, or 418: then for twice as long each time that it comes again.
        """
        act = BudgetState.lock_out if status == LOCKED_OUT else BudgetState.block
        self._do(lambda state, now: act(state, now, market_s), _BRIEF_TRIES)

    def close(self) -> None:
        with self._guard:
            self._let_go()

    def _left_of(self, header: str) -> int | None:
        match = _REMAINING.search(header)
        if match is None or (self._limit.names and match[1] not in self._limit.names):
            return None
        return int(match[2])

    async def _take_async(self) -> float:
        for _ in range(_LOCK_TRIES):
            if (left_s := self._try(BudgetState.take)) is not None:
                return left_s
            await asyncio.sleep(_LOCK_LOOK_S)
        return self._do(BudgetState.take, 0)

    def _do(self, act: _Act, tries: int) -> float:
        """Act on the state once the file is free, or in the end without its lock.

        A process that was stopped while it had the file must not stop all others.
        """
        for _ in range(tries):
            if (result := self._try(act)) is not None:
                return result
            time.sleep(_LOCK_LOOK_S)
        with self._guard:
            return self._act(act)

    def _try(self, act: _Act) -> float | None:
        """Act on the state; None when another process has the file."""
        with self._guard:
            if self._descriptor is None:
                return self._act(act)
            if not _lock(self._descriptor):
                return None
            try:
                return self._act(act)
            finally:
                if self._descriptor is not None:
                    fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _act(self, act: _Act) -> float:
        now = self._clock.elapsed_s()
        if self._descriptor is None:
            return act(self._memory, now)
        try:
            state = decode_state(os.pread(self._descriptor, BudgetState.SIZE, 0), self._limit, now)
        except OSError:
            self._let_go()
            return act(self._memory, now)
        result = act(state, now)
        try:
            os.pwrite(self._descriptor, state.encode(now), 0)
        except OSError:
            self._let_go()
            self._memory = state
        return result

    def _let_go(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


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


def _open(path: Path) -> int | None:
    """Open a group's file; None when the disk does not let us."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return None


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
