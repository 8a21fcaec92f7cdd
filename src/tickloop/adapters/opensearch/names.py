"""Names of indices: one a day of event time (UTC), `tickloop-2024.01.22`, as `logstash_format` of fluentd has them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from tickloop.domain.window import DAY_MS, Window, to_ms

_DAY = re.compile(r"-(\d{4})\.(\d\d)\.(\d\d)\Z")


def pattern_of(prefix: str) -> str:
    """Give the pattern of all days. Its year keeps out the indices of a longer prefix that begins with this one."""
    return f"{prefix}-2*"


def index_of(prefix: str, timestamp: str) -> str:
    """Give the index of an event by its `@timestamp`, such as `2024-01-22T00:00:00.000Z`."""
    return f"{prefix}-{timestamp[:4]}.{timestamp[5:7]}.{timestamp[8:10]}"


def day_ms_of(prefix: str, index: str) -> int | None:
    """Give the beginning of an index's day, epoch ms; None when it is none of ours."""
    match = _DAY.fullmatch(index, len(prefix)) if index.startswith(prefix) else None
    if match is None:
        return None
    year, month, day = map(int, match.groups())
    try:
        return to_ms(datetime(year, month, day, tzinfo=UTC))
    except ValueError:
        return None


def indices_within(prefix: str, window: Window, existing: list[str]) -> Iterator[str]:
    """Yield those of the existing indices that can hold events of the window, in order of time."""
    days = {name: day for name in existing if (day := day_ms_of(prefix, name)) is not None}
    for name, day_ms in sorted(days.items(), key=lambda item: item[1]):
        if day_ms < window.end_ms and day_ms + DAY_MS > window.start_ms:
            yield name
