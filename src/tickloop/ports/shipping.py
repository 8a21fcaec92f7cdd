"""Delivery of the journal to an event sink: what is read of it, what was refused, what may be removed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from tickloop.domain.window import Window


class Place(NamedTuple):
    """Where a line stands: the name of its segment, and its offset in there, bytes."""

    segment: str
    offset: int


@dataclass(frozen=True)
class LineBatch:
    """Whole lines that wait for delivery, in the order of the journal.

    Attributes:
        lines: each with its line break.
        places: of each line.
        ends: segment -> offset up to which this batch and those before it have read.
        is_full: it was cut at a limit: more may wait right behind it.
    """

    lines: Sequence[bytes]
    places: Sequence[Place]
    ends: Mapping[str, int]
    is_full: bool


class LineSource(Protocol):
    """The lines of a journal that were not delivered yet. It remembers for good what was."""

    @property
    def behind_bytes(self) -> int:
        """Tell how much waited at the last look, what `next_batch` gave then included."""

    def next_batch(self) -> LineBatch:
        """Look for lines that wait; no lines when there are none. Asked again before `advance` it gives them again."""

    def advance(self, batch: LineBatch) -> None:
        """Remember, durably, that a batch was delivered.

        Raises:
            DiskFullError: there is no room; the batch is given again until it is remembered.
        """


@dataclass(frozen=True)
class RefusedLine:
    """A line that the sink will never take, and why."""

    place: Place
    reason: str
    line: bytes


class RefusedLines(Protocol):
    """Where refused lines are kept for people."""

    def keep(self, refused: Sequence[RefusedLine]) -> int:
        """Keep those that are not there yet; give how many were left out for want of allowance.

        Raises:
            DiskFullError: there is no room; nothing was kept.
        """


@dataclass(frozen=True)
class OldSegment:
    """A segment of the journal.

    Attributes:
        end_ms: end of the market hour in which it was written.
        size: bytes.
        is_newest: of its writer, so that lines may still come.
    """

    name: str
    end_ms: int
    size: int
    is_newest: bool


@dataclass(frozen=True)
class Contents:
    """What a segment holds.

    Attributes:
        trades: market and hour of the event -> trade ids.
        dead: lines that cannot be read.
    """

    trades: Mapping[tuple[str, Window], Collection[int]]
    dead: int


class SegmentKeeper(Protocol):
    """The folder of segments."""

    def segments(self) -> list[OldSegment]:
        """Give all segments, oldest first."""

    def contents(self, name: str) -> Contents: ...

    def is_delivered(self, name: str) -> bool | None:
        """Tell whether a shipper is at the end of a segment; None where none has ever run."""

    def remove(self, name: str, hours: Collection[Window]) -> None:
        """Delete a segment; remember for good that the journal does not hold these hours any more."""


class Prunable(Protocol):
    """A store that grows by the day and forgets old ones."""

    def prune(self, now_ms: int) -> list[str]:
        """Delete what is older than its time of keeping; give the names of what was deleted.

        Raises:
            StoreError: it could not be deleted; what was deleted before stays so.
        """
