"""Budgets in one file per group: shared by processes, right after deaths, reboots and damage."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import FixedClock
from tickloop.adapters.local.clock import SystemClock
from tickloop.adapters.upbit.budget import CANCEL_ALL, ORDER, Budget, GroupLimit


def sender(path: Path, begin: Event, count: int, times: Path) -> None:
    budget = Budget(SystemClock(), ORDER, path)
    begin.wait(10)
    sent = []
    for _ in range(count):
        budget.wait()
        sent.append(time.monotonic())
    times.write_text("\n".join(map(repr, sent)))


def test_two_processes_together_send_no_more_than_one_may(tmp_path: Path) -> None:
    """In no second of both together more than the limit, and nearly as much as it allows."""
    context = multiprocessing.get_context("fork")
    begin = context.Event()
    files = [tmp_path / name for name in "ab"]
    senders = [context.Process(target=sender, args=(tmp_path / "order", begin, 12, file)) for file in files]
    for process in senders:
        process.start()
    begin.set()
    for process in senders:
        process.join(30)

    sent = sorted(float(text) for file in files for text in file.read_text().split())
    assert len(sent) == 24
    # Each was counted a little before it was noted here, so a second is measured a little shorter.
    assert all(later - earlier > 0.99 for earlier, later in zip(sent, sent[ORDER.count :], strict=False))
    assert sent[-1] - sent[0] < 4.0


def holder(path: Path, is_held: Event) -> None:
    budget = Budget(SystemClock(), ORDER, path)
    with budget._state():
        is_held.set()
        signal.pause()


def test_process_that_dies_with_the_file_blocks_nobody(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    is_held = context.Event()
    process = context.Process(target=holder, args=(tmp_path / "order", is_held))
    process.start()
    assert is_held.wait(10)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(10)

    budget = Budget(SystemClock(), ORDER, tmp_path / "order")
    budget.wait()
    budget.close()


def turning(clock: FixedClock) -> Budget:
    return Budget(clock, ORDER, None, lambda seconds: clock.advance(max(1, round(seconds * 1000))))


def test_lock_out_holds_for_all_and_ends(tmp_path: Path) -> None:
    """A block that one process was told of keeps another from sending until it is over."""
    clock = FixedClock()
    told = Budget(clock, ORDER, tmp_path / "order")
    other = Budget(clock, ORDER, tmp_path / "order", lambda seconds: clock.advance(max(1, round(seconds * 1000))))

    told.block(60.0)
    other.wait()

    assert clock.elapsed_s() >= 60.0
    told.close()
    other.close()


@given(st.binary(max_size=600))
def test_damaged_file_counts_as_nothing_sent(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("budget") / "order"
    path.write_bytes(content)
    pauses: list[float] = []

    budget = Budget(FixedClock(), ORDER, path, pauses.append)
    budget.wait()
    budget.close()

    assert pauses == []


def test_times_of_an_earlier_boot_are_forgotten(tmp_path: Path) -> None:
    """After a reboot monotonic time begins again: what was sent "in the future" says nothing."""
    late, early = FixedClock(), FixedClock()
    late.advance(10_000_000_000)
    before = Budget(late, ORDER, tmp_path / "order")
    for _ in range(ORDER.count):
        before.wait()
    before.block(30.0)
    pauses: list[float] = []

    after = Budget(early, ORDER, tmp_path / "order", pauses.append)
    after.wait()

    assert pauses == []
    before.close()
    after.close()


def test_header_that_allows_more_is_believed() -> None:
    """12 a second since 2026-08-21: the exchange says so by what it has left."""
    clock = FixedClock()
    budget = turning(clock)
    budget.learn("group=order; min=720; sec=11")

    for _ in range(12):
        budget.wait()

    assert clock.elapsed_s() == 0.0
    budget.wait()
    assert clock.elapsed_s() > 0.9


def test_exhausted_group_waits_its_own_time() -> None:
    clock = FixedClock()
    budget = Budget(clock, CANCEL_ALL, None, lambda seconds: clock.advance(max(1, round(seconds * 1000))))

    budget.wait()
    budget.wait()

    assert 2.0 <= clock.elapsed_s() < 2.2


@pytest.mark.parametrize("header", [None, "", "nonsense", "group=candles", "group=candles; min=600; sec=x"])
def test_missing_or_strange_header_changes_nothing(header: str | None) -> None:
    clock = FixedClock()
    budget = Budget(clock, GroupLimit(10))
    budget.learn(header)

    for _ in range(10):
        budget.wait()

    assert clock.elapsed_s() == 0.0
