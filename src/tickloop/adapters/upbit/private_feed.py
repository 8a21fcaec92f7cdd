"""Upbit's private WebSocket: changes of our orders and of our account."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from tickloop.adapters.upbit.auth import Credentials
from tickloop.adapters.upbit.connection import PING_INTERVAL_S, PING_TIMEOUT_S, Address
from tickloop.adapters.upbit.feed import USER_AGENT
from tickloop.adapters.upbit.link import FIRST_DELAY_S, PING_TEXT_S, Link, LinkOptions
from tickloop.adapters.upbit.merge import Merge
from tickloop.adapters.upbit.pace import CONNECTS, Pace
from tickloop.adapters.upbit.subscription import PRIVATE_TYPES, Subscription
from tickloop.ports import Clock, Disconnected, Frame

_PATH = "/private"


class UpbitPrivateFeed:
    """Implements `ports.TradeFeed` for one account; `parse_private_frame` reads its messages.

    One connection, for the exchange may refuse a second one of the same account. Messages come only on a change, and
    there are no snapshots: after each `Disconnected` ask by REST for what it may have missed. Silence is right here; a
    dead connection is found by its pings. The first subscription ever to myAsset may take minutes to begin.

    Source: Upbit developer centre, WebSocket: authentication; myOrder; myAsset.

    Args:
        websocket_url: of the public socket.
        types: myOrder, myAsset or both.
        markets: of myOrder; empty means all.
    """

    def __init__(
        self,
        websocket_url: str,
        credentials: Credentials,
        types: Sequence[str],
        clock: Clock,
        *,
        markets: Sequence[str] = (),
        user_agent: str = USER_AGENT,
        first_delay_s: float = FIRST_DELAY_S,
        ping_interval_s: float = PING_INTERVAL_S,
        ping_timeout_s: float = PING_TIMEOUT_S,
        ping_text_s: float = PING_TEXT_S,
    ) -> None:
        url = websocket_url.rstrip("/") + _PATH
        options = LinkOptions(
            Address(url, user_agent, credentials.authorization, ping_interval_s, ping_timeout_s),
            Subscription.of(types, PRIVATE_TYPES).request,
            clock,
            Pace(CONNECTS),
            None,
            first_delay_s,
            ping_text_s,
        )
        self._clock = clock
        self._link = Link(options, markets, lambda _: ())

    def frames(self) -> AsyncGenerator[Frame | Disconnected, None]:
        """Yield messages and, first and after each loss, a `Disconnected`.

        Raises:
            AuthError: the exchange does not accept the key, at the handshake or by a message.
            RejectedError: it refuses the subscription.
            ExchangeError: the address is not the exchange's.
        """
        return Merge(self._clock).frames(lambda: (self._link,))
