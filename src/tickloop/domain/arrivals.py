"""What the order of arrival says of a stream: trades that came twice, late, or after a newer one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.window import MINUTE_MS

LATE_MS = MINUTE_MS
"""A trade received this much after it happened is late: its minute's bar may have been used without it."""

REMEMBERED = 1_000
"""Trade ids kept per market: repeats come right after a new subscription, so the newest ones are enough."""

_FIRST_ROWS = 8

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


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest trades of each market, a row a market.

    Attributes:
        top_ids: no id that came was larger, shape (n,); ids nearly always rise, and one above it is new without a
            search. -1 before any.
        times_ms: time of the newest trade, -1 before any.
        kept: how many were remembered so far; number k stands in place k modulo the width of a row.
        ids, arrivals: what is remembered, shape (n, width); an id of -1 is an empty place.
    """

    top_ids: NDArray[np.int64]
    times_ms: NDArray[np.int64]
    kept: NDArray[np.int64]
    ids: NDArray[np.int64]
    arrivals: NDArray[np.int64]

    @classmethod
    def empty(cls, rows: int, width: int) -> Newest:
        nothing = np.full(rows, -1, np.int64)
        wide = np.full((rows, width), -1, np.int64)
        return cls(nothing, nothing.copy(), np.zeros(rows, np.int64), wide, wide.copy())

    def doubled(self) -> Newest:
        """Give the same with as many empty rows more."""
        more = Newest.empty(len(self.top_ids), self.ids.shape[1])
        pairs = ((getattr(self, one.name), getattr(more, one.name)) for one in fields(self))
        return Newest(*(np.concatenate(pair) for pair in pairs))


@dataclass(frozen=True, slots=True)
class TradeRows:
    """Trades that were received at the same time, in the order of their arrival; arrays of shape (n,), int64.

    Attributes:
        rows: markets, as numbers of `ArrivalWatch.row_of`.
        is_snapshot: 1 where a snapshot told of the trade.
    """

    rows: NDArray[np.int64]
    ids: NDArray[np.int64]
    times_ms: NDArray[np.int64]
    arrivals: NDArray[np.int64]
    is_snapshot: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, place: slice) -> TradeRows:
        return TradeRows(*(getattr(self, one.name)[place] for one in fields(self)))

    def one(self, at: int) -> tuple[int, int, int, int, bool]:
        row, trade_id, ts_ms, arrival, is_snapshot = (int(getattr(self, one.name)[at]) for one in fields(self))
        return row, trade_id, ts_ms, arrival, bool(is_snapshot)


PassUsual = Callable[[Newest, TradeRows, int], tuple[int, int]]


class ArrivalWatch:
    """Counts as trades come, in memory that does not grow beyond `remembered` ids per market.

    An id takes 16 bytes: 16 kB a market for 1,000 of them, 5 MB for 288 markets. Ids and arrivals are int64. One thread
    notes; others may ask `arrival_of`.

    Args:
        pass_usual: does what `note_all` does with the first trades of many, up to one that came twice or out of order;
            gives their number, and that of the late ones. Compiled code does so faster; None leaves all to `note_all`.
    """

    def __init__(self, remembered: int = REMEMBERED, pass_usual: PassUsual | None = None) -> None:
        self._remembered = remembered
        self._pass_usual = pass_usual
        self._rows: dict[str, int] = {}
        self._newest = Newest.empty(_FIRST_ROWS, remembered)
        self._duplicates = self._out_of_order = self._late = 0

    @property
    def counts(self) -> ArrivalCounts:
        return ArrivalCounts(self._duplicates, self._out_of_order, self._late)

    def note(
        self, market: str, trade_id: int, ts_event_ms: int, ts_received_ms: int, arrival: int, *, is_snapshot: bool
    ) -> None:
        """Count one trade; a snapshot is the last trade of its market whenever that was, so never late."""
        self._note_one(self.row_of(market), trade_id, ts_event_ms, arrival, ts_received_ms - LATE_MS, is_snapshot)

    def note_all(self, trades: Iterable[Noted], ts_received_ms: int) -> None:
        """Count trades that were received at the same time, in the order of their arrival."""
        late_before_ms = ts_received_ms - LATE_MS
        for market, trade_id, ts_event_ms, arrival, is_snapshot in trades:
            self._note_one(self.row_of(market), trade_id, ts_event_ms, arrival, late_before_ms, is_snapshot)

    def note_rows(self, trades: TradeRows, ts_received_ms: int) -> None:
        """Do as `note_all`, with trades as arrays whose markets are numbers that `row_of` gave."""
        late_before_ms = ts_received_ms - LATE_MS
        at = 0
        while at < len(trades):
            if self._pass_usual is not None:
                passed, late = self._pass_usual(self._newest, trades[at:], late_before_ms)
                at += passed
                self._late += late
            if at < len(trades):
                row, trade_id, ts_event_ms, arrival, is_snapshot = trades.one(at)
                self._note_one(row, trade_id, ts_event_ms, arrival, late_before_ms, is_snapshot)
                at += 1

    def recall(self, market: str, trade_id: int) -> None:
        """Remember a trade from an earlier process, with arrival 0, without counting it."""
        row, newest = self.row_of(market), self._newest
        if self._find(row, trade_id) is None:
            newest.top_ids[row] = max(int(newest.top_ids[row]), trade_id)
            self._remember(row, trade_id, 0)

    def arrival_of(self, market: str, trade_id: int) -> int | None:
        """Give the arrival of a trade that is among the last of its market; None also means forgotten."""
        row = self._rows.get(market)
        return None if row is None else self._find(row, trade_id)

    def row_of(self, market: str) -> int:
        """Give the number of a market here; it stays the same."""
        row = self._rows.get(market)
        if row is None:
            row = len(self._rows)
            if row == len(self._newest.top_ids):
                self._newest = self._newest.doubled()
            self._rows[market] = row
        return row

    def _note_one(
        self, row: int, trade_id: int, ts_event_ms: int, arrival: int, late_before_ms: int, is_snapshot: bool
    ) -> None:
        newest = self._newest
        if trade_id > newest.top_ids[row]:
            newest.top_ids[row] = trade_id
        elif self._find(row, trade_id) is not None:
            self._duplicates += 1
            return
        self._remember(row, trade_id, arrival)
        if ts_event_ms < newest.times_ms[row]:
            self._out_of_order += 1
        else:
            newest.times_ms[row] = ts_event_ms
        if ts_event_ms < late_before_ms and not is_snapshot:
            self._late += 1

    def _remember(self, row: int, trade_id: int, arrival: int) -> None:
        newest = self._newest
        place = newest.kept[row] % self._remembered
        newest.arrivals[row, place] = arrival
        newest.ids[row, place] = trade_id  # after its arrival: another thread that finds it has both
        newest.kept[row] += 1

    def _find(self, row: int, trade_id: int) -> int | None:
        places = np.flatnonzero(self._newest.ids[row] == trade_id)
        return int(self._newest.arrivals[row, places[0]]) if len(places) else None
