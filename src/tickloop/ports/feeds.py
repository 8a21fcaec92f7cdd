"""Live streams of messages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec


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
