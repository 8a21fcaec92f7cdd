"""What the order of arrival says of a stream: trades that came twice, late, or after a newer one."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from tickloop.domain.window import MINUTE_MS

LATE_MS = MINUTE_MS
"""A trade received this much after it happened is late: its minute's bar may have been used without it."""

REMEMBERED = 1_000
"""Trade ids kept per market: repeats come right after a new subscription, so the newest ones are enough."""


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
    newest_ms: int = -1
    ids: set[int] = field(default_factory=set)
    order: deque[int] = field(default_factory=deque)


class ArrivalWatch:
    """Counts as trades come, in memory that does not grow beyond `remembered` ids per market.

    One thread notes; others may ask `has_seen`.
    """

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self._markets: dict[str, _Market] = {}
        self._duplicates = self._out_of_order = self._late = 0

    @property
    def counts(self) -> ArrivalCounts:
        return ArrivalCounts(self._duplicates, self._out_of_order, self._late)

    def note(self, market: str, trade_id: int, ts_event_ms: int, ts_received_ms: int, *, is_snapshot: bool) -> None:
        """Count one trade; a snapshot is the last trade of its market whenever that was, so never late."""
        known = self._markets.get(market)
        if known is None:
            known = self._markets[market] = _Market()
        if trade_id in known.ids:
            self._duplicates += 1
            return
        self._remember(known, trade_id)
        if ts_event_ms < known.newest_ms:
            self._out_of_order += 1
        else:
            known.newest_ms = ts_event_ms
        if ts_received_ms - ts_event_ms > LATE_MS and not is_snapshot:
            self._late += 1

    def recall(self, market: str, trade_id: int) -> None:
        """Remember a trade from before without counting it."""
        known = self._markets.setdefault(market, _Market())
        if trade_id not in known.ids:
            self._remember(known, trade_id)

    def has_seen(self, market: str, trade_id: int) -> bool:
        """Tell whether a trade is among the last of its market; False also means forgotten."""
        known = self._markets.get(market)
        return known is not None and trade_id in known.ids

    def _remember(self, known: _Market, trade_id: int) -> None:
        known.ids.add(trade_id)
        known.order.append(trade_id)
        if len(known.order) > self._remembered:
            known.ids.discard(known.order.popleft())
