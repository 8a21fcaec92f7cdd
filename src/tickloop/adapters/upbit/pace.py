"""How fast we may connect, reconnect and ask on the sockets."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Iterator

CONNECTS = ((5, 1.0),)
"""Handshakes, over all connections: at most this many in so many seconds.

Source: Upbit developer centre, rate limits: websocket-connect, 5 a second.
"""

MESSAGES = ((5, 1.0), (100, 60.0))
"""Messages of ours on one connection. Source: the same page: websocket-message, 5 a second and 100 a minute."""

_DELAY_FACTOR = 1.6
_MOST_DELAY_S = 30.0


class Pace:
    """Spreads events so that no span of `per_s` real seconds holds more than `count` of them, for each limit.

    Real seconds: the exchange's may run faster where it is simulated, never slower.
    """

    def __init__(self, limits: tuple[tuple[int, float], ...]) -> None:
        self._turns = [(per_s, deque[float](maxlen=count)) for count, per_s in limits]

    def take_turn(self, now: float) -> float:
        """Take the next free turn; give the seconds to wait for it. Turns are in the order of asking."""
        at = now
        for per_s, turns in self._turns:
            if len(turns) == turns.maxlen:
                at = max(at, turns[0] + per_s)
        for _, turns in self._turns:
            turns.append(at)
        return at - now

    async def wait(self) -> None:
        """Wait for the next free turn."""
        delay_s = self.take_turn(time.monotonic())
        if delay_s > 0:
            await asyncio.sleep(delay_s)


def backoff_delays(first_s: float, most_s: float = _MOST_DELAY_S) -> Iterator[float]:
    """Yield real seconds to wait before each attempt, without end.

    A random part of `first_s`, so that many clients do not come back at once; then first_s x 1.6^n, at most `most_s`.
    """
    yield random.random() * first_s  # noqa: S311 (spreads load, guards nothing)
    delay = first_s
    while True:
        yield min(delay, most_s)
        delay = min(delay * _DELAY_FACTOR, most_s)
