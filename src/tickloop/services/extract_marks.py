"""Hours that must be extracted again because trades came to the raw store after they were over."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from tickloop.domain.window import Window, hour_of
from tickloop.errors import TickloopError
from tickloop.ports import Clock
from tickloop.services.steps import StepPorts, mark_due

MOST = 1_000
"""Hours that wait to be marked; the oldest are forgotten, and verify finds by the candles what they lack."""

_LOOKS_TO_WAIT = 60  # calls, about a second apart, between two attempts at a warehouse that failed

TROUBLE = (TickloopError, OSError)


class MarkExtract(Protocol):
    def __call__(self, market: str, hour: Window, /) -> bool:
        """Ask for the extract of an hour again; False when it is running just now."""


class ExtractMarks:
    """Notes hours and has them marked when there is time; used by one thread."""

    def __init__(self, mark: MarkExtract, clock: Clock) -> None:
        self._mark = mark
        self._clock = clock
        self._hours: dict[tuple[str, Window], None] = {}
        self._looks_to_wait = 0

    def note(self, market: str, times_ms: Iterable[int]) -> None:
        """Note the hours of trades, as far as they are over: the extract of the open one comes by itself."""
        for hour in sorted({hour_of(ts_ms) for ts_ms in times_ms}):
            if hour.end_ms <= self._clock.now_ms():
                self._hours[market, hour] = None
        while len(self._hours) > MOST:
            del self._hours[next(iter(self._hours))]

    def work(self) -> TickloopError | OSError | None:
        """Mark what is noted; give what stopped it, after which the next 60 calls do nothing."""
        if self._looks_to_wait:
            self._looks_to_wait -= 1
            return None
        try:
            for market, hour in list(self._hours):
                if self._mark(market, hour):
                    del self._hours[market, hour]
        except TROUBLE as exc:
            self._looks_to_wait = _LOOKS_TO_WAIT
            return exc
        return None


def extract_marker(ports: StepPorts) -> MarkExtract:
    """Give the function that marks an extract due, unless it is running: then its end would hide the mark."""

    def mark(market: str, hour: Window) -> bool:
        if market not in ports.markets and market not in ports.collected:
            return True  # its first look is not noted yet: its hours are due anyway
        with ports.lock.hold("extract", market, hour) as is_free:
            if is_free:
                mark_due(ports, "extract", market, hour)
        return is_free

    return mark
