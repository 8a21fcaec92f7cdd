"""What goes wrong with the messages of one connection when the board says so, before they are queued."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from tickloop.simulator.faultboard import FaultBoard, FaultKind


@dataclass(frozen=True)
class Outgoing:
    """One frame on its way, and what it counts as; control answers have no type."""

    data: bytes
    type: str = ""
    code: str = ""

    def with_data(self, data: bytes) -> Outgoing:
        return replace(self, data=data)


class Distortion:
    """Duplicates, swaps, delays, damages and stalls the messages of one connection; deterministic in their order.

    What it holds back it gives later, so a connection that lives long enough gets every message at least once.
    """

    def __init__(self, board: FaultBoard, user_agent: str) -> None:
        self._board = board
        self._user_agent = user_agent
        self._swapped: dict[tuple[str, str], Outgoing] = {}
        self._late: deque[tuple[int, Outgoing]] = deque()
        self._stalled: deque[Outgoing] = deque()
        self._stalled_until_ms = 0

    @property
    def held(self) -> int:
        """Count what is held back."""
        return len(self._late) + len(self._stalled) + len(self._swapped)

    @property
    def next_ms(self) -> int | None:
        """Give the market time at which something is to be given again, or None."""
        times = [max(release_ms, self._stalled_until_ms) for release_ms, _ in self._late]
        if self._stalled:
            times.append(self._stalled_until_ms)
        return min(times, default=None)

    def take(self, frame: Outgoing, at_ms: int) -> list[Outgoing]:
        """Give what goes out now in place of one message, and what was held back until now."""
        due = self.release(at_ms)
        stall = self._board.strike("stall", **self._subject(frame))
        if stall is not None:
            self._stalled_until_ms = max(self._stalled_until_ms, at_ms + stall.for_ms)
        changed = [self._damaged(one) for one in self._reordered(frame)]
        changed += changed[-1:] if changed and self._strikes("duplicate", frame) else []
        late = self._board.strike("late", **self._subject(frame)) if changed else None
        if late is not None:
            self._late.append((at_ms + late.for_ms, changed.pop()))
        if at_ms < self._stalled_until_ms:
            self._stalled += changed
            return due
        return due + changed

    def release(self, at_ms: int) -> list[Outgoing]:
        """Give what was held back until now."""
        out: list[Outgoing] = []
        if self._stalled and at_ms >= self._stalled_until_ms:
            out += self._stalled
            self._stalled.clear()
        if self._late and at_ms >= self._stalled_until_ms:
            out += [frame for release_ms, frame in self._late if release_ms <= at_ms]
            self._late = deque(one for one in self._late if one[0] > at_ms)
        return out

    def _reordered(self, frame: Outgoing) -> list[Outgoing]:
        before = self._swapped.pop((frame.type, frame.code), None)
        if before is not None:
            return [frame, before]
        if self._strikes("reorder", frame):
            self._swapped[frame.type, frame.code] = frame
            return []
        return [frame]

    def _damaged(self, frame: Outgoing) -> Outgoing:
        if self._board.strike("corrupt", **self._subject(frame)) is None:
            return frame
        middle = len(frame.data) // 2
        return frame.with_data(frame.data[:middle] + b"\xff" + frame.data[middle + 1 :])

    def _strikes(self, kind: FaultKind, frame: Outgoing) -> bool:
        return self._board.strike(kind, **self._subject(frame)) is not None

    def _subject(self, frame: Outgoing) -> dict[str, str]:
        return {"market": frame.code, "stream": frame.type, "user_agent": self._user_agent}
