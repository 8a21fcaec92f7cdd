"""The hourly path on real servers: OpenSearch -> S3 -> PostgreSQL, against the 2023 way (scroll, pandas, `to_sql`).

Both take the same hour out of the same OpenSearch into the same S3 and PostgreSQL, each in a process of its own, in
turns. What they stored is compared with what was delivered first. Times are of the wall clock, since most of the work
is the servers': look at the ratios. `scripts/servers/with.sh opensearch postgres s3 -- python -m bench etl`.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from bench.data import START_MS
from bench.etl_data import HOUR_MARKET, deliver, hour_of_trades, small_hours
from bench.etl_job import SERVERS, Job, job_of_environment
from bench.etl_stores import clear, make_stores, peer_rows, stored_trades
from bench.measure import Figure, Reading
from bench.processes import python_of
from tickloop.domain.window import DAY_MS, HOUR_MS

COUNT = 500_000
RUNS = 3
GROWTH = (1, 8, 64, 288)
MEMORY = (100_000, 500_000, 1_500_000)
"""Trades of an hour, for what our way holds in memory above what it begins with."""
SMALL = 200
"""Trades of a market in a small hour."""

_DEADLINE_S = 900.0
_HERE = Path(__file__).parent


def run() -> Iterator[Figure | Reading]:
    job = job_of_environment()
    if job is None:
        start = f"scripts/servers/with.sh {' '.join(SERVERS)} -- .venv/bin/python -m bench etl"
        yield Reading("etl", "all", {"absent": f"the servers do not run: {start}"})
        return
    make_stores(job)
    yield from _one_hour(job.with_window((HOUR_MARKET,), START_MS, START_MS + HOUR_MS))
    yield from _growth(job, START_MS + DAY_MS)
    yield from _memory(job, START_MS + 10 * DAY_MS)


def _one_hour(job: Job) -> Iterator[Reading]:
    trades = hour_of_trades(COUNT, job.start_ms)
    deliver(job, trades)
    has_peer = python_of("etl2023") is not None
    _ours(job)  # once before: the servers' caches are warm for both, and our code is compiled
    _check_ours(job, trades)
    if has_peer:
        _peer(replace(job, table_there=False))
        _check_peer(job, trades)
    else:
        yield Reading("etl", "2023: scroll + pandas + to_sql", {"absent": "run scripts/envs.sh etl2023"})
    ours, peers = [], []
    for _ in range(RUNS):
        clear(job)
        ours.append(_ours(job))
        if has_peer:
            peers.append(_peer(job))
    yield from _compared(f"etl, {COUNT} trades, a new hour", ours, peers)
    again = f"etl, {COUNT} trades, the same hour again"
    yield from _compared(again, [_ours(job)], [_peer(job)] if has_peer else [])
    _check_ours(job, trades)


def _compared(name: str, ours: list[dict[str, Any]], peers: list[dict[str, Any]]) -> Iterator[Reading]:
    yield _reading(name, "tickloop extract + load", ours)
    if peers:
        yield _reading(name, "2023: scroll + pandas + to_sql", peers)
        yield Reading(name, "2023 / tickloop", _ratios(ours, peers))


def _growth(job: Job, start_ms: int) -> Iterator[Reading]:
    markets, trades = small_hours(GROWTH[-1], SMALL, start_ms)
    deliver(job, trades)
    has_peer = python_of("etl2023") is not None
    for count in GROWTH:
        clear(job)
        some = job.with_window(markets[:count], start_ms, start_ms + HOUR_MS)
        name = f"etl, {count} markets of {SMALL} trades"
        ours = _ours(some)
        assert ours["rows"] == count * SMALL, f"{ours['rows']} rows; valid: {count * SMALL}"
        yield from _compared(name, [ours], [_peer(some)] if has_peer else [])


def _memory(job: Job, start_ms: int) -> Iterator[Reading]:
    """Take longer and longer hours, each new and then again: what the process holds must not grow with them."""
    for number, count in enumerate(MEMORY):
        day_ms = start_ms + 10 * number * DAY_MS  # so far apart that no two trades have one id
        hour = job.with_window((HOUR_MARKET,), day_ms, day_ms + HOUR_MS)
        trades = hour_of_trades(count, day_ms)
        deliver(hour, trades)
        clear(hour)
        values: dict[str, float | str] = {}
        for kind in ("new", "again"):
            run = _ours(hour)
            values |= {
                f"above_base_mb_{kind}": round(run["peak_mb"] - run["base_mb"], 1),
                f"wall_s_{kind}": round(run["wall_s"], 2),
            }
        _check_ours(hour, trades)
        yield Reading(f"etl, memory, {count} trades", "tickloop extract + load", values)


def _ours(job: Job) -> dict[str, Any]:
    return _told(sys.executable, "-m", "bench.etl_ours", job.as_text())


def _peer(job: Job) -> dict[str, Any]:
    return _told(str(python_of("etl2023")), str(_HERE / "peer_etl2023.py"), job.as_text())


def _told(*command: str) -> dict[str, Any]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_DEADLINE_S)
    if done.returncode:
        raise RuntimeError(f"{command[:3]} ended with {done.returncode}: {done.stderr[-3_000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _check_ours(job: Job, trades: pl.DataFrame) -> None:
    assert stored_trades(job).equals(trades), "the warehouse does not hold what was delivered"


def _check_peer(job: Job, trades: pl.DataFrame) -> None:
    assert peer_rows(job).equals(
        trades.select(
            "trade_id",
            "price",
            "qty_e8",
            pl.col("ts_event").dt.epoch("ms"),
            is_buy=pl.col("side") == "BUY",
        ).sort("trade_id")
    ), "the table of the 2023 way does not hold what was delivered"


def _reading(name: str, who: str, runs: list[dict[str, Any]]) -> Reading:
    wall = [run["wall_s"] for run in runs]
    middle: Mapping[str, Any] = sorted(runs, key=lambda run: run["wall_s"])[len(runs) // 2]
    values: dict[str, float | str] = {
        "wall_s": round(statistics.median(wall), 2),
        "spread_s": f"{min(wall):.2f} to {max(wall):.2f}",
        "opensearch_s": round(statistics.median([run["server_s"] for run in runs]), 2),
        "opensearch_took_s": round(statistics.median([run["took_s"] for run in runs]), 2),
        "without_opensearch_s": round(statistics.median([_own(run) for run in runs]), 2),
        "cpu_s": round(statistics.median([run["cpu_s"] for run in runs]), 2),
        "base_mb": round(middle["base_mb"]),
        "peak_mb": round(max(run["peak_mb"] for run in runs)),
        "stages_s": ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in middle["stages"].items()),
    }
    return Reading(name, who, values)


def _ratios(ours: list[dict[str, Any]], peers: list[dict[str, Any]]) -> dict[str, float | str]:
    def median(runs: list[dict[str, Any]], of: str) -> float:
        return statistics.median([run[of] for run in runs])

    apart = statistics.median([_own(run) for run in peers]) / statistics.median([_own(run) for run in ours])
    return {
        "times_end_to_end": round(median(peers, "wall_s") / median(ours, "wall_s"), 1),
        "times_without_opensearch": round(apart, 1),
        "times_cpu": round(median(peers, "cpu_s") / median(ours, "cpu_s"), 1),
    }


def _own(run: Mapping[str, Any]) -> float:
    """Give the seconds of a run in which it did not wait for OpenSearch."""
    return float(run["wall_s"] - run["server_s"])
