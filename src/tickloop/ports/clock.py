"""Time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """Market time, perhaps accelerated, and a budget time that never stands."""

    def now_ns(self) -> int:
        """Give market time, epoch nanoseconds UTC."""

    def now_ms(self) -> int:
        """Give market time, epoch milliseconds UTC."""

    def elapsed_s(self) -> float:
        """Give seconds from an arbitrary start at the market's speed, running also while the market clock is held.

        For request budgets only.
        """

    def real_seconds_until(self, ts_ms: int) -> float:
        """Give real seconds until market time reaches `ts_ms`: 0 when past, infinite while the clock is held."""

    def finished(self, frames: int) -> None:
        """Note that as many messages of a feed more have been dealt with, all that follows from them included.

        A stepped clock moves on when everybody has said so; any other does nothing.
        """

    def under_way(self) -> Callable[[], None]:
        """Note that something which follows from a message goes on by itself; give what to call when it is done.

        A stepped clock stands until then; any other does nothing.
        """
