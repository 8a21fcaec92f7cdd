"""Upbit's public WebSocket: a stream of any number of markets, over as many connections as that takes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from tickloop.adapters.upbit.connection import PING_INTERVAL_S, PING_TIMEOUT_S, Address, TakePacked
from tickloop.adapters.upbit.link import FIRST_DELAY_S, PING_TEXT_S, Link, LinkOptions
from tickloop.adapters.upbit.merge import Merge
from tickloop.adapters.upbit.pace import CONNECTS, Pace
from tickloop.adapters.upbit.subscription import PUBLIC_TYPES, Subscription, assign
from tickloop.errors import UsageError
from tickloop.ports import Clock, Disconnected, Frame, Frames

USER_AGENT = "tickloop"

CODES_PER_CONNECTION = 100
"""Markets on one connection. The exchange names no limit; this keeps what one loss costs to a third of KRW markets."""


class UpbitFeed:
    """Implements `ports.AdjustableFeed` and `ports.BatchFeed`.

    It reconnects without limit until the iterator is closed or cancelled.

    All that it receives goes through one queue of 10,000 messages; when the consumer is slower than that, the sockets
    are not read and TCP holds the exchange back. `Disconnected.markets` is empty while the feed has one connection.

    Args:
        types: message types to subscribe to: trade, ticker, orderbook, candle.1s, candle.1m and so on.
        codes_per_connection: the most markets on one connection.
        only_realtime, only_snapshot: as in `Subscription`.
        idle_s: real seconds of silence, while market time runs, after which a connection is given up: nothing comes, or
            nothing of one type while others come. The limit grows as `idle` says, so that quiet markets do not flap.
        take_packed: a faster cutter for feeds of many markets.
    """

    def __init__(
        self,
        websocket_url: str,
        markets: Sequence[str],
        types: Sequence[str],
        clock: Clock,
        *,
        user_agent: str = USER_AGENT,
        codes_per_connection: int = CODES_PER_CONNECTION,
        only_realtime: bool = False,
        only_snapshot: bool = False,
        idle_s: float = 60.0,
        first_delay_s: float = FIRST_DELAY_S,
        ping_interval_s: float = PING_INTERVAL_S,
        ping_timeout_s: float = PING_TIMEOUT_S,
        ping_text_s: float = PING_TEXT_S,
        take_packed: TakePacked | None = None,
    ) -> None:
        subscription = Subscription.of(types, PUBLIC_TYPES, only_realtime=only_realtime, only_snapshot=only_snapshot)
        self._options = LinkOptions(
            Address(websocket_url, user_agent, None, ping_interval_s, ping_timeout_s, take_packed),
            subscription.request,
            clock,
            Pace(CONNECTS),
            None if only_snapshot else idle_s,
            first_delay_s,
            ping_text_s,
        )
        self._most = codes_per_connection
        self._links: list[Link] = []
        self._clock = clock
        self._merge = Merge(clock)
        self.set_markets(markets)

    def frames(self) -> AsyncGenerator[Frame | Disconnected, None]:
        """Yield messages and, first and after each loss, a `Disconnected`.

        Raises:
            RejectedError, AuthError: the exchange refuses the subscription itself.
            ExchangeError: the address is not the exchange's.
        """
        self._merge = Merge(self._clock)
        return self._merge.frames(lambda: self._links)

    def batches(self) -> AsyncGenerator[Frames | Disconnected, None]:
        """Do as `frames`, as many messages at a time as have come together."""
        self._merge = Merge(self._clock)
        return self._merge.items(lambda: self._links)

    def set_markets(self, markets: Sequence[str]) -> None:
        """Subscribe to these markets from now on; to be called in the event loop that reads the frames.

        A market keeps its connection. Connections with a change are asked anew, those that have nothing left are
        closed, and new ones are opened as needed. New markets get a `Disconnected` with `since_ms` None.

        Raises:
            UsageError: no market at all.
        """
        if not markets:
            raise UsageError("a feed of no markets; valid: one or more, such as KRW-BTC")
        spread = assign([link.markets for link in self._links], markets, self._most)
        kept = []
        for link, share in zip(self._links, spread, strict=False):
            if not share:
                if self._merge.is_running:
                    self._merge.stop(link)
                continue
            if tuple(share) != link.markets:
                link.set_markets(share)
            kept.append(link)
        new = [Link(self._options, share, self._named) for share in spread[len(self._links) :]]
        self._links = kept + new
        if self._merge.is_running:
            for link in new:
                self._merge.start(link)

    def losses(self) -> list[Disconnected]:
        """Give what is being missed at this moment, before the stream itself can say so: it does on reconnecting."""
        return [gap for link in self._links if (gap := link.loss()) is not None]

    def _named(self, markets: tuple[str, ...]) -> tuple[str, ...]:
        return markets if len(self._links) > 1 else ()
