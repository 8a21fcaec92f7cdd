"""Where raw events, trades and tables are kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import polars as pl

from tickloop.domain.market import Trade
from tickloop.domain.tables import Table
from tickloop.domain.window import Window


@dataclass(frozen=True)
class RawRead:
    """Some trades of a window from the raw store, and what was read to find them.

    Attributes:
        trades: a TRADE frame in trade order, one row per trade_id (the line of lowest arrival).
        lines: trade lines seen for market and window, repeats included.
        repeats: lines left out because their trade_id had come before.
        dead: lines that could not be read since the last read; they were copied to the dead letter.
    """

    trades: pl.DataFrame
    lines: int
    repeats: int
    dead: int


@dataclass(frozen=True)
class RawCounts:
    """What a raw store holds of one market and window.

    Attributes:
        stream_lines, rest_lines: trade lines by where they came from, repeats included.
        distinct: trades, each counted once.
        repeats: trade lines beyond the first of their trade; a store that knows lines by their `doc_id` has none.
        other_lines: lines of other types whose own time lies in the window.
    """

    stream_lines: int
    rest_lines: int
    distinct: int
    repeats: int
    other_lines: int


class RawStore(Protocol):
    """Raw events, append only."""

    def read(self, market: str, window: Window) -> Iterator[RawRead]:
        """Yield the trades whose event time lies in the window, some ten thousand at a time.

        Parts follow each other in trade order, and no trade comes twice. What was read counts only once the last part
        has come: an error may stand at the end.

        Raises:
            DataError: the store does not hold, or did not give, all that it had of the window.
        """

    def events(self, kind: str, market: str, window: Window) -> Iterator[list[dict[str, Any]]]:
        """Yield the events of a type other than trades (`ticker`, `orderbook`, `candle.1s`), some thousand at a time.

        As the exchange sent them, with our fields; by their own time, then `doc_id`, each once.

        Raises:
            DataError: the store does not hold, or did not give, all that it had of the window; also while iterating.
        """

    def append_repairs(self, trades: Sequence[Trade]) -> int:
        """Append trades fetched from REST, in exchange order, and sync them; give how many of them are there now."""

    def counts(self, market: str, window: Window) -> RawCounts:
        """Count the lines of a market and window, for reports."""


@dataclass(frozen=True)
class Delivery:
    """What became of lines that were handed to an event sink, all of them answered.

    Attributes:
        created: lines stored by this call.
        known: lines that an earlier delivery had stored; nothing changed.
        refused: position of a line -> why it can never be stored; for the dead letter.
        drift: name of a field that the sink does not know -> lines that carry it; they are stored with it all the same.
    """

    created: int
    known: int
    refused: Mapping[int, str]
    drift: Mapping[str, int] = field(default_factory=dict)


class EventSink(Protocol):
    """Where journal lines are delivered. A line is known by its `doc_id`, so a repeated delivery changes nothing."""

    def deliver(self, lines: Sequence[bytes]) -> Delivery:
        """Store lines of the journal, each with its `doc_id`; return when every one is stored, known or refused.

        A line may end with its line break. One that is no JSON object with a `doc_id` and a time is refused, the others
        are stored. What the sink asks to send later is sent again inside, with back-off.

        Raises:
            StoreAwayError: the sink is away or stays overloaded; any of the lines may be stored: deliver all again.
            StoreError: the sink refuses us altogether (credentials, a setting); deliver all again once that is mended.
        """

    def close(self) -> None: ...


class Lake(Protocol):
    """One Parquet object per market and hour; a put replaces the whole object at once."""

    def put(self, market: str, hour: Window, parts: Iterable[pl.DataFrame]) -> int:
        """Write TRADE frames that follow each other in order of time; give the object's size in bytes.

        Equal trades make equal objects, however they are cut into frames. No frames, or empty ones, are an object too:
        it says that nothing came. Whatever is raised, also by `parts`: the old object stands.

        Raises:
            DataError: a row is not of this market and hour, lacks a value, or lies before one that came earlier.
        """

    def get(self, market: str, hour: Window, columns: Sequence[str] | None = None) -> pl.DataFrame | None:
        """Give the TRADE frame of an hour, or only these columns in the table's order; None when it was never written.

        Raises:
            DataError: the object is not readable, or not of this market and hour.
            UsageError: TRADE has no such column.
        """

    def parts(self, market: str, hour: Window) -> Iterator[pl.DataFrame] | None:
        """Give an iterator over the TRADE frames of an hour, one after the other, some hundred thousand rows each.

        None when the hour was never written. All of them are of the object as it was at the call.

        Raises:
            DataError: as `get`; while iterating, too.
        """

    def hours(self, market: str, window: Window) -> list[Window]:
        """Give the hours of the window that were ever written, oldest first.

        Raises:
            WindowError: the window is not made of whole hours.
        """

    def close(self) -> None: ...


class Warehouse(Protocol):
    """Tables of `domain.tables`, cut by windows."""

    def replace(self, table: Table, market: str, window: Window, rows: pl.DataFrame) -> int:
        """Replace the rows of one market whose time lies in the window, in one transaction; give the rows written.

        Raises:
            DataError: if a row lies outside market or window, or a required value is missing or not finite.
        """

    def replace_by_parts(self, table: Table, market: str, window: Window, parts: Iterable[pl.DataFrame]) -> int:
        """Do as `replace` with rows that come in frames, one of which is held at a time.

        Raises:
            DataError: as `replace`, and if a row's time lies before one of an earlier frame. Whatever is raised, also
                by `parts`: nothing is written.
        """

    def upsert(self, table: Table, rows: pl.DataFrame) -> int:
        """Insert rows, replacing those of the same key, in one transaction."""

    def add_new(self, table: Table, rows: pl.DataFrame) -> int:
        """Insert the rows whose key is not there yet (first write wins); give how many were new."""

    def read(
        self,
        table: Table,
        market: str | None = None,
        window: Window | None = None,
        *,
        last: int | None = None,
    ) -> pl.DataFrame:
        """Read rows in order of time, then key; all markets when None; only the `last` n by time when given."""

    def close(self) -> None: ...


class WindowLock(Protocol):
    """One runner per step, market and hour, across processes; freed when its process dies.

    Windows of whole hours, an hour to some hundred days long. Two of one step and market that share an hour exclude
    each other, however they lie; two that only touch do not. A window is held whole or not at all: one that is refused
    keeps nobody from any part of it.
    """

    def hold(self, step: str, market: str, window: Window) -> AbstractContextManager[bool]:
        """Enter with True when the whole window was free, False when another runner has a part (do nothing then)."""
