"""What the collector writes, and whom it tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tickloop.domain.arrivals import ArrivalCounts
from tickloop.domain.gaps import Gap
from tickloop.domain.universe import Span
from tickloop.ports.feeds import Frames


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


class MarketLog(Protocol):
    """Which markets have been collected and when, so that other processes know them."""

    def load(self) -> dict[str, Span]:
        """Give what was saved last, nothing before the first time.

        Raises:
            DataError: it is damaged.
        """

    def save(self, spans: Mapping[str, Span]) -> None:
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
