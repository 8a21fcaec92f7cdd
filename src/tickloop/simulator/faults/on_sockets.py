"""What goes wrong with the messages of one connection when the board says so, before they are queued."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

from tickloop.simulator.faults.board import Fault, FaultBoard, FaultKind, Hold

LONGEST_SWAP_MS = 60_000
"""A message that is to change places with the next of its kind waits this long for it, in market time: where no next
one comes it goes out alone, as a network would have it."""


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

    What it holds back it gives later, so a connection that lives long enough gets every message at least once, if
    with damage. A stall holds back data only: answers to the client's own messages still go out.
    """

    def __init__(self, board: FaultBoard, user_agent: str) -> None:
        self._board = board
        self._user_agent = user_agent
        self._swapped: dict[tuple[str, str], tuple[int, Outgoing]] = {}  # until when, and what
        self._late: list[tuple[Hold, Outgoing]] = []
        self._stalled: deque[Outgoing] = deque()
        self._stalls: list[Hold] = []

    @property
    def held(self) -> int:
        """Count what is held back."""
        return len(self._late) + len(self._stalled) + len(self._swapped)

    @property
    def next_ms(self) -> int | None:
        """Give the market time at which something is to be given again; None when there is none, or none is known."""
        if not self.held:
            return None
        ends = [hold.until_ms for hold in self._stalls]
        if None in ends:
            return None
        stalled_until_ms = max((end for end in ends if end is not None), default=0)
        times = [hold.until_ms for hold, _ in self._late if hold.until_ms is not None]
        times += [until_ms for until_ms, _ in self._swapped.values()]
        times += [stalled_until_ms] if self._stalled else []
        return max(min(times), stalled_until_ms) if times else None

    def take(self, frame: Outgoing, at_ms: int) -> list[Outgoing]:
        """Give what goes out now in place of one message, and what was held back until now."""
        due = self.release(at_ms)
        if (stall := self._strike("stall", frame)) is not None:
            self._stalls.append(Hold(stall, at_ms))
        changed = [self._damaged(one) for one in self._reordered(frame, at_ms)]
        if changed and self._strike("duplicate", frame) is not None:
            changed.append(changed[-1])
        if changed and (late := self._strike("late", frame)) is not None:
            self._late.append((Hold(late, at_ms), changed.pop()))
        return due + self._past_stalls(changed, at_ms)

    def take_snapshot(self, frame: Outgoing, at_ms: int) -> list[Outgoing]:
        """Give what goes out now in place of a snapshot: it waits with the rest while a stall lasts, no more."""
        return [*self.release(at_ms), *self._past_stalls([frame], at_ms)]

    def release(self, at_ms: int) -> list[Outgoing]:
        """Give what was held back until now."""
        if self._is_stalled(at_ms):
            return []
        out = list(self._stalled)
        self._stalled.clear()
        return out + self._due(at_ms) if self._late or self._swapped else out

    def _due(self, at_ms: int) -> list[Outgoing]:
        """Take out what waited for a moment of its own, by that moment: it must not matter how often this is asked."""
        late = [one for one in self._late if one[0].is_over(at_ms, self._board)]
        self._late = [one for one in self._late if not one[0].is_over(at_ms, self._board)]
        alone = [subject for subject, (until_ms, _) in self._swapped.items() if at_ms >= until_ms]
        due = [(hold.since_ms if hold.until_ms is None else hold.until_ms, frame) for hold, frame in late]
        due += [self._swapped.pop(subject) for subject in alone]
        return [frame for _, frame in sorted(due, key=lambda one: one[0])]

    def _past_stalls(self, frames: Iterable[Outgoing], at_ms: int) -> list[Outgoing]:
        if not self._is_stalled(at_ms):
            return list(frames)
        self._stalled += frames
        return []

    def _is_stalled(self, at_ms: int) -> bool:
        self._stalls = [hold for hold in self._stalls if not hold.is_over(at_ms, self._board)]
        return bool(self._stalls)

    def _reordered(self, frame: Outgoing, at_ms: int) -> list[Outgoing]:
        subject = (frame.type, frame.code)
        before = self._swapped.pop(subject, None)
        if before is not None:
            return [frame, before[1]]
        if self._strike("reorder", frame) is not None:
            self._swapped[subject] = (at_ms + LONGEST_SWAP_MS, frame)
            return []
        return [frame]

    def _damaged(self, frame: Outgoing) -> Outgoing:
        """Damage a message so that it is neither UTF-8 nor, where a text frame makes it so again, JSON."""
        if self._strike("corrupt", frame) is None:
            return frame
        middle = len(frame.data) // 2
        return frame.with_data(frame.data[:middle] + b"\xff" + frame.data[middle + 1 : -1])

    def _strike(self, kind: FaultKind, frame: Outgoing) -> Fault | None:
        return self._board.strike(kind, market=frame.code, stream=frame.type, user_agent=self._user_agent)
