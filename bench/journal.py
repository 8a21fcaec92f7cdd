"""Frame to synced journal, against the usual way: `json.loads` of the frame, then a line through `logging`.

The peer is what a collector on pyupbit's queue with a file logger does for each message, without its process hop.
"""

from __future__ import annotations

import asyncio
import json
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench.data import START_MS
from bench.measure import Figure, measure
from tickloop.adapters.local.clock import SystemClock
from tickloop.adapters.local.journal_writer import JournalWriter
from tickloop.ports import Frame

COUNT = 50_000


def frames() -> list[Frame]:
    made = []
    for number in range(COUNT):
        ts = START_MS + number
        message = {
            "type": "trade",
            "code": "KRW-BTC",
            "timestamp": ts + 40,
            "trade_date": "2024-01-22",
            "trade_time": "00:00:00",
            "trade_timestamp": ts,
            "trade_price": 58_000_000.0 + number % 7 * 1_000,
            "trade_volume": 0.00124,
            "ask_bid": "BID",
            "prev_closing_price": 57_900_000.0,
            "change": "RISE",
            "change_price": 100_000.0,
            "sequential_id": ts * 10_000,
            "stream_type": "REALTIME",
        }
        made.append(Frame(msgspec.json.encode(message), (ts + 60) * 1_000_000))
    return made


def journal(folder: Path, made: list[Frame], name: str) -> None:
    async def write() -> None:
        writer = JournalWriter(
            folder / "journal",
            folder / "dead",
            name,
            SystemClock(),
            segment_bytes=64_000_000,
            sync_interval_s=0.25,
            queue_frames=COUNT + 1,
        ).open()
        for frame in made:
            writer.append(frame)
        await writer.close()

    asyncio.run(write())


def usual_way(folder: Path, made: list[Frame]) -> None:
    logger = logging.getLogger("bench")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    handler = logging.FileHandler(folder / "usual.log")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    for frame in made:
        logger.info(json.dumps(json.loads(frame.raw)))
    logger.removeHandler(handler)
    handler.close()


def run() -> Iterator[Figure]:
    made = frames()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        journal(folder, made, "check")
        lines = [line for path in (folder / "journal").glob("*.jsonl") for line in path.read_bytes().splitlines()]
        assert [json.loads(line)["sequential_id"] for line in lines] == [
            json.loads(frame.raw)["sequential_id"] for frame in made
        ], "the journal does not hold what was received"
        yield measure("journal", "tickloop, synced", COUNT, "frames", lambda: journal(folder, made, "bench"))
        yield measure("journal", "json + logging, not synced", COUNT, "frames", lambda: usual_way(folder, made))
