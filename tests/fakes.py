"""In-memory doubles of the ports. They pass the same contract suites as the real adapters."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import polars as pl

from tickloop.domain.bars import trade_frame
from tickloop.domain.gaps import Gap
from tickloop.domain.market import Candle, Source, Trade
from tickloop.domain.rows import check_rows, check_unique, in_order, key_taken, order_of, pick_columns
from tickloop.domain.tables import TRADE, Table
from tickloop.domain.window import Window
from tickloop.errors import DataError, UnknownMarketError, UsageError
from tickloop.ports import Clock, Decision, Lake, ModelVersion, RawCounts, RawRead, RawStore

START_MS = 1_705_881_600_000
"""2024-01-22T00:00:00Z, where `FixedClock` stands at first."""


_PART_ROWS = 50  # small, so that what is read in parts comes in more than one


class FixedClock:
    """A clock that moves only when told to."""

    def __init__(self, now_ms: int = START_MS) -> None:
        self._now_ns = now_ms * 1_000_000
        self._elapsed_ns = 0

    def now_ns(self) -> int:
        return self._now_ns

    def now_ms(self) -> int:
        return self._now_ns // 1_000_000

    def elapsed_s(self) -> float:
        return self._elapsed_ns / 1e9

    def real_seconds_until(self, ts_ms: int) -> float:
        return max(0.0, (ts_ms * 1_000_000 - self._now_ns) / 1e9)

    def finished(self, frames: int) -> None:
        pass

    def under_way(self) -> Callable[[], None]:
        return lambda: None

    def advance(self, ms: int) -> None:
        self._now_ns += ms * 1_000_000
        self._elapsed_ns += ms * 1_000_000

    def set(self, now_ms: int) -> None:
        """Move market time alone; the budget time stays."""
        self._now_ns = now_ms * 1_000_000


class FakeMarketData:
    """Candles and trades given at the start; `asked` records each call as (what, market, window)."""

    def __init__(
        self,
        candles: Sequence[Candle] = (),
        trades: Sequence[Trade] = (),
        known: Sequence[str] = ("KRW-BTC", "KRW-ETH"),
    ) -> None:
        self.known = list(known)
        self.stored_candles = list(candles)
        self.stored_trades = list(trades)
        self.asked: list[tuple[str, str, Window]] = []

    def markets(self) -> list[str]:
        return list(self.known)

    def candles(self, market: str, window: Window) -> list[Candle]:
        self._ask("candles", market, window)
        found = [one for one in self.stored_candles if one.market == market and one.ts_open_ms in window]
        return sorted(found, key=lambda candle: candle.ts_open_ms)

    def trades(self, market: str, window: Window) -> list[Trade]:
        self._ask("trades", market, window)
        found = [one for one in self.stored_trades if one.market == market and one.ts_event_ms in window]
        return [replace(trade, arrival=0, ts_received_ns=0, source=Source.REST) for trade in found]

    def _ask(self, what: str, market: str, window: Window) -> None:
        self.asked.append((what, market, window))
        if market not in self.known:
            raise UnknownMarketError(market, tuple(self.known))


class FakeRawStore:
    """Trade lines in a list; a repair gets the next arrival."""

    def __init__(self, trades: Sequence[Trade] = (), dead: int = 0, events: Sequence[Mapping[str, Any]] = ()) -> None:
        self._guard = threading.Lock()
        self.lines = list(trades)
        self.others = list(events)
        self.dead = dead

    def read(self, market: str, window: Window) -> Iterator[RawRead]:
        lines = [trade for trade in self.lines if trade.market == market and trade.ts_event_ms in window]
        first: dict[int, Trade] = {}
        for trade in sorted(lines, key=lambda trade: trade.arrival):
            first.setdefault(trade.trade_id, trade)
        dead, self.dead = self.dead, 0
        trades, repeats = trade_frame(list(first.values())), len(lines) - len(first)
        yield RawRead(TRADE.empty(), repeats, repeats, dead)
        for part in trades.iter_slices(_PART_ROWS):
            yield RawRead(part, part.height, 0, 0)

    def events(self, kind: str, market: str, window: Window) -> Iterator[list[dict[str, Any]]]:
        first: dict[str, Mapping[str, Any]] = {}
        for event in sorted(self.others, key=lambda event: int(event["arrival"])):
            if (event["type"], event["code"]) == (kind, market) and event["timestamp"] in window:
                first.setdefault(event["doc_id"], event)
        found = sorted(first.values(), key=lambda event: (event["timestamp"], event["doc_id"]))
        for start in range(0, len(found), _PART_ROWS):
            yield [dict(event) for event in found[start : start + _PART_ROWS]]

    def append_repairs(self, trades: Sequence[Trade]) -> int:
        with self._guard:
            arrival = max((trade.arrival for trade in self.lines), default=0)
            for offset, trade in enumerate(trades, start=1):
                self.lines.append(replace(trade, arrival=arrival + offset, ts_received_ns=arrival + offset))
        return len(trades)

    def counts(self, market: str, window: Window) -> RawCounts:
        lines = [trade for trade in self.lines if trade.market == market and trade.ts_event_ms in window]
        rest = sum(trade.source is Source.REST for trade in lines)
        distinct = len({trade.trade_id for trade in lines})
        return RawCounts(len(lines) - rest, rest, distinct, len(lines) - distinct, other_lines=0)


def read_whole(store: RawStore, market: str, window: Window) -> RawRead:
    """Read a window in one part."""
    parts = list(store.read(market, window))
    return RawRead(
        pl.concat([TRADE.empty(), *(part.trades for part in parts)]),
        lines=sum(part.lines for part in parts),
        repeats=sum(part.repeats for part in parts),
        dead=sum(part.dead for part in parts),
    )


class FakeNotifier:
    """Keeps what it was told as (alert or clear, subject)."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.messages: list[str] = []

    def alert(self, subject: str, message: str, **detail: Any) -> None:
        self.told.append(("alert", subject))
        self.messages.append(message)

    def clear(self, subject: str, message: str) -> None:
        self.told.append(("clear", subject))
        self.messages.append(message)


