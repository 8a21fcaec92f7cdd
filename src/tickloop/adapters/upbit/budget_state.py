"""What is known of one group's requests: pure, in market seconds, and its form on disk."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

MOST_COUNT = 64

LONGEST_LOCK_OUT_S = 3_600.0
"""Cap on the growth of a lock-out, not on what the exchange asks for itself."""

_MARGIN_S = 0.02
"""Requests do not all take equally long: two that leave a second apart may arrive a little closer."""

_NEVER = float("-inf")
_BODY = struct.Struct("<dddHHH")  # written at, blocked until, locked out until, count, lock-outs, number of times
_HEAD = struct.Struct("<4sI")  # magic, crc of the rest
_MAGIC = b"TLB2"
_BACKWARDS_S = 1.0  # processes that act without the lock may write in the wrong order


@dataclass(frozen=True)
class GroupLimit:
    """At most `count` requests in any `per_s` market seconds.

    Attributes:
        names: how the header `Remaining-Req` calls the group; empty takes any name.
    """

    count: int
    per_s: float = 1.0
    names: tuple[str, ...] = ()


QUOTATION = GroupLimit(10)
"""Upbit developer centre, rate limits: each group of public REST, per IP."""

QUOTATION_GROUPS = {
    "market": GroupLimit(10, names=("market",)),
    "candles": GroupLimit(10, names=("candles", "candle")),
    "trades": GroupLimit(10, names=("crix-trades", "trades", "trade")),
    "ticker": GroupLimit(10, names=("ticker",)),
    "orderbook": GroupLimit(10, names=("orderbook",)),
}
"""The header's names as measured, `candles` and `crix-trades`, and as the page has them."""

DEFAULT = GroupLimit(30, names=("default",))
ORDER = GroupLimit(8, names=("order",))
ORDER_TEST = GroupLimit(8, names=("order-test",))
CANCEL_ALL = GroupLimit(1, 2.0, names=("order-cancel-all",))
EXCHANGE_GROUPS = {"default": DEFAULT, "order": ORDER, "order-test": ORDER_TEST, "order-cancel-all": CANCEL_ALL}
"""The same page, private groups, per account; orders are 12 a second since 2026-08-21, which the header then says."""


class BudgetState:
    """Times of the last requests, until when nothing may go out, and how many fit."""

    SIZE = _HEAD.size + _BODY.size + 8 * MOST_COUNT

    def __init__(self, limit: GroupLimit) -> None:
        self.limit = limit
        self.sent: list[float] = []
        self.count = limit.count
        self.blocked_until = _NEVER
        self.locked_until = _NEVER
        self.lock_outs = 0

    def take(self, now: float) -> float:
        """Count a request and give 0, or give the seconds until one may be possible."""
        self._forget(now)
        ready_at = self.blocked_until
        if len(self.sent) >= self.count:
            ready_at = max(ready_at, self.sent[-self.count] + self._span_s)
        if ready_at > now:
            return ready_at - now
        self.sent.append(now)
        return 0.0

    def learn(self, now: float, left: int | None) -> float:
        """Take what the exchange says is left; None when it does not say. Give 0."""
        if now >= self.locked_until:  # an answer to what was sent before says nothing of the lock-out
            self.lock_outs = 0
        if left is None:
            return 0.0
        self._forget(now)
        if self.count <= left < MOST_COUNT:
            self.count = left + 1  # more than we knew: this request was one of them
        unexplained = self.count - len(self.sent) - left
        if unexplained > 0:  # others, who do not share this budget, sent these
            self.sent += [now] * unexplained
            if left == 0:
                self.blocked_until = max(self.blocked_until, now + self._span_s)
        return 0.0

    def block(self, now: float, market_s: float) -> float:
        """Wait, and no longer believe that more fits than is documented. Give 0."""
        self.count = self.limit.count
        self.blocked_until = max(self.blocked_until, now + market_s)
        return 0.0

    def lock_out(self, now: float, market_s: float) -> float:
        """Wait, for twice as long each time; refusals of requests that were under way count once. Give 0."""
        if now >= self.locked_until:
            grown_s = min(market_s * 2**self.lock_outs, max(market_s, LONGEST_LOCK_OUT_S))
            self.locked_until = now + grown_s
            self.lock_outs = min(self.lock_outs + 1, 16)
        return self.block(now, max(market_s, self.locked_until - now))

    def encode(self, now: float) -> bytes:
        sent = self.sent[-MOST_COUNT:]
        ends = (self.blocked_until, self.locked_until)
        body = _BODY.pack(now, *ends, self.count, self.lock_outs, len(sent))
        body += struct.pack(f"<{MOST_COUNT}d", *sent, *[0.0] * (MOST_COUNT - len(sent)))
        return _HEAD.pack(_MAGIC, zlib.crc32(body)) + body

    @property
    def _span_s(self) -> float:
        return self.limit.per_s + _MARGIN_S

    def _forget(self, now: float) -> None:
        self.sent = sorted(at for at in self.sent if now - self._span_s < at <= now)


def decode_state(data: bytes, limit: GroupLimit, now: float) -> BudgetState:
    """Read what others left. What is torn, foreign or empty counts as nothing sent.

    So does what was written later than now: budget time began anew (a reboot) or runs slower, and no time in it means
    anything.
    """
    state = BudgetState(limit)
    if len(data) != BudgetState.SIZE:
        return state
    magic, crc = _HEAD.unpack_from(data)
    if magic != _MAGIC or crc != zlib.crc32(data[_HEAD.size :]):
        return state
    written_at, blocked_until, locked_until, count, lock_outs, number = _BODY.unpack_from(data, _HEAD.size)
    if written_at > now + _BACKWARDS_S or number > MOST_COUNT:
        return state
    state.blocked_until, state.locked_until, state.lock_outs = blocked_until, locked_until, lock_outs
    state.count = max(limit.count, min(count, MOST_COUNT))
    state.sent = list(struct.unpack_from(f"<{number}d", data, _HEAD.size + _BODY.size))
    return state
