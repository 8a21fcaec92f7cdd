"""The lake, written and read, with its bytes a tick; and nautilus_trader's catalog with the same ticks.

Two shapes: one object of a million ticks, and objects of an hour at a market's own pace, where opening a file counts.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa

from bench.data import START_MS, lifelike_trades
from bench.measure import RUNS, Figure, Reading, measure
from bench.processes import python_of
from tickloop.adapters.local.lake import ParquetLake
from tickloop.domain.window import HOUR_MS, hour_of

COUNT = 1_000_000
MARKET = "KRW-BTC"
FOR_BACKTEST = ("ts_event", "price", "qty_e8", "side")

_PEER_DEADLINE_S = 600.0


def run() -> Iterator[Figure | Reading]:
    frame, source = lifelike_trades(COUNT)
    one_hour = _squeeze(frame)
    with tempfile.TemporaryDirectory() as folder:
        yield from _lake(Path(folder, "one"), [one_hour], f"one object, {source}")
        yield from _lake(Path(folder, "hours"), _hours(frame), f"an object an hour, {source}")
        yield from _nautilus(Path(folder, "ticks.arrow"), one_hour, source)


def _lake(folder: Path, frames: list[pl.DataFrame], who: str) -> Iterator[Figure]:
    lake = ParquetLake(folder)
    objects = [(hour_of(int(frame["ts_event"].dt.epoch("ms")[0])), frame) for frame in frames]
    size = sum(lake.put(MARKET, hour, [frame]) for hour, frame in objects)
    for hour, frame in objects:
        found = lake.get(MARKET, hour)
        assert found is not None
        assert found.equals(frame), "what was read is not what was written"

    def write() -> None:
        for hour, frame in objects:
            lake.put(MARKET, hour, [frame])

    def read(columns: tuple[str, ...] | None = None) -> None:
        for hour, _ in objects:
            lake.get(MARKET, hour, columns)

    who = f"tickloop lake, {who}, {size / COUNT:.1f} bytes a tick"
    yield measure("store write", who, COUNT, "ticks", write)
    yield measure("store read", who, COUNT, "ticks", read)
    yield measure("store read, 4 of 10 columns", who, COUNT, "ticks", lambda: read(FOR_BACKTEST))


def _nautilus(path: Path, frame: pl.DataFrame, source: str) -> Iterator[Figure | Reading]:
    python = python_of("nautilus")
    if python is None:
        yield Reading("store", "nautilus_trader ParquetDataCatalog", {"absent": "run scripts/envs.sh nautilus"})
        return
    ticks = frame.select(
        ts_event=pl.col("ts_event").dt.epoch("ns"),
        ts_init=pl.col("ts_received").dt.epoch("ns"),
        price="price",
        qty_e8="qty_e8",
        is_buy=pl.col("side") == "BUY",
        trade_id="trade_id",
    ).to_arrow()
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, ticks.schema) as writer:
        writer.write_table(ticks)
    command = [str(python), str(Path(__file__).parent / "peer_nautilus.py"), str(path), str(RUNS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_PEER_DEADLINE_S)
    found = json.loads(done.stdout.splitlines()[-1])
    who = f"nautilus_trader ParquetDataCatalog, {source}, {found['bytes'] / COUNT:.1f} bytes a tick (6 columns)"
    for name, times in (("store write", found["write_s"]), ("store read", found["read_s"])):
        yield Figure(name, who, COUNT, "ticks", statistics.median(times), (min(times), max(times)))


def _squeeze(frame: pl.DataFrame) -> pl.DataFrame:
    """Bring the times of all trades into one hour, in their order; ids and receipts stay as far apart as they were."""
    ms = frame["ts_event"].dt.epoch("ms").to_numpy()
    squeezed = START_MS + (ms - ms[0]) * (HOUR_MS - 1) // (ms[-1] - ms[0])
    return frame.with_columns(ts_event=pl.Series(squeezed).cast(pl.Datetime("ms", "UTC")))


def _hours(frame: pl.DataFrame) -> list[pl.DataFrame]:
    hour = pl.col("ts_event").dt.truncate("1h").alias("hour")
    return frame.with_columns(hour).partition_by("hour", maintain_order=True, include_key=False)
