"""Budgets in one file per group: shared by processes, right after deaths, reboots and damage."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import FixedClock
from tickloop.adapters.local.clock import SystemClock
from tickloop.adapters.upbit.budget import Budget
from tickloop.adapters.upbit.budget_state import CANCEL_ALL, ORDER, QUOTATION_GROUPS, GroupLimit
from tickloop.simulator.protocol.ratelimit import Limit, RateLimiter

HOUR_S = 3_600.0


def turning(clock: FixedClock, limit: GroupLimit = ORDER, path: Path | None = None) -> Budget:
    """Give a budget whose pauses move the clock."""
    return Budget(clock, limit, path, lambda seconds: clock.advance(max(1, round(seconds * 1000))))


def waited_s(clock: FixedClock, budget: Budget) -> float:
    began = clock.elapsed_s()
    budget.wait()
    return clock.elapsed_s() - began


# --- several processes ------------------------------------------------------------------------------------------

CLIENT = """
import sys
from pathlib import Path
from tickloop.adapters.local.clock import SystemClock
from tickloop.adapters.upbit.public import UpbitPublic

with UpbitPublic(sys.argv[1], SystemClock(), budgets=Path(sys.argv[2])) as public:
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(int(sys.argv[3])):
        public.markets()
"""


class CountingServer(ThreadingHTTPServer):
    """Answers market/all as an exchange that counts by whole seconds, and counts what it refuses."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), CountingHandler)
        self.limiter = RateLimiter()
        self.counting = threading.Lock()
        self.answers: list[tuple[float, int]] = []


class CountingHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: CountingServer

    def do_GET(self) -> None:
        with self.server.counting:
            now = time.monotonic()
            verdict = self.server.limiter.take(Limit("market", 10), "here", now)
            status = 200 if verdict.is_allowed else 429
            self.server.answers.append((now, status))
        body = b"[]"
        self.send_response(status)
        self.send_header("Remaining-Req", verdict.header)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        pass


@contextmanager
def counting_server() -> Iterator[CountingServer]:
    with CountingServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(10)


def test_two_processes_together_stay_within_the_limit(tmp_path: Path) -> None:
    """Two clients of their own programs, one address: an exchange that counts refuses none of them."""
    with counting_server() as server:
        command = [sys.executable, "-c", CLIENT, f"http://127.0.0.1:{server.server_port}", str(tmp_path), "13"]
        clients = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)]
        for client in clients:
            assert client.stdout is not None
            assert client.stdout.readline() == b"ready\n"
        for client in clients:
            client.communicate(b"go\n", timeout=30)

    assert [client.returncode for client in clients] == [0, 0]
    assert [status for _, status in server.answers] == [200] * 26
    times = [at for at, _ in server.answers]
    assert all(later >= earlier for earlier, later in pairwise(times))
    assert times[-1] - times[0] > 2.0


HOLDER = """
import fcntl, os, signal, sys
descriptor = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(descriptor, fcntl.LOCK_EX)
print("held", flush=True)
signal.pause()
"""


def test_process_that_dies_with_the_file_blocks_nobody(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path / "order")], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    holder.kill()
    holder.communicate(timeout=10)

    clock = FixedClock()
    budget = turning(clock, path=tmp_path / "order")
    assert waited_s(clock, budget) == 0.0
    budget.close()


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the file as a process does that was stopped at the wrong moment."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


def test_process_that_was_stopped_with_the_file_blocks_nobody(tmp_path: Path) -> None:
    """What the others send is counted all the same."""
    clock = FixedClock()
    budget = turning(clock, CANCEL_ALL, tmp_path / "all")
    with held(tmp_path / "all"):
        assert waited_s(clock, budget) == 0.0

    assert waited_s(clock, budget) >= 2.0
    budget.close()


async def test_event_loop_runs_on_while_another_process_has_the_file(tmp_path: Path) -> None:
    clock = FixedClock()
    budget = Budget(clock, ORDER, tmp_path / "order")
    rounds = 0

    async def turn() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            await asyncio.sleep(0)

    turning_loop = asyncio.create_task(turn())
    with held(tmp_path / "order"):
        assert await budget.wait_async() == 0.0
    turning_loop.cancel()

    assert rounds > 50
    budget.close()


