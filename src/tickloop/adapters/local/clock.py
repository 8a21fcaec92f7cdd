"""The machine's clock, and the reader of a market clock that the simulator owns."""

from __future__ import annotations

import time
from pathlib import Path

from tickloop.domain.marketclock import ClockAnchor, decode_anchor
from tickloop.errors import OperatorError


class SystemClock:
    """Market time is the machine's own time: the clock for the real exchange."""

    def now_ns(self) -> int:
        return time.time_ns()

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def elapsed_s(self) -> float:
        return time.monotonic()

    def real_seconds_until(self, ts_ms: int) -> float:
        return max(0.0, ts_ms / 1000 - time.time())


class SharedClock:
    """Market time as written by its owner, the simulator, into one small file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._anchor = self._read()

    def now_ns(self) -> int:
        return self._read().at(time.monotonic_ns())

    def now_ms(self) -> int:
        return self.now_ns() // 1_000_000

    def elapsed_s(self) -> float:
        # Budgets run on while the market stands: a back-fill before the start would otherwise wait for ever.
        return time.monotonic() * self._read().speed

    def real_seconds_until(self, ts_ms: int) -> float:
        return self._read().real_seconds_until(ts_ms * 1_000_000, time.monotonic_ns())

    def _read(self) -> ClockAnchor:
        try:
            stat = self._path.stat()
            stamp = (stat.st_mtime_ns, stat.st_ino)
            if stamp != self._stamp:
                self._anchor = decode_anchor(self._path.read_bytes())
                self._stamp = stamp
        except FileNotFoundError as exc:
            raise OperatorError(f"market clock {self._path} is not there; start the simulator first") from exc
        return self._anchor
