"""Whether a stream has fallen silent on a connection that is alive. Pure: kinds and moments in, a verdict out.

Two silences count: nothing comes at all, and one kind (trades, say) no longer comes while others still do. A quiet
market is silent too, and nobody can tell the two apart from outside; so each verdict doubles the limit of that
silence, up to 32 times the first, and an hour in which it stayed below half of the limit halves it again. A quiet
market thus costs a handful of reconnects, not one a minute; a dead stream of a busy one is found at the first limit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_MOST_TIMES = 32
_CALM_S = 3_600.0

_ANY = "message"


@dataclass(frozen=True)
class Silence:
    """A verdict.

    Attributes:
        since_ms: market time of the last message that should have been followed by another; None when none came.
    """

    reason: str
    since_ms: int | None


@dataclass
class _Limit:
    """How long one kind may be silent, in real seconds."""

    first_s: float
    now_s: float
    worst_s: float = 0.0  # the longest silence since `calm_since`
    calm_since: float = 0.0

    def ended(self, silence_s: float, at: float) -> None:
        self.worst_s = max(self.worst_s, silence_s)
        if at - self.calm_since > _CALM_S:
            if self.worst_s < self.now_s / 2:
                self.now_s = max(self.first_s, self.now_s / 2)
            self.worst_s, self.calm_since = 0.0, at

    def exceeded(self, at: float) -> None:
        self.now_s = min(2 * self.now_s, _MOST_TIMES * self.first_s)
        self.worst_s, self.calm_since = 0.0, at


class IdleWatch:
    """The silences of one subscription, over all its connections.

    Args:
        first_s: real seconds of silence that are too many, at first.
    """

    def __init__(self, first_s: float) -> None:
        self._first_s = first_s
        self._limits: dict[str, _Limit] = {}
        self._last: dict[str, tuple[float, int | None]] = {}

    def opened(self, at: float) -> None:
        """Begin with a new connection: what it has not sent yet is not missed."""
        self._last = {_ANY: (at, None)}
        self._limit(_ANY, at)

    def saw(self, kinds: Iterable[str], at: float, ts_ms: int) -> None:
        """Note that data of these kinds came, at a real moment and a market time."""
        for kind in (_ANY, *kinds):
            before = self._last.get(kind)
            if before is not None:
                self._limit(kind, at).ended(at - before[0], at)
            self._last[kind] = (at, ts_ms)

    def hold(self, at: float) -> None:
        """Let no silence have been until now: the market stands, or it is us who do not listen."""
        self._last = {kind: (at, ts_ms) for kind, (_, ts_ms) in self._last.items()}

    def verdict(self, at: float) -> Silence | None:
        """Give the silence that is too long, None when there is none."""
        heard_at, _ = self._last[_ANY]
        for kind, (last, ts_ms) in self._last.items():
            # One kind is missed only while others come: else it is the market that is quiet, as a whole.
            silence_s = (at if kind == _ANY else heard_at) - last
            limit = self._limit(kind, at)
            if silence_s > limit.now_s:
                said = f"no {kind} for {limit.now_s:g} s"
                limit.exceeded(at)
                return Silence(said if kind == _ANY else f"{said}, while others came", ts_ms)
        return None

    def _limit(self, kind: str, at: float) -> _Limit:
        limit = self._limits.get(kind)
        if limit is None:
            limit = self._limits[kind] = _Limit(self._first_s, self._first_s, calm_since=at)
        return limit
