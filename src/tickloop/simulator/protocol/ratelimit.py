"""Request budgets of the exchange, in market seconds; they run on while the market clock is held."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from math import floor
from typing import NamedTuple, Protocol

CLIENTS_KEPT = 4_096
"""Budgets kept per limiter; the one unused for longest goes first, and its client starts with a full one."""


@dataclass(frozen=True)
class Limit:
    """`count` requests in `per_s` market seconds.

    Attributes:
        group: its name in the header `Remaining-Req`.
        is_bucket: True refills steadily (private side), False starts anew at each whole second (public side).
    """

    group: str
    count: int
    per_s: float = 1.0
    is_bucket: bool = False


@dataclass(frozen=True)
class Verdict:
    is_allowed: bool
    header: str
    """Value of `Remaining-Req`."""


class _Record(NamedTuple):
    """What is held against one client, in market seconds."""

    refusals: float = 0.0
    at_s: float = 0.0
    blocks: int = 0
    until_s: float = 0.0


class Penalties:
    """Who goes on after a refusal is blocked (418), each time for twice as long.

    Only the fact is documented (Upbit developer centre, rate limits); the numbers are our choice: PATIENCE refusals
    within about FORGIVING_S, then BLOCK_S doubled with each block up to LONGEST_S, forgotten after LONGEST_S without.
    """

    PATIENCE, FORGIVING_S, BLOCK_S, LONGEST_S = 30, 10.0, 10.0, 3_600.0

    def __init__(self) -> None:
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def blocked_s(self, client: str, now_s: float) -> float:
        """Give for how long a client is still blocked; 0 when it is not."""
        return max(self._records.get(client, _Record()).until_s - now_s, 0.0)

    def refused(self, client: str, now_s: float) -> None:
        """Count a refusal, and block the client when there were too many."""
        old = self._records.pop(client, _Record(at_s=now_s))
        refusals = max(old.refusals - (now_s - old.at_s) * self.PATIENCE / self.FORGIVING_S, 0.0) + 1
        blocks, until_s = old.blocks if now_s < old.until_s + self.LONGEST_S else 0, old.until_s
        if refusals > self.PATIENCE:
            until_s = now_s + min(self.BLOCK_S * 2**blocks, self.LONGEST_S)
            refusals, blocks = 0.0, blocks + 1
        self._records[client] = _Record(refusals, now_s, blocks, until_s)
        if len(self._records) > CLIENTS_KEPT:
            self._records.popitem(last=False)


class _Budget(Protocol):
    def take(self, now_s: float) -> int:
        """Take one request; give what is left, or -1 when nothing was."""


class _Window:
    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self._nth = -1
        self._used = 0

    def take(self, now_s: float) -> int:
        nth = floor(now_s / self._limit.per_s)
        if nth != self._nth:
            self._nth, self._used = nth, 0
        self._used += 1
        return max(-1, self._limit.count - self._used)


class _Bucket:
    def __init__(self, limit: Limit, now_s: float) -> None:
        self._limit = limit
        self._tokens = float(limit.count)
        self._at_s = now_s

    def take(self, now_s: float) -> int:
        gained = (now_s - self._at_s) * self._limit.count / self._limit.per_s
        self._tokens = min(float(self._limit.count), self._tokens + gained)
        self._at_s = now_s
        if self._tokens < 1:
            return -1
        self._tokens -= 1
        return floor(self._tokens)


class RateLimiter:
    """One budget per group and client."""

    def __init__(self) -> None:
        self._budgets: OrderedDict[tuple[str, str], _Budget] = OrderedDict()

    def take(self, limit: Limit, client: str, now_s: float) -> Verdict:
        """Count one request against its budget.

        Args:
            client: an address for the public side, an account for the private one.
            now_s: market seconds from any fixed start.
        """
        key = (limit.group, client)
        budget = self._budgets.get(key)
        if budget is None:
            budget = _Bucket(limit, now_s) if limit.is_bucket else _Window(limit)
            self._budgets[key] = budget
            if len(self._budgets) > CLIENTS_KEPT:
                self._budgets.popitem(last=False)
        self._budgets.move_to_end(key)
        left = budget.take(now_s)
        # `min` is deprecated and constant on the exchange.
        header = f"group={limit.group}; min={int(limit.count * 60 / limit.per_s)}; sec={max(left, 0)}"
        return Verdict(left >= 0, header)
