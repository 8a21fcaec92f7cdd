"""What Tickloop needs from the outside, as Protocols. Each has one contract suite in `tests/contract`.

Adapters implement these; services take them as arguments; `bootstrap` picks. Nothing here names a product.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from tickloop.domain.arrivals import ArrivalCounts
from tickloop.domain.gaps import Gap
from tickloop.domain.market import Candle, Side, Trade
from tickloop.domain.orders import OrderEvent
from tickloop.domain.tables import Table
from tickloop.domain.window import Window


class Clock(Protocol):
    """Market time, perhaps accelerated, and a budget time that never stands."""

    def now_ns(self) -> int:
        """Give market time, epoch nanoseconds UTC."""

    def now_ms(self) -> int:
        """Give market time, epoch milliseconds UTC."""

    def elapsed_s(self) -> float:
        """Give seconds from an arbitrary start at the market's speed, running also while the market clock is held.

        For request budgets only.
        """

    def real_seconds_until(self, ts_ms: int) -> float:
        """Give real seconds until market time reaches `ts_ms`: 0 when past, infinite while the clock is held."""

    def finished(self, frames: int) -> None:
        """Note that as many messages of a feed more have been dealt with, all that follows from them included.

        A stepped clock moves on when everybody has said so; any other does nothing.
        """

    def under_way(self) -> Callable[[], None]:
        """Note that something which follows from a message goes on by itself; give what to call when it is done.

        A stepped clock stands until then; any other does nothing.
        """


# --- exchange -------------------------------------------------------------------------------------------------


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One WebSocket message as received, with the time of its receipt (market clock, ns)."""

    raw: bytes
    ts_received_ns: int


@dataclass(frozen=True, slots=True)
class Frames:
    """Messages that were received together, oldest first, at least one, with the time of their receipt.

    A busy feed is handled in these: one `Frame` after the other would cost as much as reading them.
    """

    raws: Sequence[bytes]
    ts_received_ns: int


class TradeFeed(Protocol):
    """A live stream that reconnects by itself."""

    def frames(self) -> AsyncIterator[Frame | Disconnected]:
        """Yield messages, and a `Disconnected` where some may have been missed, until the consumer stops."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The stream was away: events between the two market times may be missing.

    The first one of a connection has `since_ms` None: nothing was received before it.

    Attributes:
        markets: whose events may be missing; empty means all of the feed's.
    """

    since_ms: int | None
    until_ms: int
    reason: str
    markets: tuple[str, ...] = ()


class BatchFeed(Protocol):
    """A live stream of many messages a second."""

    def batches(self) -> AsyncIterator[Frames | Disconnected]:
        """Yield messages as `TradeFeed.frames` does, as many at a time as have come together."""


class AdjustableFeed(TradeFeed, Protocol):
    """A feed whose markets change while it runs."""

    def set_markets(self, markets: Sequence[str]) -> None:
        """Subscribe to these markets from now on; those that stay are not interrupted for longer than a resubscription.

        A market that is new gets a `Disconnected` of its own with `since_ms` None once its stream runs.
        """


class MarketData(Protocol):
    """Public REST. Reads are retried inside, within the rate budget; `RetryableError` after the last try.

    Safe to use from several threads at once: the budget is shared, the connections are pooled.
    """

    def markets(self) -> list[str]:
        """Give the codes of all markets on offer."""

    def candles(self, market: str, window: Window) -> list[Candle]:
        """Give the one-minute candles that exist in the window, oldest first. Empty minutes are absent.

        Raises:
            UnknownMarketError: if the exchange does not know the market.
        """

    def trades(self, market: str, window: Window) -> list[Trade]:
        """Give the trades of the window that the exchange still has, in exchange order (oldest first).

        `arrival` and `ts_received_ns` are 0: the journal sets them. `source` is REST.
        """


@dataclass(frozen=True)
class OrderRequest:
    """A market order: a buy spends `krw`, a sell gives away `qty`; exactly one of them is set."""

    client_order_id: str
    market: str
    side: Side
    krw: Decimal | None = None
    qty: Decimal | None = None


