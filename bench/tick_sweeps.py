"""10,000 settings of the default strategy over a million trades, on one and two threads, by CPU and by the clock.

Beside it what a run of each setting alone would cost, and how fast one core only reads the prices: a sweep that looks
at every price for every setting cannot be faster than that.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np

from bench.data import trades
from bench.measure import Reading, measure
from bench.ticks_peers import CASH, SPREAD, forecasts
from tickloop.domain.backtest import run_ticks
from tickloop.domain.strategy import Params
from tickloop.domain.tape import ForecastSeries, Tape, tape_of
from tickloop.domain.tick_sweep import sweep_ticks

TRADES = 1_000_000
SETTINGS = 10_000
CHECKED = 50
RUNS = 5
_NAME = "backtest"
_WHO = f"tickloop, sweep of {SETTINGS:,} settings of the default strategy x {TRADES:,} ticks"


def settings(count: int) -> list[Params]:
    """Give settings drawn evenly from what a search would try, seeded."""
    rng = np.random.default_rng(1)
    return [
        Params(
            order_krw=float(rng.integers(5_000, 20_000)),
            min_edge=float(rng.integers(0, 30) / 10_000),
            take_profit_num=int(rng.integers(1_001, 1_021)),
            hold_ms=int(rng.integers(1, 61) * 180_000),
            cooldown_ms=int(rng.integers(0, 31) * 10_000),
        )
        for _ in range(count)
    ]


def run() -> Iterator[Reading]:
    tape = tape_of(trades(TRADES))
    series, drawn = forecasts(tape), settings(SETTINGS)
    alone = _check(tape, series, drawn[:CHECKED])
    reading = measure(_NAME, "numpy, max of all prices", TRADES, "ticks", lambda: float(tape.price.max()), runs=21)
    bytes_s = 8 * TRADES / reading.cpu_s
    yield Reading(_NAME, "numpy reading the prices, one core", {"gb_s": round(bytes_s / 1e9, 1)})
    for threads in sorted({1, min(2, os.cpu_count() or 1)}):
        wall, cpu = _spent(lambda threads=threads: sweep_ticks(tape, series, drawn, SPREAD, CASH, threads))  # type: ignore[misc]
        values: dict[str, float | str] = {
            "wall_s": round(wall, 3),
            "cpu_s": round(cpu, 3),
            "setting_ticks_per_s": round(SETTINGS * TRADES / wall),
            "us_of_cpu_a_setting": round(cpu / SETTINGS * 1e6, 1),
            "us_of_cpu_a_run_alone": round(alone * 1e6, 1),
            "times_one_core_reading_each_price": round(SETTINGS * TRADES * 8 / bytes_s / cpu, 1),
            "load": round(os.getloadavg()[0], 1),
        }
        yield Reading(_NAME, f"{_WHO}, {threads} threads", values)


def _check(tape: Tape, series: ForecastSeries, drawn: list[Params]) -> float:
    """Hold some settings against runs of their own; give the median CPU seconds of such a run."""
    rows = sweep_ticks(tape, series, drawn, SPREAD, CASH)
    times = []
    for setting, row in zip(drawn, rows.iter_rows(named=True), strict=True):
        began = time.process_time()
        book = run_ticks(tape, series, setting, SPREAD, CASH)
        times.append(time.process_time() - began)
        purse = book.purse[0]
        assert row["orders"] == purse["orders"], f"{setting} gives other orders in the sweep"
        assert row["open_lots"] == purse["lots"], f"{setting} gives other lots in the sweep"
        orders = book.orders[: int(purse["orders"])]
        funds = float(orders["funds"][orders["filled_ms"] >= 0].sum())
        assert abs(row["turnover_krw"] - funds) < 1e-3, f"{setting} gives another turnover in the sweep"
    return statistics.median(times)


def _spent(work: Callable[[], object]) -> tuple[float, float]:
    """Give the medians by the clock and of CPU, after a warm-up."""
    work()
    rows = []
    for _ in range(RUNS):
        began, cpu = time.perf_counter(), time.process_time()
        work()
        rows.append((time.perf_counter() - began, time.process_time() - cpu))
    return statistics.median(row[0] for row in rows), statistics.median(row[1] for row in rows)
