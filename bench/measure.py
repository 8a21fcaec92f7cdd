"""CPU seconds of a call, several times; the median is what to quote on a shared machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

RUNS = 5


@dataclass(frozen=True)
class Figure:
    """One measured piece of work.

    Attributes:
        units: how many of what one call handles, for the rate.
        cpu_s: median CPU seconds of one call, after a warm-up call.
        spread_s: smallest and largest of the runs.
    """

    name: str
    who: str
    units: int
    unit: str
    cpu_s: float
    spread_s: tuple[float, float]

    @property
    def rate(self) -> float:
        return self.units / self.cpu_s if self.cpu_s > 0 else float("inf")

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "per_s": round(self.rate)}


@dataclass(frozen=True)
class Reading:
    """Measured values that are no rate of work, or why a peer is not there."""

    name: str
    who: str
    values: dict[str, float | str]

    def as_dict(self) -> dict[str, Any]:
        return {"name": self.name, "who": self.who, **self.values}


def measure(name: str, who: str, units: int, unit: str, work: Callable[[], object], runs: int = RUNS) -> Figure:
    """Run the work once to warm up, then `runs` times."""
    work()
    times = []
    for _ in range(runs):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return Figure(name, who, units, unit, statistics.median(times), (min(times), max(times)))
