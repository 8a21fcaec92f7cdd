"""Request budgets of the exchange, in market seconds; they run on while the market clock is held."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from math import floor
from typing import Protocol

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
