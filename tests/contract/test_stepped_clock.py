"""The stepped clock, simulator and client together: what was told is dealt with before time goes on, and repeats."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fakes import START_MS
from simulated_exchange import ACCESS_KEY, SECRET_KEY, RunningSimulator, running_simulator
from tickloop.adapters.local.clock import SharedClock, SteppedClock, acknowledger
from tickloop.adapters.upbit.broker import UpbitBroker
from tickloop.adapters.upbit.feed import UpbitFeed
from tickloop.domain.market import Side
from tickloop.ports import Frame, OrderRequest

NAME = "tickloop/test"
DEADLINE_S = 20.0


@contextmanager
def stepped(folder: Path) -> Iterator[RunningSimulator]:
    with running_simulator(folder, is_stepped=True) as simulator:
        yield simulator


def control(simulator: RunningSimulator, path: str, **body: Any) -> tuple[int, Any]:
    data = json.dumps(body).encode()
    request = urllib.request.Request(simulator.rest_url + path, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.load(refusal)


async def traded(simulator: RunningSimulator, steps: int) -> tuple[list[bytes], list[str]]:
    """Follow the market for some steps and buy at every fifth trade; give all frames and the orders as told."""
    clock = SteppedClock(simulator.clock_path, NAME, acknowledger(simulator.rest_url))
    feed = UpbitFeed(simulator.websocket_url, ["KRW-BTC", "KRW-ETH"], ["trade"], clock, user_agent=NAME)
    frames: list[bytes] = []
    orders: list[str] = []

    async def follow() -> None:
        async with (
            aclosing(feed.frames()) as items,
            UpbitBroker(simulator.rest_url, ACCESS_KEY, SECRET_KEY, clock) as broker,
        ):
            async for item in items:
                if isinstance(item, Frame):
                    frames.append(item.raw)
                    if len(frames) % 5 == 0:
                        name = f"step-{len(frames)}"
                        orders.append(
                            repr(await broker.place(OrderRequest(name, "KRW-BTC", Side.BUY, krw=Decimal(6_000))))
                        )
                        orders.append(repr(await broker.find(name)))

    following = asyncio.create_task(follow())
    async with asyncio.timeout(DEADLINE_S):
        while len(frames) < 2:  # the snapshots of both markets: it is subscribed
            await asyncio.sleep(0.005)
        for _ in range(steps):
            code, answer = await asyncio.to_thread(control, simulator, "/control/step", events=1)
            assert code == 200, answer
    following.cancel()
    await asyncio.wait([following])
    return frames, orders


def test_the_same_seed_and_requests_give_the_same_bytes(tmp_path: Path) -> None:
    """Frames, order ids, fills and times of two runs, each with orders in between."""
    runs = []
    for number in range(2):
        with stepped(tmp_path / str(number)) as simulator:
            runs.append(asyncio.run(traded(simulator, 40)))

    assert runs[0] == runs[1]
    assert len(runs[0][0]) > 20
    assert runs[0][1]


def test_time_stands_between_steps_and_moves_to_the_asked_moment(tmp_path: Path) -> None:
    with stepped(tmp_path) as simulator:
        clock = SharedClock(simulator.clock_path)
        before = clock.now_ms()
        code, answer = control(simulator, "/control/step", until_ms=START_MS + 60_000)

        assert before == START_MS
        assert (code, answer["market_ms"]) == (200, START_MS + 60_000)
        assert clock.now_ms() == START_MS + 60_000
        assert clock.real_seconds_until(START_MS + 60_001) == float("inf")


def test_program_that_does_not_acknowledge_is_named(tmp_path: Path) -> None:
    """It registered and then reads nothing: the step ends with its name instead of for ever."""

    async def silent(simulator: RunningSimulator) -> tuple[int, Any]:
        clock = SharedClock(simulator.clock_path)
        feed = UpbitFeed(simulator.websocket_url, ["KRW-BTC"], ["trade"], clock, user_agent=NAME)
        async with aclosing(feed.frames()) as items:
            async for item in items:
                if isinstance(item, Frame):
                    break
            acknowledger(simulator.rest_url)(NAME, 0)
            return await asyncio.to_thread(control, simulator, "/control/step", until_ms=START_MS + 60_000)

    with running_simulator(tmp_path, is_stepped=True, step_deadline_s=0.2) as simulator:
        code, answer = asyncio.run(silent(simulator))

    assert code == 504
    assert NAME in answer["error"]["message"]


@pytest.mark.parametrize("body", [{"events": 0}, {"steps": 1}, {"events": "x"}])
def test_step_that_cannot_be_is_refused(tmp_path: Path, body: dict[str, Any]) -> None:
    with stepped(tmp_path) as simulator:
        code, answer = control(simulator, "/control/step", **body)

    assert code == 400
    assert "valid: " in answer["error"]["message"]


def test_running_clock_is_not_stepped(tmp_path: Path) -> None:
    with running_simulator(tmp_path) as simulator:
        code, answer = control(simulator, "/control/step", events=1)

    assert (code, answer["error"]["name"]) == (400, "invalid_parameter")
