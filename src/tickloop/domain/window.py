"""Half-open windows of time, in UTC, and the text form that commands and logs use for them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tickloop.errors import WindowError

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000

_FORM = re.compile(r"^(\d{4}-\d{2}-\d{2})T(\d{2})(?:\.\.(?:(\d{4}-\d{2}-\d{2}))?T(\d{2}))?$")

_MOMENT = re.compile(r"^(\d{4}-\d{2}-\d{2})(?:T(\d{2})(?::00)?)?$")


@dataclass(frozen=True, order=True)
class Window:
    """`[start_ms, end_ms)`, epoch milliseconds UTC, both on a whole minute."""

    start_ms: int
    end_ms: int

    def __post_init__(self) -> None:
        if self.start_ms >= self.end_ms:
            raise WindowError(f"window {self.start_ms}..{self.end_ms} is empty: its end must lie after its start")
        if self.start_ms % MINUTE_MS or self.end_ms % MINUTE_MS:
            raise WindowError(f"window {self.start_ms}..{self.end_ms} must start and end on a whole minute")

    def __str__(self) -> str:
        if self.start_ms % HOUR_MS or self.end_ms % HOUR_MS:
            return f"{to_datetime(self.start_ms):%Y-%m-%dT%H:%M}..{to_datetime(self.end_ms):%Y-%m-%dT%H:%M}"
        start = f"{to_datetime(self.start_ms):%Y-%m-%dT%H}"
        if self.end_ms - self.start_ms == HOUR_MS:
            return start
        return f"{start}..{to_datetime(self.end_ms):%Y-%m-%dT%H}"

    def __contains__(self, ts_ms: int) -> bool:
        return self.start_ms <= ts_ms < self.end_ms

    @property
    def start(self) -> datetime:
        return to_datetime(self.start_ms)

    @property
    def end(self) -> datetime:
        return to_datetime(self.end_ms)

    def hours(self) -> Iterator[Window]:
        """Yield the whole hours of the window in order.

        Raises:
            WindowError: if an edge is not a whole hour.
        """
        if self.start_ms % HOUR_MS or self.end_ms % HOUR_MS:
            raise WindowError(f"window {self} is not made of whole hours; valid: 2024-01-02T03 or 2024-01-02T03..T05")
        for start in range(self.start_ms, self.end_ms, HOUR_MS):
            yield Window(start, start + HOUR_MS)


def hour_of(ts_ms: int) -> Window:
    start = ts_ms - ts_ms % HOUR_MS
    return Window(start, start + HOUR_MS)


def slots_in(window: Window, slot_hours: int) -> list[Window]:
    """Give the whole slots inside a window, oldest first; slots start at multiples of their length."""
    slot_ms = slot_hours * HOUR_MS
    first = -(-window.start_ms // slot_ms) * slot_ms
    return [Window(start, start + slot_ms) for start in range(first, window.end_ms - slot_ms + 1, slot_ms)]


def slots_ended_in(window: Window, slot_hours: int) -> list[Window]:
    """Give the slots whose last hour lies in a window of whole hours, oldest first; none is normal."""
    before_ms = (slot_hours - 1) * HOUR_MS
    return slots_in(Window(max(0, window.start_ms - before_ms), window.end_ms), slot_hours)


def to_datetime(ts_ms: int) -> datetime:
    return datetime.fromtimestamp(ts_ms / 1000, UTC)


def to_ms(moment: datetime) -> int:
    """Give epoch milliseconds of an aware datetime; a naive one is a bug and raises `WindowError`."""
    if moment.tzinfo is None:
        raise WindowError(f"time {moment.isoformat()} has no zone; valid: an aware datetime in UTC")
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def parse_window(text: str) -> Window:
    """Read `2024-01-02T03`, `2024-01-02T03..T05` or `2024-01-02T22..2024-01-03T02` as whole hours of UTC.

    `T03..T05` is [03:00, 05:00). An end of day may be written `T24`.

    Raises:
        WindowError: for any other text, an hour that does not exist, or an end before the start.
    """
    match = _FORM.match(text)
    if match is None:
        raise WindowError(f"window {text!r} is not whole hours of UTC; valid: 2024-01-02T03 or 2024-01-02T03..T05")
    start_day, start_hour, end_day, end_hour = match.groups()
    start_ms = _hour_ms(text, start_day, start_hour)
    end_ms = start_ms + HOUR_MS if end_hour is None else _hour_ms(text, end_day or start_day, end_hour)
    if end_ms <= start_ms:
        raise WindowError(f"window {text!r} ends before it starts; valid: an end after the start")
    return Window(start_ms, end_ms)


def parse_range(start: str, end: str) -> Window:
    """Read two whole hours of UTC, each as `2024-01-02`, `2024-01-02T03` or `2024-01-02T03:00`, as `[start, end)`.

    Raises:
        WindowError: for any other text, a time that does not exist, or an end that is not after the start.
    """
    start_ms, end_ms = _moment_ms(start), _moment_ms(end)
    if end_ms <= start_ms:
        raise WindowError(f"range {start!r} to {end!r} is empty; valid: an end after the start")
    return Window(start_ms, end_ms)


def _moment_ms(text: str) -> int:
    match = _MOMENT.match(text)
    if match is None:
        raise WindowError(
            f"time {text!r} is not a whole hour of UTC; valid: 2024-01-02, 2024-01-02T03 or 2024-01-02T03:00"
        )
    return _hour_ms(text, match.group(1), match.group(2) or "00", "time")


def _hour_ms(text: str, day: str, hour: str, what: str = "window") -> int:
    try:
        midnight = datetime.fromisoformat(day).replace(tzinfo=UTC)
    except ValueError as exc:
        raise WindowError(f"{what} {text!r} names a day that does not exist: {day}") from exc
    if int(hour) > 24:
        raise WindowError(f"{what} {text!r} names hour {hour}; valid: 00 to 24")
    return to_ms(midnight) + int(hour) * HOUR_MS