@dataclass(frozen=True)
class VenueFill:
    price: Decimal
    qty: Decimal
    funds: Decimal
    ts_ms: int


@dataclass(frozen=True)
class VenueOrder:
    """The exchange's view of one order. `is_closed` when it can fill no more, whatever it executed."""

    client_order_id: str
    venue_order_id: str
    market: str
    side: Side
    is_closed: bool
    executed_qty: Decimal
    executed_funds: Decimal
    paid_fee: Decimal
    fills: tuple[VenueFill, ...] = ()


@dataclass(frozen=True)
class Balance:
    currency: str
    available: Decimal
    locked: Decimal


class Broker(Protocol):
    """Private side of an exchange, or of a paper account."""

    async def place(self, request: OrderRequest) -> VenueOrder:
        """Send one order, once.

        Raises:
            RejectedError: the exchange refused it; it does not exist.
            UnknownOutcomeError: the answer was lost; `find` the client_order_id before anything else.
        """

    async def find(self, client_order_id: str) -> VenueOrder | None:
        """Give the order, or None when the exchange has none under this id."""

    async def balances(self) -> list[Balance]: ...

    async def close(self) -> None: ...


class OrderLog(Protocol):
    """The bot's durable record of its orders."""

    def append(self, event: OrderEvent) -> None:
        """Write one event and return once it survives a power cut."""

    def read(self) -> list[OrderEvent]:
        """Give all events, oldest first; `DataError` names a line that is none."""

    def close(self) -> None: ...


# --- stores ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RawRead:
    """Trades of a window from the raw store.

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


class RawStore(Protocol):
    """Raw events, append only."""

    def read(self, market: str, window: Window) -> RawRead:
        """Read the trades whose event time lies in the window."""

    def append_repairs(self, trades: Sequence[Trade]) -> int:
        """Append trades fetched from REST, in exchange order, and sync them; give the number of lines written."""


@dataclass(frozen=True, slots=True)
class DiskShortage:
    """There is too little room on the disk: `free_bytes` are there, `needed_bytes` are what it takes to go on."""

    free_bytes: int
    needed_bytes: int


class Journal(Protocol):
    """Where the messages of one feed are kept, in the order of their arrival."""

    @property
    def is_full(self) -> bool:
        """Tell whether the feed must wait: `drain` before the next `append`."""

    @property
    def shortage(self) -> DiskShortage | None:
        """Tell what the disk lacks while nothing can be taken in for want of room; it passes by itself."""

    @property
    def arrivals(self) -> ArrivalCounts:
        """Count the trades appended so far that came twice, late or out of order."""

    def has_synced(self, market: str, trade_id: int) -> bool:
        """Tell whether a trade is among the last of its market, and on disk; any thread may ask."""

    def append_all(self, frames: Frames) -> Mapping[str, int]:
        """Queue messages, all of them; give how many there were of each kind.

        trade, ticker, orderbook and candle are kept; status and error are not data; dead was no message of the exchange
        and went, with its bytes, to the dead letter.

        Raises:
            HomeNotWritableError: the disk refuses for another reason than want of room; stop reading the feed.
        """

    async def drain(self) -> None:
        """Wait until there is room again."""

    async def close(self) -> None:
        """Write and sync everything that was appended, then let go."""


class SessionLog(Protocol):
    """When a feed was connected: between sessions events may be missing."""

    async def connected(self, at_ms: int, markets: Sequence[str] = ()) -> None:
        """Record that events of these markets (empty: all) are received from this market time on."""

    async def disconnected(self, at_ms: int, reason: str, markets: Sequence[str] = ()) -> None:
        """Record the market time up to which events were received, and why no longer."""


class GapLog(Protocol):
    """The gaps that are not repaired yet, so that a killed process knows them again."""

    def load(self) -> list[Gap]:
        """Give what was saved last; nothing when that cannot be read."""

    def save(self, gaps: Sequence[Gap]) -> None:
        """Replace what was saved.

        Raises:
            HomeNotWritableError: read-only or full; what was saved before stands.
        """


class Notifier(Protocol):
    """Tells a person that something needs a hand. Never blocks and never raises: it must not stop what it speaks of."""

    def alert(self, subject: str, message: str, **detail: Any) -> None:
        """Say that something is wrong; `subject` is a short constant such as `disk_full`."""

    def clear(self, subject: str, message: str) -> None:
        """Say that what was wrong is right again."""


class Lake(Protocol):
    """One Parquet object per market and hour; a put replaces the whole object at once."""

    def put(self, market: str, hour: Window, trades: pl.DataFrame) -> int:
        """Write a TRADE frame; give its size in bytes. An empty frame is written too: it says that nothing came."""

    def get(self, market: str, hour: Window, columns: Sequence[str] | None = None) -> pl.DataFrame | None:
        """Give the TRADE frame of an hour, or only these columns in the table's order; None when it was never written.

        Raises:
            DataError: the object is not readable, or not of this market and hour.
            UsageError: TRADE has no such column.
        """


class Warehouse(Protocol):
    """Tables of `domain.tables`, cut by windows."""

    def replace(self, table: Table, market: str, window: Window, rows: pl.DataFrame) -> int:
        """Replace the rows of one market whose time lies in the window, in one transaction; give the rows written.

        Raises:
            DataError: if a row lies outside market or window, or a required value is missing or not finite.
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
    """One runner per step, market and window, across processes; freed when its process dies."""

    def hold(self, step: str, market: str, window: Window) -> AbstractContextManager[bool]:
        """Enter with True when the lock was free, False when another runner has it (do nothing then)."""


