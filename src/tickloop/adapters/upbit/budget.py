"""How many requests of one group may go out, in market seconds: the exchange counts by its own clock."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable

from tickloop.ports import Clock

REQUESTS_PER_SECOND = 10
"""Upbit developer centre, rate limits: each group of public REST, per IP."""

_REMAINING = re.compile(r"sec=(\d+)")
_PROBE_S = 0.002  # real; a first short pause tells how fast market time runs
_MOST_PAUSE_S = 1.0


class Budget:
    """At most `per_second` requests in any one market second, fewer when the exchange says that it has less left."""

    def __init__(
        self, clock: Clock, per_second: int = REQUESTS_PER_SECOND, pause: Callable[[float], object] = time.sleep
    ) -> None:
        self._clock = clock
        self._pause = pause
        self._sent: deque[float] = deque(maxlen=per_second)
        self._blocked_until = float("-inf")

    def wait(self) -> None:
        """Wait until the next request may go out, and count it."""
        ready_at = self._blocked_until
        if len(self._sent) == self._sent.maxlen:
            ready_at = max(ready_at, self._sent[0] + 1.0)
        self._pause_until(ready_at)
        self._sent.append(self._clock.elapsed_s())

    def learn(self, remaining_req: str | None) -> None:
        """Take notice of a `Remaining-Req` header such as `group=candles; min=600; sec=9`; it may be missing."""
        match = _REMAINING.search(remaining_req or "")
        if match is not None and int(match.group(1)) == 0:
            self.block(1.0)

    def block(self, market_s: float) -> None:
        """Let nothing out for a while."""
        self._blocked_until = max(self._blocked_until, self._clock.elapsed_s() + market_s)

    def _pause_until(self, ready_at: float) -> None:
        pause_s = _PROBE_S
        while (missing := ready_at - self._clock.elapsed_s()) > 0:
            before = self._clock.elapsed_s()
            self._pause(pause_s)
            passed = self._clock.elapsed_s() - before
            # Market time per real second is what the last pause showed; doubling covers one that showed nothing.
            left = missing - passed
            pause_s = min(_MOST_PAUSE_S, pause_s * left / passed if passed > 0 else pause_s * 2)
