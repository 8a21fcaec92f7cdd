"""The journal as a raw store: trades of a window out, repairs in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from tickloop.adapters.local.dead_letter import DeadLetter, DeadLine
from tickloop.adapters.local.files import file_lock
from tickloop.adapters.local.journal_line import DOC_ID, TradeLine, has_doc_id, read_trade, repair_line, trade_marker
from tickloop.adapters.local.segments import OpenSegment, SegmentFile, last_arrival, list_segments
from tickloop.adapters.upbit.parse import SIDE_OF
from tickloop.domain.market import Source, Trade
from tickloop.domain.tables import TRADE, TRADE_ORDER
from tickloop.domain.window import MINUTE_MS, Window
from tickloop.errors import CorruptLineError
from tickloop.ports import Clock, RawRead

REPAIR_WRITER = "repair"

# How far the exchange's clock may be ahead of ours: an event may lie in a segment that ended just before its time.
_SKEW_MS = MINUTE_MS

_LOCK_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class JournalCounts:
    """What the journal holds of one market and window.

    Attributes:
        stream_lines, rest_lines: trade lines by where they came from, repeats included.
        distinct: trades, each counted once.
        repeats: trade lines beyond the first of their trade.
        other_lines: lines of other types whose own time lies in the window.
    """

    stream_lines: int
    rest_lines: int
    distinct: int
    repeats: int
    other_lines: int


@dataclass(frozen=True)
class _Extent:
    """What one reading of a segment said of a market: its size then, and the first and last event time."""

    size: int
    first_ms: int
    last_ms: int


class JournalStore:
    """Implements `ports.RawStore` on the collector's folder of segments."""

    def __init__(self, folder: Path, dead_folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._dead_folder = dead_folder
        self._clock = clock
        self._extents: dict[tuple[Path, str], _Extent] = {}

    def read(self, market: str, window: Window) -> RawRead:
        found: list[TradeLine] = []
        dead = 0
        for segment in self._segments(window):
            if self._is_outside(segment, market, window):
                continue
            data = _whole_lines(segment.path)
            trades, broken = _trades_in(data, market, segment.path.name)
            dead += self._bury(segment, broken)
            self._remember(segment, market, len(data), trades)
            found += [trade for trade in trades if trade.trade_timestamp in window]
        frame = trade_lines_frame(found)
        return RawRead(frame, lines=len(found), repeats=len(found) - frame.height, dead=dead)

    def append_repairs(self, trades: Sequence[Trade]) -> int:
        if not trades:
            return 0
        # The lock makes `arrival` one sequence for all processes that repair.
        with file_lock(self._folder / f".{REPAIR_WRITER}.lock", _LOCK_TIMEOUT_S):
            now_ns = self._clock.now_ns()
            first = max(last_arrival(self._folder, REPAIR_WRITER) + 1, now_ns)
            lines = [repair_line(trade, now_ns, first + number) for number, trade in enumerate(trades)]
            segment = OpenSegment(self._folder, REPAIR_WRITER, first)
            try:
                segment.write(b"".join(lines))
                segment.sync()
            finally:
                segment.close()
        return len(lines)

    def counts(self, market: str, window: Window) -> JournalCounts:
        """Count the lines of a market and window, for reports."""
        trades: list[TradeLine] = []
        other = 0
        for segment in self._segments(window):
            data = _whole_lines(segment.path)
            trades += [one for one in _trades_in(data, market, "")[0] if one.trade_timestamp in window]
            other += sum(ts_ms in window for ts_ms in _other_times(data, market))
        rest = sum(trade.source == Source.REST.value for trade in trades)
        distinct = len({trade.sequential_id for trade in trades})
        return JournalCounts(len(trades) - rest, rest, distinct, len(trades) - distinct, other)

    def _segments(self, window: Window) -> Iterator[SegmentFile]:
        """Yield the segments that can hold events of the window: late events lie in later ones, early ones nowhere."""
        segments = list_segments(self._folder)
        earliest_ns = (window.start_ms - _SKEW_MS) * 1_000_000
        ends_ns: dict[str, int] = {}
        for segment in reversed(segments):
            if ends_ns.get(segment.writer, earliest_ns + 1) > earliest_ns:
                yield segment
            ends_ns[segment.writer] = segment.start_ns

    def _is_outside(self, segment: SegmentFile, market: str, window: Window) -> bool:
        extent = self._extents.get((segment.path, market))
        if extent is None or extent.size != segment.path.stat().st_size:
            return False
        return extent.last_ms < window.start_ms or extent.first_ms >= window.end_ms

    def _remember(self, segment: SegmentFile, market: str, size: int, trades: list[TradeLine]) -> None:
        times = [trade.trade_timestamp for trade in trades]
        self._extents[segment.path, market] = _Extent(size, min(times, default=0), max(times, default=-1))

    def _bury(self, segment: SegmentFile, broken: list[DeadLine]) -> int:
        if not broken:
            return 0
        return DeadLetter(self._dead_folder / segment.path.name).add_new(broken)


def trade_lines_frame(lines: Sequence[TradeLine]) -> pl.DataFrame:
    """Give a TRADE frame in trade order, for each trade_id the line of lowest arrival."""
    columns = {
        "market": [line.code for line in lines],
        "trade_id": [line.sequential_id for line in lines],
        "ts_event": [line.trade_timestamp for line in lines],
        "ts_received": [line.ts_received for line in lines],
        "arrival": [line.arrival for line in lines],
        "price": [line.trade_price for line in lines],
        "qty_e8": [line.qty_e8 for line in lines],
        "side": [SIDE_OF[line.ask_bid].value for line in lines],
        "change": [line.change for line in lines],
        "source": [line.source for line in lines],
    }
    plain = {name: pl.Int64() if dtype.is_temporal() else dtype for name, dtype in TRADE.columns.items()}
    frame = pl.DataFrame(columns, schema=plain).cast(pl.Schema(TRADE.columns))
    # Two writers may give the same arrival; the line of the stream then comes first.
    return frame.sort("arrival", "source").unique("trade_id", keep="first", maintain_order=True).sort(TRADE_ORDER)


def _whole_lines(path: Path) -> bytes:
    data = path.read_bytes()
    return data[: data.rfind(b"\n") + 1]


def _trades_in(data: bytes, market: str, segment: str) -> tuple[list[TradeLine], list[DeadLine]]:
    """Read a market's trades of a segment, and the lines that are none of anything."""
    marker = trade_marker(market)
    trades: list[TradeLine] = []
    broken: list[DeadLine] = []
    offset = 0
    for line in data.split(b"\n")[:-1]:
        try:
            if marker in line:
                trades.append(read_trade(line, market))
            elif not has_doc_id(line):
                raise CorruptLineError(f"journal line {line[:120]!r} does not end in a doc_id; valid: what was written")
        except CorruptLineError as exc:
            broken.append(DeadLine(segment, offset, str(exc), line))
        offset += len(line) + 1
    return trades, broken


def _other_times(data: bytes, market: str) -> Iterator[int]:
    """Yield the event times (ms) of the lines of a market that are no trades."""
    form = DOC_ID + rb"(?!trade:)[a-z]+:%b:(\d+):[0-9a-f]{8}\"}\n" % re.escape(market).encode()
    return (int(ts_ms) for ts_ms in re.findall(form, data))
