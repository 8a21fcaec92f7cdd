"""Messages of a feed into lines of the journal: what each of them is, and what of it is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tickloop.adapters.local.journal_line import line_of, usual_lines_of
from tickloop.adapters.local.segment_writer import Lines
from tickloop.adapters.upbit.events import (
    CANDLES,
    ExchangeErrorEvent,
    MarketEvent,
    OrderbookEvent,
    StatusEvent,
    TickerEvent,
    TradeEvent,
)
from tickloop.adapters.upbit.parse import parse_frame, parse_usual
from tickloop.domain.arrivals import ArrivalWatch, TradeRows
from tickloop.domain.packed import Packed
from tickloop.errors import CorruptLineError
from tickloop.ports import Frames

_MANY = 3  # messages that cost less together than one by one
_MANY_PACKED = 16  # the same, of compiled code
_MOST_STOPS = 8
"""Unusual messages of one batch after which the rest is not worth starting the compiled code again."""

_KIND_OF: dict[type, str] = {
    **dict.fromkeys(CANDLES, "candle"),
    TradeEvent: "trade",
    TickerEvent: "ticker",
    OrderbookEvent: "orderbook",
    StatusEvent: "status",
    ExchangeErrorEvent: "error",
}


class MadeLines(Protocol):
    """Lines of the first messages of a batch.

    Attributes:
        text, ends: the lines, one after the other, and the position after each.
        is_trade: which of the messages are trades; the others are tickers.
        times_ms, ids: of each message the time of its event, and of a trade its id.
        codes: number of each message's market.
        is_snapshot: 1 where a message belongs to a snapshot.
    """

    @property
    def text(self) -> bytes | memoryview: ...
    @property
    def ends(self) -> NDArray[np.int64]: ...
    @property
    def is_trade(self) -> NDArray[np.bool_]: ...
    @property
    def times_ms(self) -> NDArray[np.int64]: ...
    @property
    def ids(self) -> NDArray[np.int64]: ...
    @property
    def codes(self) -> NDArray[np.int64]: ...
    @property
    def is_snapshot(self) -> NDArray[np.int64]: ...
    def __len__(self) -> int: ...


class LineMaker(Protocol):
    """Makes the lines of many messages faster than one by one."""

    @property
    def names(self) -> Sequence[str]:
        """Give the codes of markets by number, as far as they have been seen."""

    def make(self, messages: Packed, ts_received_ns: int, arrival: int, /) -> MadeLines:
        """Make lines up to the first unusual message, the first line with this `arrival`."""


Refuse = Callable[[bytes, int, str], None]
"""Hears of a message that is none of the exchange's, the time of its receipt (ns), and why."""


class Intake:
    """Makes lines, numbers them and counts the trades among them.

    Attributes:
        arrival: that of the newest line.
    """

    def __init__(self, watch: ArrivalWatch, refuse: Refuse, maker: LineMaker | None = None) -> None:
        self._watch = watch
        self._refuse = refuse
        self._maker = maker
        self._rows = np.empty(0, np.int64)  # number of a market in the watch, by its number in the maker
        self.arrival = -1

    def take(self, frames: Frames, queue: Callable[[Lines], None]) -> Mapping[str, int]:
        """Queue the lines of messages, in order; give how many messages there were of each kind."""
        raws, ts_received_ns = frames.raws, frames.ts_received_ns
        if isinstance(raws, Packed) and self._maker is not None and len(raws) >= _MANY_PACKED:
            return self._take_packed(raws, self._maker, ts_received_ns, queue)
        events = parse_usual(raws) if len(raws) >= _MANY else None
        if events is not None:
            lines = usual_lines_of(raws, events, ts_received_ns, self._next(ts_received_ns))
            if lines is not None:
                self._queue(events, lines, ts_received_ns, queue)
                return _kinds_of(events)
        return Counter(self._take_one(raw, ts_received_ns, queue) for raw in raws)

    def _take_packed(
        self, raws: Packed, maker: LineMaker, ts_received_ns: int, queue: Callable[[Lines], None]
    ) -> Mapping[str, int]:
        kinds: Counter[str] = Counter()
        at = 0
        for _ in range(_MOST_STOPS):
            made = maker.make(raws[at:], ts_received_ns, self._next(ts_received_ns))
            if len(made):
                self._queue_made(made, maker.names, ts_received_ns, queue)
                trades = int(made.is_trade.sum())
                kinds.update(trade=trades, ticker=len(made) - trades)
            at += len(made)
            if at == len(raws):
                return +kinds
            kinds[self._take_one(raws[at], ts_received_ns, queue)] += 1
            at += 1
        kinds.update(self.take(Frames(list(raws[at:]), ts_received_ns), queue))
        return +kinds

    def _take_one(self, raw: bytes, ts_received_ns: int, queue: Callable[[Lines], None]) -> str:
        try:
            event = parse_frame(raw)
            if isinstance(event, StatusEvent | ExchangeErrorEvent):
                return _KIND_OF[type(event)]
            line = line_of(raw, event, ts_received_ns, self._next(ts_received_ns))
        except CorruptLineError as exc:
            self._refuse(raw, ts_received_ns, str(exc))
            return "dead"
        self._queue((event,), (line,), ts_received_ns, queue)
        return _KIND_OF[type(event)]

    def _next(self, ts_received_ns: int) -> int:
        return max(self.arrival + 1, ts_received_ns)

    def _queue(
        self, events: Sequence[MarketEvent], lines: Sequence[bytes], ts_received_ns: int, queue: Callable[[Lines], None]
    ) -> None:
        first = self._next(ts_received_ns)
        self.arrival = first + len(lines) - 1
        queue(Lines.of(first, lines))
        trades = [
            (event.code, event.sequential_id, event.trade_timestamp, arrival, event.stream_type == "SNAPSHOT")
            for arrival, event in enumerate(events, first)
            if isinstance(event, TradeEvent)
        ]
        self._watch.note_all(trades, ts_received_ns // 1_000_000)

    def _queue_made(
        self, made: MadeLines, names: Sequence[str], ts_received_ns: int, queue: Callable[[Lines], None]
    ) -> None:
        first = self._next(ts_received_ns)
        self.arrival = first + len(made) - 1
        queue(Lines(first, made.text, made.ends))
        if len(names) > len(self._rows):
            self._rows = np.array([self._watch.row_of(name) for name in names])
        places = np.flatnonzero(made.is_trade)
        trades = TradeRows(
            rows=self._rows[made.codes[places]],
            ids=made.ids[places],
            times_ms=made.times_ms[places],
            arrivals=places + first,
            is_snapshot=made.is_snapshot[places],
        )
        self._watch.note_rows(trades, ts_received_ns // 1_000_000)


def _kinds_of(events: Iterable[MarketEvent]) -> Mapping[str, int]:
    kinds: Counter[str] = Counter()
    for cls, count in Counter(map(type, events)).items():
        kinds[_KIND_OF[cls]] += count
    return kinds
