"""Faults on order: what a person, a test or a chaos run asks the simulator to do wrong, and when it strikes.

The board only keeps account. REST and the sockets ask it at the moment where something could go wrong, and do it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

FaultKind = Literal[
    # REST, by `path`
    "rate_limited",  # 429; `form` text or json
    "locked_out",  # 418 for `for_ms`; `form` as above
    "server_error",  # 500
    "slow_answer",  # the answer comes `delay_ms` of real time late
    "answer_lost",  # the request is carried out, then the connection breaks without an answer
    # REST and sockets
    "maintenance",  # for `for_ms`: orders answer 403 market_offline, sockets close and handshakes are refused
    "clock_skew",  # for `for_ms`: times that the exchange states about itself are off by `offset_ms`
    # sockets, by `market` and `type`
    "drop",  # the connection breaks at once
    "half_open",  # the connection stays, but nothing comes any more, no pong either
    "stall",  # nothing goes out for `for_ms` of market time, then all of it
    "duplicate",  # a message goes out twice
    "reorder",  # a message changes places with the next one of its kind
    "late",  # a message is held for `for_ms` of market time while later ones pass
    "corrupt",  # a message goes out with damaged bytes
    "gap",  # trades of the next `for_ms` are not told; `is_refused_by_rest`, `closes`
    # private side
    "slow_asset",  # myAsset goes out `for_ms` late
    "slow_cancel",  # a cancel takes effect `for_ms` after its answer
]

KINDS: tuple[str, ...] = get_args(FaultKind)


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One order for trouble. Fields that a kind does not use are ignored; an empty filter matches everything.

    Attributes:
        path, method: REST paths that begin like this, and the request's method (`POST`).
        market, type: market code and type of a stream message.
        user_agent: connections whose User-Agent contains this text.
        count: how often it strikes; 0 is without limit.
        skip: how many occasions it lets pass before each strike.
        for_ms: market ms of a spell, from when it was ordered (from its first strike for `stall`, `late`,
            `locked_out`, `slow_asset`, `slow_cancel`); 0 is until it is cleared.
        delay_ms: real ms.
        offset_ms: market ms, either sign.
    """

    kind: FaultKind
    path: str = ""
    method: str = ""
    market: str = ""
    type: str = ""
    user_agent: str = ""
    count: Annotated[int, Meta(ge=0)] = 1
    skip: Annotated[int, Meta(ge=0)] = 0
    for_ms: Annotated[int, Meta(ge=0)] = 0
    delay_ms: Annotated[int, Meta(ge=0, le=600_000)] = 0
    offset_ms: int = 0
    form: Literal["text", "json"] = "text"
    is_refused_by_rest: bool = False
    closes: bool = False


class FaultBoard:
    """The faults on order, in the order in which they came."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._next = 1
        self._placed: dict[int, _Placed] = {}
        for fault in faults:
            self.add(fault, None)

    def add(self, fault: Fault, now_ms: int | None) -> int:
        """Put a fault on the board; give its number. A spell ordered before the start begins with the first look."""
        number, self._next = self._next, self._next + 1
        self._placed[number] = _Placed(fault, now_ms)
        return number

    def clear(self, number: int | None = None) -> int:
        """Take one fault, or all, off the board; give how many there were."""
        gone = [one for one in self._placed if number is None or one == number]
        for one in gone:
            del self._placed[one]
        return len(gone)

    def is_placed(self, fault: Fault) -> bool:
        """Tell whether this very fault is still on the board."""
        return any(placed.fault is fault for placed in self._placed.values())

    def strike(
        self,
        kind: FaultKind,
        *,
        path: str = "",
        method: str = "",
        market: str = "",
        stream: str = "",
        user_agent: str = "",
    ) -> Fault | None:
        """Give the fault that strikes on this occasion and count it; None when none does.

        Args:
            stream: type of a stream message.
        """
        for placed in self._placed.values():
            fault = placed.fault
            if fault.kind != kind or fault.method not in ("", method):
                continue
            if _matches(fault, path, market, stream, user_agent) and placed.take():
                return fault
        return None

    def holds(
        self,
        kind: FaultKind,
        now_ms: int,
        *,
        path: str = "",
        market: str = "",
        stream: str = "",
        user_agent: str = "",
    ) -> Fault | None:
        """Give the spell of this kind that lasts at a moment; None when none does."""
        for placed in self._placed.values():
            if placed.fault.kind == kind and _matches(placed.fault, path, market, stream, user_agent):
                if placed.since_ms is None:
                    placed.since_ms = now_ms
                if not placed.fault.for_ms or now_ms < placed.since_ms + placed.fault.for_ms:
                    return placed.fault
        return None

    def listing(self) -> list[dict[str, Any]]:
        """Give every fault with its number and how often it struck, ready for JSON."""
        return [
            {"number": number, **msgspec.to_builtins(placed.fault), "struck": placed.struck}
            for number, placed in self._placed.items()
        ]


@dataclass(frozen=True)
class Hold:
    """Something is held back by a fault since a moment of market time: for its `for_ms`, or until it is cleared."""

    fault: Fault
    since_ms: int

    @property
    def until_ms(self) -> int | None:
        """Give when it ends by itself; None when only clearing the fault ends it."""
        return self.since_ms + self.fault.for_ms if self.fault.for_ms else None

    def is_over(self, at_ms: int, board: FaultBoard) -> bool:
        until_ms = self.until_ms
        return not board.is_placed(self.fault) if until_ms is None else at_ms >= until_ms


class _Placed:
    def __init__(self, fault: Fault, since_ms: int | None) -> None:
        self.fault = fault
        self.since_ms = since_ms
        self.struck = 0
        self._passed = 0

    def take(self) -> bool:
        if self.fault.count and self.struck >= self.fault.count:
            return False
        if self._passed < self.fault.skip:
            self._passed += 1
            return False
        self._passed = 0
        self.struck += 1
        return True


def _matches(fault: Fault, path: str, market: str, stream: str, user_agent: str) -> bool:
    return (
        path.startswith(fault.path)
        and fault.market in ("", market)
        and fault.type in ("", stream)
        and fault.user_agent in user_agent
    )
