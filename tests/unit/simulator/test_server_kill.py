"""A simulator killed in the middle, in a process of its own."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import aiohttp
from running_simulator import MINUTE_MS, START_MS, Simulator, config_in, running

_PROGRAM = """
import asyncio, sys
from pathlib import Path
from running_simulator import START_MS, MINUTE_MS, config_in, small_recording
from tickloop.simulator.server import serve

config = config_in(Path(sys.argv[1]), start_ms=START_MS + MINUTE_MS, is_held=False, speed=60.0)
asyncio.run(serve(config, lambda url: print(url, flush=True), asyncio.Event(), small_recording()))
"""


async def test_killed_simulator_has_every_order_it_answered(tmp_path: Path) -> None:
    """kill -9 right after a 201: the order, its fill and the balances are there, and market time has not gone back."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PROGRAM, str(tmp_path), cwd=Path(__file__).parent, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    url = (await asyncio.wait_for(process.stdout.readline(), 30)).decode().strip()
    async with aiohttp.ClientSession() as http:
        killed = Simulator(url, http, asyncio.Event())
        buy = {"market": "KRW-BTC", "side": "bid", "ord_type": "price", "price": "50000", "identifier": "b-1"}
        status, order = await killed.signed("POST", "/v1/orders", buy)
        process.send_signal(signal.SIGKILL)
        await asyncio.wait_for(process.wait(), 10)

    async with running(config_in(tmp_path)) as simulator:
        _, found = await simulator.signed("GET", "/v1/order", query="identifier=b-1")
        _, accounts = await simulator.signed("GET", "/v1/accounts")
        _, clock = await simulator.get("/control/clock")

    assert (status, found["uuid"], found["state"]) == (201, order["uuid"], "cancel")
    assert accounts[1]["balance"] == found["executed_volume"]
    assert clock["market_ms"] >= START_MS + MINUTE_MS
