"""The market clock's owner: it writes the anchor that every other process derives market time from."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from tickloop.domain.marketclock import ClockAnchor, decode_anchor
from tickloop.errors import DataError, HomeNotWritableError, OperatorError

LEASE_NS = 1_000_000_000
"""How far ahead of the machine's clock the owner vouches for market time."""

RENEW_EVERY_S = 0.25

_AHEAD_NS = 2_000_000
"""A hold is set this far in the future: nobody may have read a later time when the clock comes to stand."""

_LEAST_WAIT_S = 0.0005
"""Where the lease ends before the next trade, market time stands short of it: no spinning until it is renewed."""

LONGEST_BUDGET_S = 60.0
"""Messages of a connection are counted by the minute; every other budget is of a shorter time."""

_MS = 1_000_000


class MarketClock:
    """Market time at a speed, from one moment to the end of the recording, in one small file.

    The owner reads its own time from the anchor that it wrote, lease included: when it was away for longer than
    the lease, time stood for everybody, itself included.
    """

    def __init__(
        self,
        path: Path,
        start_ms: int,
        span_ms: tuple[int, int],
        speed: float,
        mono_ns: Callable[[], int] = time.monotonic_ns,
        *,
        is_stepped: bool = False,
    ) -> None:
        """Stand where the file says, or at `start_ms` when there is none.

        Args:
            span_ms: first and last moment of the recording; market time stops at the last for good.
            mono_ns: the machine's monotonic clock.
            is_stepped: it stands, but for `step_to`.

        Raises:
            DataError: if the file holds no anchor.
            OperatorError: if it stands outside the recording.
            HomeNotWritableError: if it cannot be written.

        `unserved_since_ms` is a market time before which a killed predecessor had surely dealt with every trade.
        """
        self._path = path
        self._end_ns = span_ms[1] * _MS
        self._speed = speed
        self._mono_ns = mono_ns
        self._is_stepped = is_stepped
        self._asked = 0
        resumed = _read(path)
        now = mono_ns()
        market_ns = start_ms * _MS if resumed is None else resumed.at(now)
        if not span_ms[0] * _MS <= market_ns <= self._end_ns:
            raise OperatorError(
                f"market clock {path} stands at {market_ns // _MS}, outside the recording ({span_ms[0]} to"
                f" {span_ms[1]}); give another folder, or delete this one to start over"
            )
        self.unserved_since_ms = (market_ns if resumed is None else resumed.market_ns) // _MS - int(speed * 1000)
        self._changed = asyncio.Event()
        self._anchor = ClockAnchor(market_ns, now, speed, is_running=False, lease_ns=now)
        self._write(self._anchor)

    @property
    def is_running(self) -> bool:
        return self._anchor.is_running

    @property
    def is_ended(self) -> bool:
        """Whether the recording is over: the clock will not run again."""
        return self.now_ns() >= self._end_ns

    @property
    def speed(self) -> float:
        return self._speed

    def now_ns(self) -> int:
        return self._anchor.at(self._mono_ns())

    def now_ms(self) -> int:
        return self.now_ns() // _MS

    def elapsed_s(self) -> float:
        """Give seconds at the market's speed, running also while the clock is held: for request budgets.

        Under a stepped clock the longest time of a budget passes at each look: nobody is limited, since nobody could
        wait for it, and what is left is always the same.
        """
        if self._is_stepped:
            self._asked += 1
            return self._asked * LONGEST_BUDGET_S
        return self._mono_ns() / 1e9 * self._speed

    def run(self) -> None:
        """Let market time run; at the end of the recording it stays where it is. A stepped clock goes on standing."""
        if not self._is_stepped and not self.is_running and not self.is_ended:
            now = self._mono_ns()
            self._write(self._running_from(self._anchor.market_ns, now))

    def hold(self) -> None:
        """Let market time stand at a moment that no reader can have passed already."""
        if not self.is_running:
            return
        for _ in range(1000):  # one try is enough unless the machine stalls for 2 ms in the middle of each
            moment = self._mono_ns() + _AHEAD_NS
            self._write(ClockAnchor(self._anchor.at(moment), moment, self._speed, is_running=False, lease_ns=moment))
            if self._mono_ns() <= moment:
                return

    def step_to(self, ts_ms: int) -> None:
        """Set a clock that stands to a later moment, at most the end of the recording."""
        assert not self.is_running, "only a clock that stands is stepped"
        now = self._mono_ns()
        market_ns = min(max(ts_ms * _MS, self._anchor.market_ns), self._end_ns)
        self._write(ClockAnchor(market_ns, now, self._speed, is_running=False, lease_ns=now))

    def renew(self) -> None:
        """Vouch for the next second of a running clock, or stop it where the recording ends."""
        if not self.is_running:
            return
        now = self._mono_ns()
        market_ns = self._anchor.at(now)
        if market_ns >= self._end_ns:
            self._write(ClockAnchor(self._end_ns, now, self._speed, is_running=False, lease_ns=now))
        else:
            self._write(self._running_from(market_ns, now))

    async def keep(self) -> None:
        """Renew the lease until cancelled."""
        while True:
            self.renew()
            await asyncio.sleep(RENEW_EVERY_S)

    async def wait_until(self, ts_ms: int | None) -> None:
        """Return when market time has reached `ts_ms`, or after any change of the clock; None waits for a change."""
        seconds = None if ts_ms is None else self._anchor.real_seconds_until(ts_ms * _MS, self._mono_ns())
        if seconds is not None and seconds <= 0:
            await asyncio.sleep(0)
            return
        timeout = None if seconds is None or seconds == float("inf") else max(seconds, _LEAST_WAIT_S)
        try:
            await asyncio.wait_for(self._changed.wait(), timeout)
        except TimeoutError:
            return

    def nudge(self) -> None:
        """Let who waits for a moment look again: there is something to do before it."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _running_from(self, market_ns: int, now: int) -> ClockAnchor:
        # The lease ends no later than the recording, so that no reader sees a time after it.
        until_end = int((self._end_ns - market_ns) / self._speed) + 1
        lease = now + min(LEASE_NS, until_end)
        return ClockAnchor(market_ns, now, self._speed, is_running=True, lease_ns=lease)

    def _write(self, anchor: ClockAnchor) -> None:
        part = self._path.with_suffix(".part")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(anchor.encode())
            part.replace(self._path)
        except OSError as exc:
            raise HomeNotWritableError(f"market clock {self._path} cannot be written: {exc.strerror}") from exc
        is_change = self._anchor.is_running != anchor.is_running
        self._anchor = anchor
        if is_change:
            self.nudge()


def _read(path: Path) -> ClockAnchor | None:
    try:
        return decode_anchor(path.read_bytes())
    except FileNotFoundError:
        return None
    except DataError as exc:
        raise DataError(f"{path} is not a market clock ({exc}); delete it to start the market over") from exc
