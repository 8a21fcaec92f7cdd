"""Arithmetic of the shared market clock: one anchor, from which every process derives the same time."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from tickloop.errors import DataError


@dataclass(frozen=True)
class ClockAnchor:
    """Where the market clock stood when its owner last wrote it down.

    The owner renews `lease_ns` ahead of the machine's monotonic clock; past it the clock stands, so that a dead
    owner stops time for everybody instead of letting it run on with no market behind it. A monotonic reading
    before `mono_ns` means the machine was restarted: the clock stands at the anchor.

    Attributes:
        market_ns: market time at the anchor, epoch nanoseconds UTC.
        mono_ns: the machine's monotonic clock at the anchor.
        speed: market seconds per real second.
        is_running: False holds the clock at `market_ns`.
        lease_ns: monotonic time up to which the owner vouches for the clock.
    """

    market_ns: int
    mono_ns: int
    speed: float
    is_running: bool
    lease_ns: int

    def at(self, mono_ns: int) -> int:
        """Give market time in nanoseconds at a reading of the monotonic clock."""
        if not self.is_running or mono_ns <= self.mono_ns:
            return self.market_ns
        return self.market_ns + int((min(mono_ns, max(self.lease_ns, self.mono_ns)) - self.mono_ns) * self.speed)

    def real_seconds_until(self, market_ns: int, mono_ns: int) -> float:
        """Give real seconds until market time reaches a value; infinite while the clock is held."""
        missing = market_ns - self.at(mono_ns)
        if missing <= 0:
            return 0.0
        return missing / self.speed / 1e9 if self.is_running else float("inf")

    def encode(self) -> bytes:
        return msgspec.json.encode(self)


def decode_anchor(text: bytes) -> ClockAnchor:
    """Read an anchor; `DataError` when the text is not one."""
    try:
        return msgspec.json.decode(text, type=ClockAnchor)
    except msgspec.MsgspecError as exc:
        raise DataError(f"clock file does not hold a clock anchor: {exc}") from exc
