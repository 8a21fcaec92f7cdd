"""Every clock: market time does not go back, budgets run on, and waiting times say when."""

import time
from pathlib import Path

import pytest

from fakes import FixedClock
from tickloop.adapters.local.clock import SharedClock, SteppedClock, SystemClock
from tickloop.domain.marketclock import ClockAnchor
from tickloop.errors import OperatorError
from tickloop.ports import Clock

MARKET_NS = 1_705_881_600_000_000_000
LEASE_NS = 3_600_000_000_000


def write(path: Path, **changes: object) -> None:
    now = time.monotonic_ns()
    values = {"market_ns": MARKET_NS, "mono_ns": now, "speed": 60.0, "is_running": True, "lease_ns": now + LEASE_NS}
    part = path.with_suffix(".part")
    part.write_bytes(ClockAnchor(**{**values, **changes}).encode())  # type: ignore[arg-type]
    part.replace(path)


@pytest.fixture(params=["system", "shared", "stepped", "fixed"])
def clock(request: pytest.FixtureRequest, tmp_path: Path) -> Clock:
    if request.param == "system":
        return SystemClock()
    if request.param == "fixed":
        return FixedClock()
    write(tmp_path / "clock.json")
    if request.param == "stepped":
        return SteppedClock(tmp_path / "clock.json", "tickloop/1", lambda name, frames: None)
    return SharedClock(tmp_path / "clock.json")


def test_market_time_and_budget_time_never_go_back(clock: Clock) -> None:
    """Two readings in a row."""
    first, second = (clock.now_ns(), clock.elapsed_s()), (clock.now_ns(), clock.elapsed_s())

    assert second[0] >= first[0]
    assert second[1] >= first[1]


def test_milliseconds_are_those_of_the_nanoseconds(clock: Clock) -> None:
    """The two forms of one time."""
    before, now_ms, after = clock.now_ns(), clock.now_ms(), clock.now_ns()

    assert before // 1_000_000 <= now_ms <= after // 1_000_000


def test_time_that_has_passed_is_not_waited_for(clock: Clock) -> None:
    """And one ahead is, for a time that shrinks as it comes nearer."""
    now_ms = clock.now_ms()

    assert clock.real_seconds_until(now_ms - 1) == 0
    assert 0 < clock.real_seconds_until(now_ms + 60_000) < clock.real_seconds_until(now_ms + 120_000)


def test_what_follows_from_messages_is_noted(clock: Clock) -> None:
    """It changes neither time, and what went on by itself may end after more has come."""
    is_done = clock.under_way()
    clock.finished(3)
    is_done()
    clock.finished(0)

    assert clock.real_seconds_until(clock.now_ms() - 1) == 0


def test_held_clock_stands_while_budgets_run_on(tmp_path: Path) -> None:
    """A back-fill before the start needs its request budget to refill."""
    write(tmp_path / "clock.json", is_running=False)
    clock = SharedClock(tmp_path / "clock.json")
    before = clock.elapsed_s()

    assert clock.now_ns() == clock.now_ns() == MARKET_NS
    assert clock.real_seconds_until(MARKET_NS // 1_000_000 + 1) == float("inf")
    assert clock.elapsed_s() > before


def test_clock_of_a_dead_owner_stands_at_the_end_of_its_lease(tmp_path: Path) -> None:
    """Time without a market behind it would make gaps out of nothing."""
    past = time.monotonic_ns() - 10_000_000_000
    write(tmp_path / "clock.json", mono_ns=past, lease_ns=past + 1_000_000_000)

    clock = SharedClock(tmp_path / "clock.json")

    assert clock.now_ns() == clock.now_ns() == MARKET_NS + 60_000_000_000


def test_anchor_from_before_a_restart_of_the_machine_stands(tmp_path: Path) -> None:
    """Monotonic time begins anew: an anchor in its future says nothing about now."""
    ahead = time.monotonic_ns() + LEASE_NS
    write(tmp_path / "clock.json", mono_ns=ahead, lease_ns=ahead + LEASE_NS)

    assert SharedClock(tmp_path / "clock.json").now_ns() == MARKET_NS


def test_new_anchor_is_seen_at_once(tmp_path: Path) -> None:
    """The owner replaces the file; readers follow."""
    write(tmp_path / "clock.json", is_running=False)
    clock = SharedClock(tmp_path / "clock.json")
    first = clock.now_ms()

    write(tmp_path / "clock.json", is_running=False, market_ns=MARKET_NS + 5_000_000_000)

    assert clock.now_ms() - first == 5_000


def test_missing_clock_is_named(tmp_path: Path) -> None:
    """Without the simulator there is no market time."""
    with pytest.raises(OperatorError, match="start the simulator first"):
        SharedClock(tmp_path / "clock.json")
