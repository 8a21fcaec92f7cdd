"""Lines that the sink refused, in dead letters of the same form as the collector's: one file a segment."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from tickloop.adapters.local.dead_letter import DeadAllowance, DeadLetter, DeadLine
from tickloop.ports import Clock, RefusedLine

ORIGIN = "ship"


class ShipDeadLetter:
    """Implements `ports.RefusedLines`. A line is known by its place, so a repeated delivery keeps it once.

    Args:
        allowance: bounds what an hour may add: a sink that refuses everything must not fill the disk that the collector
            writes to. What is left out still stands in the journal.
    """

    def __init__(self, folder: Path, clock: Clock, allowance: DeadAllowance | None = None) -> None:
        self._folder = folder
        self._clock = clock
        self._allowance = allowance or DeadAllowance()

    def keep(self, refused: Sequence[RefusedLine]) -> int:
        before, now_ms = self._allowance.left_out, self._clock.now_ms()
        for segment, lines in groupby(refused, key=lambda one: one.place.segment):
            dead = [
                DeadLine(f"{ORIGIN}:{segment}", one.place.offset, one.reason, one.line.rstrip(b"\n"))
                for one in lines
                if self._allowance.allows(len(one.line), now_ms)
            ]
            if dead:
                DeadLetter(self._folder / f"{ORIGIN}-{segment}").add_new(dead)
        return self._allowance.left_out - before