class MemoryGapLog:
    """Keeps the gaps saved last."""

    def __init__(self, gaps: Sequence[Gap] = ()) -> None:
        self.gaps = list(gaps)

    def load(self) -> list[Gap]:
        return list(self.gaps)

    def save(self, gaps: Sequence[Gap]) -> None:
        self.gaps = list(gaps)


class MemoryLake:
    def __init__(self) -> None:
        self._objects: dict[tuple[str, Window], pl.DataFrame] = {}

    def put(self, market: str, hour: Window, parts: Iterable[pl.DataFrame]) -> int:
        trades = pl.concat([TRADE.empty(), *in_order(TRADE, market, hour, parts)])
        self._objects[market, hour] = trades
        return int(trades.estimated_size())

    def get(self, market: str, hour: Window, columns: Sequence[str] | None = None) -> pl.DataFrame | None:
        names = pick_columns(TRADE, columns)
        found = self._objects.get((market, hour))
        return found if found is None else found.select(names)

    def parts(self, market: str, hour: Window) -> Iterator[pl.DataFrame] | None:
        found = self._objects.get((market, hour))
        return None if found is None else found.iter_slices(_PART_ROWS)

    def hours(self, market: str, window: Window) -> list[Window]:
        return [hour for hour in window.hours() if (market, hour) in self._objects]

    def close(self) -> None:
        pass


def fill_lake(lake: Lake, trades: pl.DataFrame, window: Window) -> None:
    """Put the trades of one market into a lake, an object for each hour of a window."""
    for hour in window.hours():
        is_inside = (pl.col("ts_event") >= hour.start) & (pl.col("ts_event") < hour.end)
        lake.put(str(trades["market"][0]), hour, [trades.filter(is_inside)])


class MemoryWarehouse:
    """One frame per table; threads may share it."""

    def __init__(self) -> None:
        self._frames: dict[str, pl.DataFrame] = {}
        self._guard = threading.Lock()

    def replace(self, table: Table, market: str, window: Window, rows: pl.DataFrame) -> int:
        check_rows(table, rows, market, window)
        check_unique(table, rows)
        with self._guard:
            return self._replace(table, market, window, rows)

    def replace_by_parts(self, table: Table, market: str, window: Window, parts: Iterable[pl.DataFrame]) -> int:
        return self.replace(table, market, window, pl.concat([table.empty(), *in_order(table, market, window, parts)]))

    def _replace(self, table: Table, market: str, window: Window, rows: pl.DataFrame) -> int:
        stored = self._stored(table)
        is_old = (pl.col("market") == market) & pl.col(table.time).is_between(window.start, window.end, closed="left")
        others = stored.filter(~is_old)
        taken = rows.join(others, on=list(table.key), how="semi").select(table.key)
        if taken.height:
            raise key_taken(table, taken.row(0), f"is there already outside {window}")
        self._frames[table.name] = pl.concat([others, rows])
        return rows.height

    def upsert(self, table: Table, rows: pl.DataFrame) -> int:
        check_rows(table, rows)
        with self._guard:
            self._frames[table.name] = pl.concat([self._stored(table), rows]).unique(table.key, keep="last")
        return rows.height

    def add_new(self, table: Table, rows: pl.DataFrame) -> int:
        check_rows(table, rows)
        with self._guard:
            stored = self._stored(table)
            both = pl.concat([stored, rows]).unique(table.key, keep="first", maintain_order=True)
            self._frames[table.name] = both
        return both.height - stored.height

    def read(
        self, table: Table, market: str | None = None, window: Window | None = None, *, last: int | None = None
    ) -> pl.DataFrame:
        if last is not None and last < 0:
            raise UsageError(f"last = {last} rows cannot be read; valid: 0 or more")
        rows = self._stored(table)
        if market is not None:
            rows = rows.filter(pl.col("market") == market)
        if window is not None:
            rows = rows.filter(pl.col(table.time).is_between(window.start, window.end, closed="left"))
        rows = rows.sort(order_of(table))
        return rows if last is None else rows.tail(last)

    def close(self) -> None:
        pass

    def _stored(self, table: Table) -> pl.DataFrame:
        return self._frames.get(table.name, table.empty())


