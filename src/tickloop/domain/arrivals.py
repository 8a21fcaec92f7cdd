"""What the order of arrival says of a stream: trades that came twice, late, or after a newer one."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from tickloop.domain.window import MINUTE_MS

LATE_MS = MINUTE_MS
"""A trade received this much after it happened is late: its minute's bar may have been used without it."""

REMEMBERED = 1_000
"""Trade ids kept per market: repeats come right after a new subscription, so the newest ones are enough."""

Noted = tuple[str, int, int, int, bool]
"""Market, trade id, time of the event (ms), arrival, and whether a snapshot told of it."""


@dataclass(frozen=True, slots=True)
class ArrivalCounts:
    """Trades of a stream, by what was odd about their arrival.

    Attributes:
        duplicates: with an id among the last `REMEMBERED` of their market; they count as nothing else.
        out_of_order: older than the newest trade of their market.
        late: received more than `LATE_MS` after they happened.
    """

    duplicates: int = 0
    out_of_order: int = 0
    late: int = 0


@dataclass(slots=True)
class _Market:
    """The newest trades of one market.

    Attributes:
        top_id: no id that came was larger; ids nearly always rise, and one above it is new without a search.
        kept: id and arrival of each trade in turn, a little more than what is remembered.
    """

    newest_ms: int = -1
    top_id: int = -1
    kept: array[int] = field(default_factory=lambda: array("q"))


class ArrivalWatch:
    """Counts as trades come, in memory that does not grow beyond `remembered` ids per market.

    An id takes 16 bytes and there is a quarter more room than ids: 20 kB a market for 1,000 of them, 6 MB for 288
    markets. Ids and arrivals are int64. One thread notes; others may ask `arrival_of`.
    """

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self._most = 2 * (remembered + remembered // 4)
        self._markets: dict[str, _Market] = {}
        self._duplicates = self._out_of_order = self._late = 0

    @property
    def counts(self) -> ArrivalCounts:
        return ArrivalCounts(self._duplicates, self._out_of_order, self._late)

    def note(
        self, market: str, trade_id: int, ts_event_ms: int, ts_received_ms: int, arrival: int, *, is_snapshot: bool
    ) -> None:
        """Count one trade; a snapshot is the last trade of its market whenever that was, so never late."""
        self.note_all(((market, trade_id, ts_event_ms, arrival, is_snapshot),), ts_received_ms)

    def note_all(self, trades: Iterable[Noted], ts_received_ms: int) -> None:
        """Count trades that were received at the same time, in the order of their arrival."""
        markets = self._markets
        late_before_ms = ts_received_ms - LATE_MS
        for market, trade_id, ts_event_ms, arrival, is_snapshot in trades:
            known = markets.get(market)
            if known is None:
                known = markets[market] = _Market()
            if trade_id > known.top_id:
                known.top_id = trade_id
            elif self._find(known, trade_id) is not None:
                self._duplicates += 1
                continue
            self._remember(known, trade_id, arrival)
            if ts_event_ms < known.newest_ms:
                self._out_of_order += 1
            else:
                known.newest_ms = ts_event_ms
            if ts_event_ms < late_before_ms and not is_snapshot:
                self._late += 1

    def recall(self, market: str, trade_id: int) -> None:
        """Remember a trade from an earlier process, with arrival 0, without counting it."""
        known = self._markets.setdefault(market, _Market())
        if self._find(known, trade_id) is None:
            known.top_id = max(known.top_id, trade_id)
            self._remember(known, trade_id, 0)

    def arrival_of(self, market: str, trade_id: int) -> int | None:
        """Give the arrival of a trade that is among the last of its market; None also means forgotten."""
        known = self._markets.get(market)
        return None if known is None else self._find(known, trade_id)

    def _remember(self, known: _Market, trade_id: int, arrival: int) -> None:
        kept = known.kept
        kept.fromlist([trade_id, arrival])  # one call: another thread sees both or none
        if len(kept) > self._most:
            del kept[: -2 * self._remembered]

    def _find(self, known: _Market, trade_id: int) -> int | None:
        pairs = np.frombuffer(known.kept.tobytes(), np.int64).reshape(-1, 2)[-self._remembered :]
        places = np.flatnonzero(pairs[:, 0] == trade_id)
        return int(pairs[places[0], 1]) if len(places) else None
