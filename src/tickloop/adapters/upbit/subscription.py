"""What we ask of the stream, and on which connection. Pure.

Source: Upbit developer centre, WebSocket: request format, and best practice (a request replaces the one before it).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from tickloop.errors import UsageError

CANDLE_TYPES = tuple(f"candle.{unit}" for unit in ("1s", "1m", "3m", "5m", "10m", "15m", "30m", "60m", "240m"))
PUBLIC_TYPES = ("trade", "ticker", "orderbook", *CANDLE_TYPES)
PRIVATE_TYPES = ("myOrder", "myAsset")
_WITHOUT_CODES = ("myAsset",)  # codes make it a WRONG_FORMAT


@dataclass(frozen=True)
class Subscription:
    """Which messages to send, for any markets; always in DEFAULT format, which the journal keeps.

    Args:
        only_realtime: leave out the snapshot of each type and market.
        only_snapshot: send that snapshot and nothing after it.
    """

    types: tuple[str, ...]
    only_realtime: bool = False
    only_snapshot: bool = False

    @classmethod
    def of(
        cls, types: Iterable[str], valid: Sequence[str], *, only_realtime: bool = False, only_snapshot: bool = False
    ) -> Subscription:
        """Make a subscription.

        Raises:
            UsageError: a type that the socket does not have, none at all, or two options that leave nothing.
        """
        chosen = tuple(dict.fromkeys(types))
        wrong = [name for name in chosen if name not in valid]
        if wrong or not chosen:
            raise UsageError(f"message types {', '.join(wrong) or '(none)'}: valid are {', '.join(valid)}")
        if only_realtime and only_snapshot:
            raise UsageError("only_realtime and only_snapshot together leave no message; valid: one of them")
        return cls(chosen, only_realtime, only_snapshot)

    def request(self, markets: Sequence[str]) -> bytes:
        """Write the request for these markets; none means all where the exchange allows that (private types)."""
        parts: list[dict[str, Any]] = [{"ticket": str(uuid.uuid4())}]
        parts += [self._part(name, markets) for name in self.types]
        parts.append({"format": "DEFAULT"})
        return msgspec.json.encode(parts)

    def _part(self, name: str, markets: Sequence[str]) -> dict[str, Any]:
        part: dict[str, Any] = {"type": name}
        if markets and name not in _WITHOUT_CODES:
            part["codes"] = list(markets)
        if self.only_realtime:
            part["is_only_realtime"] = True
        if self.only_snapshot:
            part["is_only_snapshot"] = True
        return part


def assign(now: Sequence[Sequence[str]], wanted: Iterable[str], most: int) -> list[list[str]]:
    """Spread markets over connections, at most `most` on each.

    A market stays where it is, so that only connections with a change are asked anew; the result begins with the
    connections of `now`, in their order, and one that has lost all its markets is empty there.
    """
    left = dict.fromkeys(wanted)
    spread: list[list[str]] = []
    for markets in now:
        stay = [market for market in markets if market in left][:most]
        for market in stay:
            del left[market]
        spread.append(stay)
    new = list(left)
    # An empty connection is filled last: it may be closed instead.
    for place in sorted(spread, key=lambda markets: not markets):
        room = most - len(place)
        place += new[:room]
        del new[:room]
    return spread + [new[at : at + most] for at in range(0, len(new), most)]
