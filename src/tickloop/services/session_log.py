"""What a bot notes of its session, and the order log that notes what it has taken."""

from __future__ import annotations

from collections.abc import Callable
from zlib import crc32

import polars as pl

from tickloop.domain.bot_session import Aged, Fact, OrderNoted
from tickloop.domain.orders import OrderEvent
from tickloop.ports import MakeFact, OrderLog

Note = Callable[[Fact | MakeFact], None]


class NotedOrderLog:
    """Implements `ports.OrderLog`: what the log has taken is noted, while `note` is set."""

    def __init__(self, order_log: OrderLog) -> None:
        self._log = order_log
        self.note: Note | None = None

    def append(self, event: OrderEvent) -> None:
        self._log.append(event)
        if self.note is not None:
            self.note(OrderNoted(event))

    def read(self) -> list[OrderEvent]:
        return self._log.read()

    def close(self) -> None:
        self._log.close()


class AgeNotes:
    """Notes from which frame on trades are too old to order on, and from which no longer."""

    def __init__(self, note: Note) -> None:
        self._note = note
        self._is_stale = False

    def set(self, is_stale: bool) -> None:
        if is_stale != self._is_stale:
            self._is_stale = is_stale
            self._note(Aged(is_stale))


def bars_sum(bars: pl.DataFrame) -> int:
    """Give a checksum of the numbers of a BAR_1M frame: equal bars give equal forecasts."""
    total = 0
    for column in bars.get_columns():
        if column.dtype.is_numeric() or column.dtype.is_temporal():
            total = crc32(column.to_numpy().tobytes(), total)
    return total
