"""The stepped clock, simulator and client together: what was told is dealt with before time goes on, and repeats."""

from __future__ import annotations

import asyncio
import json
import queue
import time
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
from tickloop.adapters.upbit.auth import Credentials
from tickloop.adapters.upbit.broker import UpbitBroker
from tickloop.adapters.upbit.feed import UpbitFeed
from tickloop.adapters.upbit.private_feed import UpbitPrivateFeed
from tickloop.domain.market import Side
from tickloop.domain.orders import Intent, Order
from tickloop.domain.purse import Purse
from tickloop.errors import OperatorError
from tickloop.ports import Frame, OrderRequest
from tickloop.services.order_path import OrderPath
from trading_fakes import MemoryOrderLog

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


# --- what is finished ---------------------------------------------------------------------------------------------


class Told:
    """Stands for the simulator: what it was told, and what it answers."""

    def __init__(self, *answers: Exception) -> None:
        self._answers = list(answers)
        self.frames: queue.Queue[int] = queue.Queue()

    def __call__(self, name: str, frames: int) -> None:
        self.frames.put(frames)
        if self._answers:
            raise self._answers.pop(0)

    def next(self) -> int:
        return self.frames.get(timeout=DEADLINE_S)


def clock_telling(folder: Path, told: Told) -> SteppedClock:
    anchor = {"market_ns": START_MS * 1_000_000, "mono_ns": 0, "speed": 1.0, "is_running": False, "lease_ns": 0}
    (folder / "clock.json").write_text(json.dumps(anchor))
    return SteppedClock(folder / "clock.json", NAME, told)


def test_message_is_finished_when_nothing_that_follows_from_it_is_under_way(tmp_path: Path) -> None:
    """An order goes out by itself while the feed asks for more."""
    told = Told()
    clock = clock_telling(tmp_path, told)
    assert told.next() == 0

    first, second = clock.under_way(), clock.under_way()
    clock.finished(2)
    first()
    assert told.frames.empty()
    clock.finished(1)
    second()

    assert told.next() == 3


def test_simulator_that_does_not_answer_is_told_again(tmp_path: Path) -> None:
    """A program may be there before it, and outlive it."""
    told = Told(ConnectionRefusedError(), TimeoutError())
    clock = clock_telling(tmp_path, told)

    assert [told.next() for _ in range(3)] == [0, 0, 0]
    clock.finished(1)
    assert told.next() == 1


def test_simulator_whose_clock_runs_by_itself_is_an_error_of_the_settings(tmp_path: Path) -> None:
    """Said to the program at its next message, with what would be valid."""

    def go_on(clock: SteppedClock) -> None:
        until = time.monotonic() + DEADLINE_S
        while time.monotonic() < until:
            clock.finished(1)

    with running_simulator(tmp_path) as simulator:
        clock = SteppedClock(simulator.clock_path, NAME, acknowledger(simulator.rest_url))
        with pytest.raises(OperatorError, match="valid: a simulator with --stepped"):
            go_on(clock)


# --- a program under test -----------------------------------------------------------------------------------------


async def bought(simulator: RunningSimulator, steps: int) -> list[tuple[str, int]]:
    """Send an order by the bot's own path at every fourth message; give each change with the messages seen by then."""
    clock = SteppedClock(simulator.clock_path, NAME, acknowledger(simulator.rest_url))
    feed = UpbitFeed(simulator.websocket_url, ["KRW-BTC"], ["trade"], clock, user_agent=NAME)
    changes: list[tuple[str, int]] = []
    seen = 0

    def note(order: Order) -> None:
        changes.append((repr(order), seen))

    async def follow() -> None:
        nonlocal seen
        async with (
            aclosing(feed.frames()) as items,
            UpbitBroker(simulator.rest_url, ACCESS_KEY, SECRET_KEY, clock) as broker,
        ):
            path = OrderPath(broker, MemoryOrderLog(), Purse(Decimal(900_000)), clock, note)
            async for item in items:
                if isinstance(item, Frame):
                    seen += 1
                    if seen % 4 == 0:
                        path.submit(
                            Intent(
                                f"tl-t-{seen}", "KRW-BTC", Side.BUY, Decimal(6_000), Decimal(6_003), clock.now_ms(), 5e7
                            )
                        )

    following = asyncio.create_task(follow())
    async with asyncio.timeout(DEADLINE_S):
        while not seen:  # the snapshot: it is subscribed
            await asyncio.sleep(0.005)
        for _ in range(steps):
            code, answer = await asyncio.to_thread(control, simulator, "/control/step", events=1)
            assert code == 200, answer
    following.cancel()
    await asyncio.wait([following])
    return changes


