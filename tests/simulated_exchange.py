"""The exchange simulator in a thread of its own, for contract suites of what talks to an exchange."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fakes import START_MS
from tickloop.adapters.local.clock import SharedClock
from tickloop.simulator.config import SimulatorConfig
from tickloop.simulator.server import serve

ACCESS_KEY, SECRET_KEY = "contract", "s" * 64

_DEADLINE_S = 30.0


@dataclass(frozen=True)
class RunningSimulator:
    rest_url: str
    websocket_url: str
    clock_path: Path

    @property
    def clock(self) -> SharedClock:
        return SharedClock(self.clock_path)


@contextmanager
def running_simulator(
    folder: Path, speed: float = 240.0, start_ms: int = START_MS, recording: str = "candles", **options: Any
) -> Iterator[RunningSimulator]:
    """Serve a recording on a free port, by default from 2024-01-22T00:00Z; options are the config's."""
    config = SimulatorConfig(folder, recording, start_ms, speed, ACCESS_KEY, SECRET_KEY, **options)
    urls: list[str] = []
    is_ready = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    def ready(url: str) -> None:
        urls.append(url)
        is_ready.set()

    def run() -> None:
        try:
            loop.run_until_complete(serve(config, ready, stop))
        finally:
            loop.close()
            is_ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert is_ready.wait(_DEADLINE_S), "the simulator did not start in time"
        assert urls, "the simulator ended at its start"
        socket_url = urls[0].replace("http://", "ws://") + "/websocket/v1"
        yield RunningSimulator(urls[0], socket_url, folder / "clock.json")
    finally:
        if not loop.is_closed():
            loop.call_soon_threadsafe(stop.set)
        thread.join(_DEADLINE_S)
