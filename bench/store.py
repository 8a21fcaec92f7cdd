"""The lake: one Parquet object of a market-hour, written and read, with its bytes per tick."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from bench.data import START_MS, trades
from bench.measure import Figure, measure
from tickloop.adapters.local.lake import ParquetLake
from tickloop.domain.window import HOUR_MS, Window

COUNT = 1_000_000


def run() -> Iterator[Figure]:
    hour = Window(START_MS, START_MS + HOUR_MS)
    frame = trades(COUNT, per_minute=COUNT // 50)
    plain = frame.to_arrow()
    with tempfile.TemporaryDirectory() as folder:
        lake = ParquetLake(Path(folder))
        size = lake.put("KRW-BTC", hour, frame)
        assert frame.equals(lake.get("KRW-BTC", hour)), "what was read is not what was written"
        size_note = f"tickloop lake, {size / COUNT:.1f} bytes a tick"
        yield measure("store write", size_note, COUNT, "ticks", lambda: lake.put("KRW-BTC", hour, frame))
        yield measure("store read", size_note, COUNT, "ticks", lambda: lake.get("KRW-BTC", hour))
    buffer = io.BytesIO()
    pq.write_table(plain, buffer, compression="zstd")
    size_note = f"pyarrow defaults with zstd, {len(buffer.getvalue()) / COUNT:.1f} bytes a tick"
    yield measure(
        "store write", size_note, COUNT, "ticks", lambda: pq.write_table(plain, io.BytesIO(), compression="zstd")
    )
    yield measure("store read", size_note, COUNT, "ticks", lambda: pq.read_table(io.BytesIO(buffer.getvalue())))