def test_market_stands_until_orders_that_were_decided_have_ended(tmp_path: Path) -> None:
    """An order's end is known before the next message comes, every time: with it the next decision is the same."""
    runs = []
    for number in range(2):
        with stepped(tmp_path / str(number)) as simulator:
            runs.append(asyncio.run(bought(simulator, 40)))

    assert runs[0] == runs[1]
    assert len(runs[0]) >= 9
    assert all(seen % 4 == 0 for _, seen in runs[0])


def test_lost_connection_does_not_leave_the_market_waiting(tmp_path: Path) -> None:
    """The program comes back, and time goes on with it."""

    async def broken(simulator: RunningSimulator) -> list[int]:
        clock = SteppedClock(simulator.clock_path, NAME, acknowledger(simulator.rest_url))
        feed = UpbitFeed(simulator.websocket_url, ["KRW-BTC"], ["trade"], clock, user_agent=NAME, first_delay_s=0.01)
        connections, frames = 0, 0

        async def follow() -> None:
            nonlocal connections, frames
            async with aclosing(feed.frames()) as items:
                async for item in items:
                    frames += isinstance(item, Frame)
                    connections += not isinstance(item, Frame)

        codes = []
        following = asyncio.create_task(follow())
        async with asyncio.timeout(DEADLINE_S):
            for broken_so_far in range(3):
                while connections <= broken_so_far:
                    await asyncio.sleep(0.005)
                codes.append((await asyncio.to_thread(control, simulator, "/control/step", events=20))[0])
                codes.append((await asyncio.to_thread(control, simulator, "/control/drop"))[0])
        following.cancel()
        await asyncio.wait([following])
        assert frames > 20
        return codes

    with stepped(tmp_path) as simulator:
        assert asyncio.run(broken(simulator)) == [200] * 6


def test_both_sockets_of_a_program_are_waited_for(tmp_path: Path) -> None:
    """It finishes with what it hears of its own orders, too, before time goes on."""

    async def heard(simulator: RunningSimulator) -> tuple[list[bytes], list[bytes]]:
        clock = SteppedClock(simulator.clock_path, NAME, acknowledger(simulator.rest_url))
        public = UpbitFeed(simulator.websocket_url, ["KRW-BTC"], ["trade"], clock, user_agent=NAME)
        keys = Credentials(ACCESS_KEY, SECRET_KEY)
        private = UpbitPrivateFeed(simulator.websocket_url, keys, ["myOrder", "myAsset"], clock, user_agent=NAME)
        told: tuple[list[bytes], list[bytes]] = ([], [])
        up = [False, False]

        async def follow(number: int, feed: UpbitFeed | UpbitPrivateFeed) -> None:
            async with aclosing(feed.frames()) as items:
                async for item in items:
                    up[number] = True
                    if isinstance(item, Frame):
                        told[number].append(item.raw)

        following = [asyncio.create_task(follow(number, feed)) for number, feed in enumerate((public, private))]
        async with (
            asyncio.timeout(DEADLINE_S),
            UpbitBroker(simulator.rest_url, ACCESS_KEY, SECRET_KEY, clock) as broker,
        ):
            while not all(up):
                await asyncio.sleep(0.005)
            for number in range(4):
                code, answer = await asyncio.to_thread(control, simulator, "/control/step", events=5)
                assert code == 200, answer
                await broker.place(OrderRequest(f"both-{number}", "KRW-BTC", Side.BUY, krw=Decimal(6_000)))
            code, answer = await asyncio.to_thread(control, simulator, "/control/step", events=1)
            assert code == 200, answer
            counted = [len(one) for one in told]  # finished with when the step was answered
            code, answer = await asyncio.to_thread(control, simulator, "/control/step", until_ms=clock.now_ms())
        assert [len(one) for one in told] == counted
        for task in following:
            task.cancel()
        await asyncio.wait(following)
        return told

    with stepped(tmp_path) as simulator:
        _, own = asyncio.run(heard(simulator))

    assert sum(b'"state":"trade"' in one for one in own) == 4
