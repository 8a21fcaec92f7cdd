"""The owner of the market clock."""

from __future__ import annotations

from pathlib import Path

import pytest

from tickloop.domain.marketclock import decode_anchor
from tickloop.errors import DataError, OperatorError
from tickloop.simulator.clock import LEASE_NS, MarketClock

START_MS = 1_772_600_400_000
END_MS = START_MS + 3_600_000
SECOND_NS = 1_000_000_000


class Machine:
    """A monotonic clock that moves when told to."""

    def __init__(self, now_ns: int = 50 * SECOND_NS) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        return self.now_ns


def clock_in(folder: Path, machine: Machine, speed: float = 60.0) -> MarketClock:
    return MarketClock(folder / "clock.json", START_MS, (START_MS, END_MS), speed, machine)


def run_for(clock: MarketClock, machine: Machine, seconds: float) -> None:
    """Let the machine run, the lease renewed every quarter of a second."""
    for _ in range(int(seconds * 4)):
        machine.now_ns += SECOND_NS // 4
        clock.renew()


def seen_by_others(folder: Path, machine: Machine) -> int:
    return decode_anchor((folder / "clock.json").read_bytes()).at(machine.now_ns) // 1_000_000


def test_new_clock_stands_at_the_start_until_it_runs(tmp_path: Path) -> None:
    """Ten real seconds at 60 times are ten market minutes."""
    machine = Machine()
    clock = clock_in(tmp_path, machine)
    machine.now_ns += 5 * SECOND_NS
    stood_at = clock.now_ms()

    clock.run()
    run_for(clock, machine, 10)

    assert (stood_at, clock.now_ms()) == (START_MS, START_MS + 600_000)
    assert seen_by_others(tmp_path, machine) == START_MS + 600_000


def test_no_reader_passes_the_moment_at_which_the_clock_is_held(tmp_path: Path) -> None:
    """A reader with the old anchor is not ahead of the new one."""
    machine = Machine()
    clock = clock_in(tmp_path, machine)
    clock.run()
    run_for(clock, machine, 1)
    before = seen_by_others(tmp_path, machine)

    clock.hold()
    held = clock.now_ms()
    machine.now_ns += 30 * SECOND_NS

    assert before < held < before + 1_000
    assert seen_by_others(tmp_path, machine) == held == clock.now_ms()


def test_clock_of_a_dead_owner_stands_at_the_end_of_its_lease_and_the_next_owner_goes_on_there(tmp_path: Path) -> None:
    """Market time never runs on without a market behind it, and never goes back."""
    machine = Machine()
    clock = clock_in(tmp_path, machine)
    clock.run()
    machine.now_ns += 100 * SECOND_NS

    seen = seen_by_others(tmp_path, machine)
    successor = clock_in(tmp_path, machine, speed=1.0)

    assert seen == START_MS + 60 * LEASE_NS // 1_000_000
    assert (successor.now_ms(), successor.is_running) == (seen, False)
    assert successor.unserved_since_ms < START_MS


def test_clock_stops_for_good_where_the_recording_ends(tmp_path: Path) -> None:
    """No reader ever sees a later time, and it cannot be started again."""
    machine = Machine()
    clock = clock_in(tmp_path, machine)
    clock.run()
    run_for(clock, machine, 59.75)
    machine.now_ns += SECOND_NS
    seen = seen_by_others(tmp_path, machine)
    clock.renew()
    clock.run()

    assert seen == END_MS
    assert (clock.now_ms(), clock.is_running, clock.is_ended) == (END_MS, False, True)


def test_budget_time_runs_while_the_clock_is_held(tmp_path: Path) -> None:
    """A back-fill before the start would otherwise wait for ever."""
    machine = Machine()
    clock = clock_in(tmp_path, machine)
    before = clock.elapsed_s()

    machine.now_ns += SECOND_NS

    assert clock.elapsed_s() - before == 60.0
    assert clock.now_ms() == START_MS


def test_file_that_is_no_clock_and_time_outside_the_recording_are_refused(tmp_path: Path) -> None:
    """The message names the file."""
    (tmp_path / "clock.json").write_text("{")
    with pytest.raises(DataError, match=r"clock\.json is not a market clock"):
        clock_in(tmp_path, Machine())

    (tmp_path / "clock.json").unlink()
    clock_in(tmp_path, Machine())
    with pytest.raises(OperatorError, match="outside the recording"):
        MarketClock(tmp_path / "clock.json", 0, (0, START_MS - 1), 60.0, Machine())
