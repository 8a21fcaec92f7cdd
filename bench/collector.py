"""The collector from socket to synced journal: CPU a frame, delay, memory; and the collector of the 2023 system.

A process of its own sends the frames over loopback; `tickloop collect` runs as users run it. CPU is that of the
collecting processes with all threads, from the subscription to the last line. Every frame must be kept once.
"""

from __future__ import annotations

import re
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.frames import MARKETS
from bench.kept import KeptLines
from bench.measure import RUNS, Figure, Reading
from bench.processes import cpu_s, go, python_of, rss_mb, running, said, sender, wait_until

COUNT = 300_000
PEER_COUNT = 30_000

RATE = 2_000
RATE_COUNT = 30 * RATE

HOUR_COUNT = 5_000_000
"""One hour of 288 markets at 1,400 frames a second."""
RSS_SAMPLES = 20
MOST_GROWTH_MB = 20.0
"""By which the most of the second half hour may exceed that of the first."""

_DEADLINE_S = 900.0
_RECEIVED = re.compile(rb'"ts_received":(\d+)')


def run() -> Iterator[Figure | Reading]:
    tickloop = [_tickloop_cpu_s(COUNT) for _ in range(RUNS)]
    ours = Figure("collector", "tickloop collect, synced", COUNT, "frames", *_median(tickloop))
    yield ours
    python = python_of("pyupbit")
    if python is None:
        yield Reading("collector", "pyupbit.WebSocketManager + logging", {"absent": "run scripts/envs.sh pyupbit"})
    else:
        pyupbit = [_pyupbit_cpu_s(python, PEER_COUNT) for _ in range(RUNS)]
        peer = Figure("collector", "pyupbit.WebSocketManager + logging", PEER_COUNT, "frames", *_median(pyupbit))
        yield peer
        yield Reading("collector", "tickloop / pyupbit", {"times": round(ours.rate / peer.rate, 1)})
    yield Reading("collector", f"receipt to synced, {RATE} frames/s", _delays_ms())
    memory = _memory()
    yield Reading("collector", f"memory, {HOUR_COUNT} frames", memory)
    assert memory["growth_mb"] < MOST_GROWTH_MB, f"memory is not flat; valid: less than {MOST_GROWTH_MB:g} MB"


def _median(times: list[float]) -> tuple[float, tuple[float, float]]:
    return statistics.median(times), (min(times), max(times))


def _tickloop_cpu_s(count: int) -> float:
    with _collecting(count, 0, "-m", "tickloop", "collect", "--home", "home") as (process, source, folder):
        return _spent_s(process.pid, source, KeptLines(folder / "home" / "journal", "*.jsonl"), count)


def _pyupbit_cpu_s(python: Path, count: int) -> float:
    script = Path(__file__).parent / "peer_pyupbit.py"
    with tempfile.TemporaryDirectory() as name, sender(count, 0, Path(name, "sender.log")) as (source, url):
        command = (str(python), str(script), url, f"{name}/usual.log", ",".join(MARKETS))
        with running(*command, log=Path(name, "log")) as process:
            return _spent_s(process.pid, source, KeptLines(Path(name), "usual.log"), count)


def _spent_s(pid: int, source: subprocess.Popen[str], kept: KeptLines, count: int) -> float:
    """Let the sender send; give the CPU seconds until all frames are kept, the start of the program apart."""
    said(source, "subscribed")
    before = cpu_s(pid)
    go(source)
    wait_until(lambda: kept.look() >= count, _DEADLINE_S, "keeping all frames")
    return cpu_s(pid) - before


def _delays_ms() -> dict[str, float]:
    """Give milliseconds from receipt of a frame to the end of the sync that covered its line."""
    with _collecting(RATE_COUNT, RATE, "-m", "bench.synced", "home", "syncs") as (process, source, folder):
        journal = folder / "home" / "journal"
        _spent_s(process.pid, source, KeptLines(journal, "*.jsonl"), RATE_COUNT)
        process.send_signal(signal.SIGTERM)
        process.wait(_DEADLINE_S)
        syncs = [line.split(maxsplit=2) for line in (folder / "syncs").read_text().splitlines()]
        delays = sorted(_delays_of(journal, [(int(ns), int(size), Path(path).name) for ns, size, path in syncs]))
    assert len(delays) == RATE_COUNT
    return {"p50_ms": round(delays[len(delays) // 2], 1), "p99_ms": round(delays[len(delays) * 99 // 100], 1)}


def _delays_of(journal: Path, syncs: list[tuple[int, int, str]]) -> Iterator[float]:
    for path in journal.glob("*.jsonl"):
        ends = iter([(ns, size) for ns, size, name in syncs if name == path.name])
        synced_ns, covered, offset = 0, 0, 0
        for line in path.read_bytes().splitlines(keepends=True):
            offset += len(line)
            while covered < offset:
                synced_ns, covered = next(ends)
            yield (synced_ns - int(_RECEIVED.findall(line)[-1])) / 1e6


def _memory() -> dict[str, float]:
    """Give the collector's memory in MB while it takes an hour's frames as fast as it can."""
    samples: list[float] = []
    with _collecting(HOUR_COUNT, 0, "-m", "tickloop", "collect", "--home", "home") as (process, source, folder):
        kept = KeptLines(folder / "home" / "journal", "*.jsonl", is_removed=True)

        def look() -> bool:
            while kept.look() >= (len(samples) + 1) * HOUR_COUNT // RSS_SAMPLES:
                samples.append(rss_mb(process.pid))
            return kept.count >= HOUR_COUNT

        said(source, "subscribed")
        go(source)
        wait_until(look, _DEADLINE_S, "keeping an hour's frames")
    growth = max(samples[len(samples) // 2 :]) - max(samples[: len(samples) // 2])
    start, middle, end = (round(samples[place]) for place in (0, len(samples) // 2, -1))
    return {"start_mb": start, "middle_mb": middle, "end_mb": end, "growth_mb": round(growth)}


@contextmanager
def _collecting(
    count: int, rate: float, *program: str
) -> Iterator[tuple[subprocess.Popen[str], subprocess.Popen[str], Path]]:
    """Run sender and collector in a folder of their own; give both and the folder."""
    with tempfile.TemporaryDirectory() as name, sender(count, rate, Path(name, "sender.log")) as (source, url):
        home = Path(name, "home")
        home.mkdir()
        markets = ", ".join(f'"{market}"' for market in MARKETS)
        # Nobody answers REST there: the collector must not ask the real exchange for what it thinks it has missed.
        exchange = f'rest_url = "http://127.0.0.1:9"\nwebsocket_url = "{url}"'
        (home / "tickloop.toml").write_text(f"markets = [{markets}]\n[exchange]\n{exchange}\n")
        places = [str(Path(name, word)) if word in ("home", "syncs") else word for word in program]
        with running(sys.executable, *places, log=Path(name, "log")) as process:
            yield process, source, Path(name)
