"""When a person must be told of the collector: rules over its counts; each alert once, and taken back at its end."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping

from tickloop.ports import DiskShortage, Notifier

DISK_FULL, STREAM_DOWN, DEAD_LETTERS = "disk_full", "stream_down", "dead_letters"

_MINUTE_S = 60.0


class Watchdog:
    """Looks at what was counted about once a second; times are real seconds of one monotonic clock.

    Args:
        stream_down_s: without a message for longer than this, the stream is down.
        dead_per_minute: so many unreadable messages within a minute are told.
    """

    def __init__(self, notifier: Notifier, *, stream_down_s: float, dead_per_minute: int) -> None:
        self._notifier = notifier
        self._stream_down_s = stream_down_s
        self._dead_per_minute = dead_per_minute
        self._told: set[str] = set()
        self._messages = -1
        self._moved_at = 0.0
        self._whole_at: float | None = None
        self._dead: deque[tuple[float, int]] = deque()

    def look_at_disk(self, shortage: DiskShortage | None) -> None:
        if shortage is None:
            self._clear(DISK_FULL, "there is room again; collection goes on")
            return
        words = f"{shortage.free_bytes:,} bytes are free, {shortage.needed_bytes:,} are needed"
        detail = {"free_bytes": shortage.free_bytes, "needed_bytes": shortage.needed_bytes}
        self._alert(DISK_FULL, f"the disk is full: {words}; nothing is taken in until there is room", detail)

    def look_at_stream(self, now_s: float, messages: int, lost: Collection[str], *, may_be_silent: bool) -> None:
        """Tell of a stream without messages, or of markets that are `lost` while others come.

        Args:
            messages: received so far.
            may_be_silent: the market clock stands, or we do not read.
        """
        if messages != self._messages or may_be_silent:
            self._messages, self._moved_at = messages, now_s
        if not lost or may_be_silent or self._whole_at is None:
            self._whole_at = now_s
        if now_s - self._moved_at > self._stream_down_s:
            words = f"no message for {self._stream_down_s:g} s; the stream reconnects by itself"
            self._alert(STREAM_DOWN, words, {"messages": messages})
        elif now_s - self._whole_at > self._stream_down_s:
            words = (
                f"{len(lost)} markets are not received for {self._stream_down_s:g} s; their connection is tried again"
            )
            self._alert(STREAM_DOWN, words, {"markets": sorted(lost)[:10]})
        else:
            self._clear(STREAM_DOWN, "messages come again")

    def look_at_dead(self, now_s: float, dead: int) -> None:
        """Tell of many unreadable messages within a minute; take it back after a minute without any."""
        self._dead.append((now_s, dead))
        while len(self._dead) > 1 and self._dead[1][0] <= now_s - _MINUTE_S:
            self._dead.popleft()
        since_s, before = self._dead[0]
        if dead - before >= self._dead_per_minute:
            words = f"{dead - before} messages within a minute could not be read; they are in the dead letter"
            self._alert(DEAD_LETTERS, words, {"dead": dead})
        elif dead == before and now_s - since_s >= _MINUTE_S:
            self._clear(DEAD_LETTERS, "a minute without an unreadable message")

    def _alert(self, subject: str, message: str, detail: Mapping[str, object]) -> None:
        if subject not in self._told:
            self._told.add(subject)
            self._notifier.alert(subject, message, **detail)

    def _clear(self, subject: str, message: str) -> None:
        if subject in self._told:
            self._told.discard(subject)
            self._notifier.clear(subject, message)