# --- what a budget lets out -------------------------------------------------------------------------------------


@given(
    gaps_ms=st.lists(st.integers(0, 700), min_size=1, max_size=60),
    phase_ms=st.integers(0, 1_000),
    count=st.sampled_from([1, 2, 8, 10]),
)
def test_no_way_of_counting_refuses_what_a_budget_lets_out(gaps_ms: list[int], phase_ms: int, count: int) -> None:
    """Whole seconds wherever they begin, or a bucket that refills: Upbit has both."""
    clock, limiter = FixedClock(), RateLimiter()
    clock.advance(phase_ms)
    budget = turning(clock, GroupLimit(count))
    for gap_ms in gaps_ms:
        clock.advance(gap_ms)
        budget.wait()
        for limit in (Limit("window", count), Limit("bucket", count, is_bucket=True)):
            assert limiter.take(limit, "here", clock.elapsed_s()).is_allowed


def test_exhausted_group_waits_its_own_time() -> None:
    clock = FixedClock()
    budget = turning(clock, CANCEL_ALL)

    budget.wait()
    assert 2.0 <= waited_s(clock, budget) < 2.2


async def test_request_that_would_wait_too_long_is_not_counted() -> None:
    """An order that would leave a minute late is told so at once."""
    clock = FixedClock()
    budget = turning(clock)
    budget.refused(418, 60.0)

    assert await budget.wait_async(3.0) == 60.0
    clock.advance(60_000)
    for _ in range(ORDER.count):
        assert await budget.wait_async(3.0) == 0.0


# --- what the exchange says -------------------------------------------------------------------------------------


def test_header_that_allows_more_is_believed_until_a_refusal() -> None:
    """12 a second since 2026-08-21: the exchange says so by what it has left."""
    clock = FixedClock()
    budget = turning(clock)
    budget.wait()
    budget.learn("group=order; min=720; sec=11")

    assert [waited_s(clock, budget) for _ in range(11)] == [0.0] * 11
    assert waited_s(clock, budget) > 0.9

    budget.refused(429, 1.0)
    clock.advance(2_000)
    assert [waited_s(clock, budget) for _ in range(8)] == [0.0] * 8
    assert waited_s(clock, budget) > 0.9


def test_requests_of_others_count_when_the_header_shows_them() -> None:
    """Seven of ten are left where we sent one: two are somebody else's."""
    clock = FixedClock()
    budget = turning(clock, QUOTATION_GROUPS["candles"])
    budget.wait()
    budget.learn("group=candles; min=600; sec=7")

    assert [waited_s(clock, budget) for _ in range(7)] == [0.0] * 7
    assert waited_s(clock, budget) > 0.9


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "nonsense",
        "group=candles",
        "group=candles; min=600; sec=x",
        "group=candles; min=600; sec=-1",
        "group=order; min=600; sec=0",
        "group=default; min=1800; sec=29",
        "group=origin; min=6; sec=0",
        "group=candles; sec=" + "9" * 5_000,
    ],
)
def test_header_that_is_missing_strange_or_of_another_group_changes_nothing(header: str | None) -> None:
    clock = FixedClock()
    budget = turning(clock, QUOTATION_GROUPS["candles"])
    budget.learn(header)

    assert [waited_s(clock, budget) for _ in range(10)] == [0.0] * 10
    assert waited_s(clock, budget) > 0.9