# --- models ---------------------------------------------------------------------------------------------------


class Model(Protocol):
    """A fitted model: features in, log returns out. Saved without code, loaded without running any."""

    family: str
    feature_set: str

    def predict(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give log(vwap of the target minute / last price), shape (n,), for features of shape (n, f)."""

    def files(self) -> dict[str, bytes]:
        """Give the saved form: file name -> bytes. The same fit on the same platform gives the same bytes."""


class ModelFamily(Protocol):
    """A kind of model, found by the entry-point group `tickloop.models`."""

    name: str

    def fit(
        self,
        features: NDArray[np.float64],
        target: NDArray[np.float64],
        names: Sequence[str],
        feature_set: str,
        seed: int,
    ) -> Model: ...

    def load(self, files: Mapping[str, bytes]) -> Model:
        """Rebuild a model from `Model.files()`; `DataError` names the file and the field that is wrong."""


@dataclass(frozen=True)
class ModelVersion:
    """One registered model of one market. `name` is `family-number`, as stored with forecasts."""

    market: str
    name: str
    number: int
    family: str
    aliases: tuple[str, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    created_at_ms: int = 0


@dataclass(frozen=True)
class Decision:
    """Why the champion of a market is what it is, as of one slot."""

    market: str
    slot_start_ms: int
    champion: str
    previous: str | None
    is_promoted: bool
    reason: str
    scores: Mapping[str, float]
    decided_at_ms: int


class ModelRegistry(Protocol):
    """Experiments and registry in one: what was tried, what is registered, who is champion and why."""

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
        """Log a candidate with its files and register it.

        The same market, family and slot again gives the version that is there.
        """

    def log_metrics(self, version: ModelVersion, metrics: Mapping[str, float]) -> None: ...

    def versions(self, market: str) -> list[ModelVersion]:
        """Give all versions of a market, oldest first, with aliases, metrics and params."""

    def champion(self, market: str) -> ModelVersion | None: ...

    def files(self, version: ModelVersion) -> dict[str, bytes]: ...

    def decide(self, decision: Decision) -> None:
        """Store the decision and move the aliases `champion` and `previous`; the alias moves last."""

    def decisions(self, market: str) -> Iterator[Decision]:
        """Yield the decisions of a market, oldest first."""
