"""Which market tells its next trade when, without asking all of them at every trade."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from typing import Protocol


class TellsTrades(Protocol):
    """One market's stream."""

    def next_trade_ms(self, after_ms: int) -> int | None:
        """Give the time of the first trade after a moment that the stream tells; None when it tells no more."""


class Upcoming:
    """The next trade of every market in a heap; a clock that goes forward moves only the markets that are due."""

    def __init__(self, markets: Mapping[str, TellsTrades]) -> None:
        self._markets = markets
        self._at_ms: int | None = None
        self._heap: list[tuple[int, str]] = []

    def forget(self) -> None:
        """Ask all markets anew: a trade was added, or is told no more."""
        self._at_ms = None

    def next_ms(self, after_ms: int) -> int | None:
        """Give the time of the first trade after a moment, of any market; None when there is none."""
        self.due(after_ms, after_ms)
        return self._heap[0][0] if self._heap else None

    def due(self, after_ms: int, until_ms: int) -> set[str]:
        """Give the markets that tell a trade in `(after_ms, until_ms]`, and stand at `until_ms` from now on."""
        if self._at_ms is None or after_ms < self._at_ms:
            self._heap = []
            for code in self._markets:
                self._push(code, after_ms)
        found: set[str] = set()
        while self._heap and self._heap[0][0] <= until_ms:
            ts_ms, code = heapq.heappop(self._heap)
            if ts_ms > after_ms:
                found.add(code)
                self._push(code, until_ms)
            else:
                self._push(code, after_ms)
        self._at_ms = until_ms
        return found

    def _push(self, code: str, after_ms: int) -> None:
        ts_ms = self._markets[code].next_trade_ms(after_ms)
        if ts_ms is not None:
            heapq.heappush(self._heap, (ts_ms, code))
