"""A simulator on a free loopback port, on a small made recording, for the tests of this folder."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import polars as pl

from tickloop.simulator.config import SimulatorConfig
from tickloop.simulator.prices.generator import GeneratedDays
from tickloop.simulator.prices.made_markets import SEEDED
from tickloop.simulator.prices.recording import CANDLE_COLUMNS, Recording, recording_of
from tickloop.simulator.server import serve

START_MS = 1_772_600_400_000  # 2026-03-04T05:00:00Z
MINUTE_MS = 60_000
MINUTES = {"KRW-BTC": 60, "KRW-ETH": 40}
HOLE = 30
"""The minute of KRW-BTC that has no candle."""

ACCESS, SECRET = "access", "secret-of-at-least-thirty-two-bytes-length"
DEADLINE_S = 60.0


def small_recording() -> Recording:
    """An hour of KRW-BTC around 131,250,000 with a hole, and forty minutes of KRW-ETH."""
    rows = []
    for market, level in (("KRW-BTC", 131_250_000.0), ("KRW-ETH", 3_300_000.0)):
        for minute in range(MINUTES[market]):
            if (market, minute) != ("KRW-BTC", HOLE):
                opening = level + 1000 * (minute % 7)
                closing = level + 1000 * (minute % 5)
                high, low = max(opening, closing) + 2000, min(opening, closing) - 3000
                rows.append(
                    (market, START_MS + minute * MINUTE_MS, opening, high, low, closing, round(0.5 + minute / 100, 2))
                )
    return recording_of("small", "candles", pl.DataFrame(rows, schema=CANDLE_COLUMNS, orient="row"), "a test")


def config_in(folder: Path, **changes: Any) -> SimulatorConfig:
    values: dict[str, Any] = {
        "folder": folder,
        "recording": "candles",
        "start_ms": START_MS,
        "speed": 600.0,
        "access_key": ACCESS,
        "secret_key": SECRET,
        "is_held": True,
    }
    return SimulatorConfig(**values | changes)


@dataclass(frozen=True)
class Simulator:
    """A running one, and how to talk to it."""

    url: str
    http: aiohttp.ClientSession
    stop: asyncio.Event

    async def get(self, path: str, **params: Any) -> tuple[int, Any]:
        async with self.http.get(self.url + path, params=params) as answer:
            return answer.status, await answer.json()

    async def signed(
        self, method: str, path: str, body: dict[str, str] | None = None, query: str = ""
    ) -> tuple[int, Any]:
        """Send a private request, its parameters hashed as the official client does."""
        text = query or "&".join(f"{name}={value}" for name, value in (body or {}).items())
        url = self.url + path + (f"?{query}" if query else "")
        async with self.http.request(method, url, json=body, headers=self.token(text)) as answer:
            return answer.status, await answer.json()

    def token(self, text: str) -> dict[str, str]:
        """Give the header that signs a request whose parameters are `text`."""
        claims = {"access_key": ACCESS, "nonce": str(uuid.uuid4())}
        if text:
            claims |= {"query_hash": hashlib.sha512(text.encode()).hexdigest(), "query_hash_alg": "SHA512"}
        return {"Authorization": "Bearer " + jwt.encode(claims, SECRET, algorithm="HS256")}

    async def clock(self, *, run: bool) -> int:
        async with self.http.post(self.url + "/control/clock", json={"run": run}) as answer:
            return int((await answer.json())["market_ms"])

    async def until(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Ask for the status until it is as wanted."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                _, status = await self.get("/control/status")
                if condition(status):
                    return status
                await asyncio.sleep(0.005)

    async def subscribe(self, *parts: dict[str, Any]) -> aiohttp.ClientWebSocketResponse:
        socket = await self.http.ws_connect(self.url + "/websocket/v1", headers={"User-Agent": "test/1"})
        await socket.send_json([{"ticket": "t"}, *parts])
        return socket


@asynccontextmanager
async def running(config: SimulatorConfig) -> AsyncIterator[Simulator]:
    """Run a simulator for the time of the block; it is stopped as by a signal."""
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    recording = small_recording() if config.recording == "candles" else None
    if config.recording == SEEDED:
        GeneratedDays("KRW-BTC", 0).day(START_MS)  # where nothing is compiled yet that takes longer than DEADLINE_S
    served = asyncio.create_task(serve(config, url.set_result, stop, recording))
    await asyncio.wait([served, url], return_when=asyncio.FIRST_COMPLETED, timeout=DEADLINE_S)
    if served.done():
        served.result()
    sockets: list[aiohttp.ClientWebSocketResponse] = []

    class Socket(aiohttp.ClientWebSocketResponse):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            sockets.append(self)

    async with aiohttp.ClientSession(ws_response_class=Socket) as http:
        try:
            yield Simulator(url.result(), http, stop)
        finally:
            stop.set()
            await asyncio.wait_for(asyncio.gather(served, *(socket.close() for socket in sockets)), DEADLINE_S)