class MemoryWindowLock:
    """One instance stands for one machine: each `hold` in it is another runner."""

    def __init__(self) -> None:
        self._held: set[tuple[str, str, Window]] = set()
        self._guard = threading.Lock()

    @contextmanager
    def hold(self, step: str, market: str, window: Window) -> Iterator[bool]:
        hours = {(step, market, hour) for hour in window.hours()}
        with self._guard:
            is_free = self._held.isdisjoint(hours)
            self._held |= hours if is_free else set()
        try:
            yield is_free
        finally:
            if is_free:
                self._held -= hours


class MemoryRegistry:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._versions: dict[str, list[ModelVersion]] = {}
        self._files: dict[tuple[str, str], dict[str, bytes]] = {}
        self._slots: dict[tuple[str, str, Window | None], str] = {}
        self._aliases: dict[str, dict[str, str]] = {}
        self._decisions: dict[str, list[Decision]] = {}
        self.lineage: dict[tuple[str, str], dict[str, str]] = {}

    def register(
        self,
        market: str,
        family: str,
        files: Mapping[str, bytes],
        *,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        lineage: Mapping[str, str],
        slot: Window | None = None,
    ) -> ModelVersion:
        known = self._slots.get((market, family, slot))
        if known is not None:
            return self._named(market, known)
        stored = self._versions.setdefault(market, [])
        name = f"{family}-{len(stored) + 1}"
        texts = {key: str(value) for key, value in params.items()}
        stored.append(
            ModelVersion(market, name, len(stored) + 1, family, (), dict(metrics), texts, self._clock.now_ms())
        )
        self._files[market, name] = dict(files)
        self._slots[market, family, slot] = name
        self.lineage[market, name] = dict(lineage)
        return self._named(market, name)

    def log_metrics(self, version: ModelVersion, metrics: Mapping[str, float]) -> None:
        stored = self._versions[version.market]
        old = stored[version.number - 1]
        stored[version.number - 1] = replace(old, metrics={**old.metrics, **metrics})

    def versions(self, market: str) -> list[ModelVersion]:
        return [self._named(market, version.name) for version in self._versions.get(market, [])]

    def champion(self, market: str) -> ModelVersion | None:
        name = self._aliases.get(market, {}).get("champion")
        return None if name is None else self._named(market, name)

    def files(self, version: ModelVersion) -> dict[str, bytes]:
        return dict(self._files[version.market, version.name])

    def decide(self, decision: Decision) -> None:
        for name in (decision.champion, decision.previous or decision.champion):
            self._named(decision.market, name)
        stored = self._decisions.setdefault(decision.market, [])
        if not stored or replace(stored[-1], decided_at_ms=decision.decided_at_ms) != decision:
            stored.append(decision)
        aliases = self._aliases.setdefault(decision.market, {})
        if decision.previous is not None:
            aliases["previous"] = decision.previous
        aliases["champion"] = decision.champion

    def decisions(self, market: str) -> Iterator[Decision]:
        yield from self._decisions.get(market, [])

    def _named(self, market: str, name: str) -> ModelVersion:
        names = [version.name for version in self._versions.get(market, [])]
        if name not in names:
            raise DataError(f"model version {name!r} of {market} is not registered; valid: {names or 'none'}")
        aliases = tuple(sorted(key for key, value in self._aliases.get(market, {}).items() if value == name))
        return replace(self._versions[market][names.index(name)], aliases=aliases)
