"""The speed table of back-tests: ticks, SMA crosses over bars, sweeps, ticks to bars, first calls."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from bench import bars, crosses, first_call, tick_sweeps, ticks_peers
from bench.measure import Figure, Reading


def run() -> Iterator[Figure | Reading]:
    yield _machine()
    yield from ticks_peers.run()
    yield from crosses.run()
    yield from tick_sweeps.run()
    yield from bars.run()
    yield from first_call.run()
    yield _machine()


def _machine() -> Reading:
    model = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    values: dict[str, float | str] = {
        "cpu": model[0].partition(":")[2].strip() if model else platform.processor(),
        "cores": os.cpu_count() or 1,
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
    }
    return Reading("backtest", "machine", values | {name: version(name) for name in ("numba", "numpy", "polars")})
