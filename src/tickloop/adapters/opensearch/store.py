"""OpenSearch as a raw store: trades of a window out, repairs in."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tickloop.adapters.common.stored_line import repair_line
from tickloop.adapters.common.trade_rows import trade_frame_of
from tickloop.adapters.local.dead_letter import DeadLetter, DeadLine
from tickloop.adapters.opensearch.connect import Server
from tickloop.adapters.opensearch.events import Events
from tickloop.adapters.opensearch.reading import PAGE, Unreadable
from tickloop.adapters.opensearch.sink import OpensearchSink
from tickloop.domain.market import Trade
from tickloop.domain.tables import TRADE
from tickloop.domain.window import Window
from tickloop.errors import StoreError
from tickloop.ports import Clock, RawCounts, RawRead

_ORIGIN = "opensearch"


class OpensearchStore:
    """Implements `ports.RawStore` on the daily indices of a prefix. Safe from several threads.

    A trade is stored once, by the line that was delivered first; a writer delivers in the order of `arrival`, so that
    is the line of lowest arrival. No line comes twice, hence there are no repeats.

    Args:
        dead_folder: where documents go that are no trades; each counts once.
    """

    def __init__(self, server: Server, prefix: str, clock: Clock, dead_folder: Path, page_size: int = PAGE) -> None:
        self._sink = OpensearchSink(server, prefix)
        self._events = Events(server, prefix, page_size)
        self._place = server.place
        self._clock = clock
        self._dead_letter = DeadLetter(dead_folder / _ORIGIN)
        self._last_arrival: int | None = None
        self._lock = threading.Lock()

    def read(self, market: str, window: Window) -> Iterator[RawRead]:
        """Yield the trades as the port says, a page of the server at a time.

        Raises:
            DataError: a day of the window was deleted for its age, or (after the last part) the server counts another
                number of trades.
            StoreError: the server refuses; `StoreAwayError` when it is away: read again from the start.
        """
        dead: list[Unreadable] = []
        for rows in self._events.trade_rows(market, window, dead.extend):
            yield RawRead(trade_frame_of(market, rows), lines=len(rows), repeats=0, dead=self._bury(dead))
            dead.clear()
        if dead:
            yield RawRead(TRADE.empty(), lines=0, repeats=0, dead=self._bury(dead))

    def events(self, kind: str, market: str, window: Window) -> Iterator[list[dict[str, Any]]]:
        """Yield events as the port says, a page of the server at a time.

        Raises:
            DataError: as `read`.
            StoreError: the server refuses; `StoreAwayError` when it is away: read again from the start.
        """
        return self._events.scan(kind, market, window)

    def append_repairs(self, trades: Sequence[Trade]) -> int:
        """Append as the port says; of a trade that is there, the line that is there stays.

        `arrival` goes on after that of the last repair, whatever the clock does.

        Raises:
            StoreError: the server refuses; `StoreAwayError` when it is away: append all again.
        """
        if not trades:
            return 0
        with self._lock:
            if self._last_arrival is None:
                self._last_arrival = self._events.last_repair_arrival()
            now_ns = self._clock.now_ns()
            first = max(self._last_arrival + 1, now_ns)
            self._last_arrival = first + len(trades) - 1
        done = self._sink.deliver([repair_line(trade, now_ns, first + n) for n, trade in enumerate(trades)])
        if done.refused:
            position, reason = next(iter(done.refused.items()))
            raise StoreError(f"{self._place} takes no repair of trade {trades[position].trade_id}: {reason}")
        return done.created + done.known

    def counts(self, market: str, window: Window) -> RawCounts:
        return self._events.counts(market, window)

    def close(self) -> None:
        self._sink.close()

    def _bury(self, documents: Sequence[Unreadable]) -> int:
        if not documents:
            return 0
        return self._dead_letter.add_new(
            [DeadLine(f"{_ORIGIN}:{one.index}:{one.doc_id}", 0, one.reason, one.content) for one in documents]
        )
