"""`python -m bench.first_call WORK`: the first back-test of a process, by the clock; and both runs of a fresh copy.

A copy of the package without compiled code is made, so that the first process compiles and the second one reads what
the first one kept.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.measure import Reading

PACKAGE = Path(__file__).parent.parent / "src" / "tickloop"
WORKS = {
    "ticks": "default strategy over ticks",
    "bars": "default strategy over bars",
    "sma_cross": "SMA cross over bars",
    "sweep": "sweep of SMA crosses",
    "tick_sweep": "sweep of the default strategy over ticks",
}
_DEADLINE_S = 600.0


def run() -> Iterator[Reading]:
    for work, told in WORKS.items():
        with tempfile.TemporaryDirectory() as folder:
            shutil.copytree(PACKAGE, Path(folder) / "tickloop", ignore=shutil.ignore_patterns("__pycache__"))
            cold, warm = _first(folder, work), _first(folder, work)
        values = {"cold_s": cold["wall_s"], "cold_cpu_s": cold["cpu_s"]}
        values |= {"warm_s": warm["wall_s"], "warm_cpu_s": warm["cpu_s"]}
        yield Reading("first call", told, {name: round(value, 3) for name, value in values.items()})


def _first(folder: str, work: str) -> dict[str, float]:
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([folder, str(Path(__file__).parent.parent)])}
    command = [sys.executable, "-m", "bench.first_call", work]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True, timeout=_DEADLINE_S)
    told = dict(json.loads(done.stdout))
    assert told.pop("package") == str(Path(folder) / "tickloop"), "another copy of the package was measured"
    return told


def main(work: str) -> None:
    """Print the time from the call to its result, imports apart: a process has them anyway."""
    import numpy as np

    import tickloop
    from tickloop.domain.backtest import run_ticks
    from tickloop.domain.fills import FILL_MODELS
    from tickloop.domain.strategies.shipped import SHIPPED
    from tickloop.domain.strategies.sma_cross import SmaCrossParams
    from tickloop.domain.strategy import Params
    from tickloop.domain.strategy_bars import run_strategy_bars
    from tickloop.domain.tape import BarTape, ForecastSeries, Tape
    from tickloop.domain.target_sweep import sweep_sma
    from tickloop.domain.tick_sweep import sweep_ticks

    price, ts = np.full(100, 5e7), 1_705_881_600_000 + 60_000 * np.arange(100)
    tape, bars = Tape("KRW-BTC", ts, price), BarTape("KRW-BTC", ts, price, price, price)
    none = ForecastSeries(np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64))
    sma, spread = SmaCrossParams(), FILL_MODELS["spread"]
    began, cpu = time.perf_counter(), time.process_time()
    if work == "ticks":
        run_ticks(tape, none, Params(), spread, 5e4)
    elif work == "bars":
        run_strategy_bars(SHIPPED["default"], bars, none, Params(), 5e4)
    elif work == "sma_cross":
        run_strategy_bars(SHIPPED["sma_cross"], bars, none, sma, 5e4)
    elif work == "sweep":
        sweep_sma(bars, [sma], 5e4)
    else:
        sweep_ticks(tape, none, [Params()], spread, 5e4)
    spent = {"wall_s": time.perf_counter() - began, "cpu_s": time.process_time() - cpu}
    print(json.dumps({**spent, "package": str(Path(tickloop.__file__).parent)}))


if __name__ == "__main__":
    main(sys.argv[1])