def test_lock_out_holds_for_all_and_doubles_when_it_comes_again(tmp_path: Path) -> None:
    """Refusals of what was under way count once; an answer between two lock-outs begins anew."""
    clock = FixedClock()
    told = turning(clock, path=tmp_path / "order")
    other = turning(clock, path=tmp_path / "order")

    told.refused(418, 60.0)
    other.refused(418, 60.0)
    assert 60.0 <= waited_s(clock, other) < 61.0
    other.refused(418, 60.0)
    told.learn("group=order; min=480; sec=7")  # of a request sent before the lock-out
    assert 120.0 <= waited_s(clock, told) < 122.0
    told.refused(418, 60.0)
    assert 240.0 <= waited_s(clock, other) < 243.0
    other.learn(None)
    told.refused(418, 60.0)
    assert 60.0 <= waited_s(clock, other) < 61.0
    told.close()
    other.close()


def test_lock_out_grows_to_an_hour_but_the_exchange_may_ask_for_more(tmp_path: Path) -> None:
    clock = FixedClock()
    budget = turning(clock, path=tmp_path / "order")
    for _ in range(20):
        budget.refused(418, 60.0)
        longest_s = waited_s(clock, budget)

    assert HOUR_S <= longest_s < HOUR_S + 2
    budget.learn(None)
    budget.refused(418, 3 * HOUR_S)
    assert 3 * HOUR_S <= waited_s(clock, budget) < 3 * HOUR_S + 2
    budget.close()


# --- the file ---------------------------------------------------------------------------------------------------


@given(st.binary(max_size=800))
def test_damaged_file_counts_as_nothing_sent_and_is_replaced(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("budget") / "all"
    path.write_bytes(content)
    clock = FixedClock()

    first, second = turning(clock, CANCEL_ALL, path), turning(clock, CANCEL_ALL, path)
    assert waited_s(clock, first) == 0.0
    assert waited_s(clock, second) >= 2.0

    first.close()
    second.close()


@given(position=st.integers(0, 545), bit=st.integers(0, 7))
def test_any_torn_bit_counts_as_nothing_sent(tmp_path_factory: pytest.TempPathFactory, position: int, bit: int) -> None:
    path = tmp_path_factory.mktemp("budget") / "order"
    clock = FixedClock()
    budget = turning(clock, path=path)
    budget.refused(418, 60.0)
    content = bytearray(path.read_bytes())
    content[position % len(content)] ^= 1 << bit
    path.write_bytes(content)

    assert waited_s(clock, budget) == 0.0
    budget.close()


def test_times_of_an_earlier_boot_are_forgotten(tmp_path: Path) -> None:
    """After a reboot monotonic time begins again: what was sent or blocked "in the future" says nothing."""
    late, early = FixedClock(), FixedClock()
    late.advance(1_000_000)
    early.advance(5_000)
    before = turning(late, path=tmp_path / "order")
    for _ in range(ORDER.count):
        before.wait()
    before.refused(418, 30.0)

    after = turning(early, path=tmp_path / "order")

    assert waited_s(early, after) == 0.0
    before.close()
    after.close()


def test_file_that_cannot_be_made_leaves_a_count_of_our_own(tmp_path: Path) -> None:
    """A disk in trouble must not stop requests, nor let too many out."""
    (tmp_path / "file").write_bytes(b"")
    clock = FixedClock()
    budget = turning(clock, CANCEL_ALL, tmp_path / "file" / "all")

    assert waited_s(clock, budget) == 0.0
    assert waited_s(clock, budget) >= 2.0


@pytest.mark.parametrize("failing", ["pwrite", "pread"])
def test_disk_that_fails_later_leaves_a_count_of_our_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    clock = FixedClock()
    budget = turning(clock, CANCEL_ALL, tmp_path / "all")

    def fail(*_args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, failing, fail)

    assert waited_s(clock, budget) == 0.0
    assert waited_s(clock, budget) >= 2.0


def test_threads_of_a_process_share_a_budget(tmp_path: Path) -> None:
    """As many as fit, and not one more, whoever comes first."""
    budget = Budget(SystemClock(), GroupLimit(40, HOUR_S), tmp_path / "group")
    begin = threading.Barrier(8)
    counted: list[float] = []

    def send() -> None:
        begin.wait(10)
        counted.extend(asyncio.run(budget.wait_async(0.0)) for _ in range(10))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert counted.count(0.0) == 40
    assert len(counted) == 80
    budget.close()
