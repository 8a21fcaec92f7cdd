"""Delivery: all of the journal, at least once, whatever fails on the way; waits are counted, not slept."""

from __future__ import annotations

from pathlib import Path
from threading import Event

import pytest

from fakes import START_MS, FixedClock
from shipping import MemorySink, trade_line
from tickloop.adapters.local.dead_letter import DeadAllowance, DeadLetter
from tickloop.adapters.local.journal_follow import JournalFollower
from tickloop.adapters.local.segments import OpenSegment
from tickloop.adapters.local.ship_positions import ShipPositions
from tickloop.adapters.local.ship_refusals import ShipDeadLetter
from tickloop.errors import DiskFullError, StoreAwayError, StoreError
from tickloop.ports import RefusedLine
from tickloop.services.ship import LOOK_S, MOST_PAUSE_S, ONCE_ATTEMPTS, Shipped, pause_s, ship

LINES = [trade_line(number) for number in range(1, 8)]
BAD = b"no json at all\n"


class Run:
    """One shipper on a journal of one segment; `waits` holds each wait, and the last of `script` sets the stop."""

    def __init__(self, folder: Path, data: bytes, most_lines: int = 100, most_dead_bytes: int = 10_000) -> None:
        segment = OpenSegment(folder / "journal", "collector", START_MS * 1_000_000)
        segment.write(data)
        segment.close()
        self.path, self.dead_folder = segment.path, folder / "dead"
        self.positions = ShipPositions(folder / "ship", "here")
        self.source = JournalFollower(folder / "journal", self.positions, most_lines=most_lines)
        self.dead = ShipDeadLetter(self.dead_folder, FixedClock(), DeadAllowance(most_dead_bytes))
        self.sink = MemorySink()
        self.waits: list[float] = []
        self.reports: list[tuple[str, int]] = []

    def ship(self, *, once: bool = False, most_waits: int = 1) -> Shipped:
        def wait(seconds: float) -> bool:
            self.waits.append(seconds)
            return len(self.waits) >= most_waits

        def report(state: Shipped) -> None:
            self.reports.append((state.trouble, state.behind_bytes))

        return ship(self.source, self.sink, self.dead, report, Event(), once=once, wait=wait, chance=lambda: 0.5)

    def dead_lines(self) -> list[tuple[str, int, bytes]]:
        found = [line for path in sorted(self.dead_folder.glob("*.jsonl")) for line in DeadLetter(path).read()]
        return [(line.origin, line.position, line.content) for line in found]


def test_once_delivers_all_that_is_there_and_ends(tmp_path: Path) -> None:
    """Full batches follow each other without a wait."""
    run = Run(tmp_path, b"".join(LINES), most_lines=2)

    state = run.ship(once=True)

    assert (state.delivered, state.known, state.refused, state.behind_bytes) == (7, 0, 0, 0)
    assert run.sink.calls == [2, 2, 2, 1]
    assert run.waits == []


def test_looks_again_after_a_short_while(tmp_path: Path) -> None:
    """A line waits a second for others, no longer."""
    run = Run(tmp_path, LINES[0])

    state = run.ship(most_waits=3)

    assert run.waits == [LOOK_S, LOOK_S, LOOK_S]
    assert state.delivered == 1


def test_sink_that_is_away_is_waited_for_and_gets_everything(tmp_path: Path) -> None:
    """Half of a batch was stored when the answer was lost: it is known then, and counts once."""
    run = Run(tmp_path, b"".join(LINES))
    run.sink.troubles = [StoreAwayError("opensearch is away")] * 3

    state = run.ship(most_waits=4)

    assert run.waits == [0.375, 0.75, 1.5, LOOK_S]
    assert (state.delivered, state.known, state.troubles, state.trouble) == (4, 3, 3, "")
    assert len(run.sink.stored) == 7
    assert [trouble for trouble, _ in run.reports] == ["opensearch is away"] * 3 + [""]


def test_sink_that_refuses_us_is_waited_for_too(tmp_path: Path) -> None:
    """Credentials are mended without a restart; until then nothing is forgotten and the status says why."""
    run = Run(tmp_path, LINES[0])
    run.sink.troubles = [StoreError("opensearch.password is wrong")]

    state = run.ship(most_waits=2)

    assert state.delivered == 1
    assert run.reports[0] == ("opensearch.password is wrong", len(LINES[0]))


def test_pauses_grow_to_a_cap_with_a_random_part() -> None:
    """So that many shippers do not come back at once."""
    assert [pause_s(failures, 0.0) for failures in (1, 2, 3, 7, 8, 5_000)] == [0.25, 0.5, 1.0, 15.0, 15.0, 15.0]
    assert pause_s(5_000, 0.999) == pytest.approx(MOST_PAUSE_S, rel=1e-3)


@pytest.mark.parametrize(("trouble", "attempts"), [(StoreAwayError, ONCE_ATTEMPTS), (StoreError, 1)])
def test_once_gives_up_in_the_end(tmp_path: Path, trouble: type[StoreError], attempts: int) -> None:
    """What a little waiting cannot mend is raised at once."""
    run = Run(tmp_path, LINES[0])
    run.sink.troubles = [trouble("no")] * 50

    with pytest.raises(trouble):
        run.ship(once=True, most_waits=100)

    assert len(run.sink.calls) == attempts
    assert run.positions.load() == {}


def test_refused_lines_go_to_the_dead_letter_and_the_others_on(tmp_path: Path) -> None:
    """With their place in the journal and their bytes."""
    run = Run(tmp_path, LINES[0] + BAD + LINES[1])

    state = run.ship(once=True)

    assert (state.delivered, state.refused, state.left_out) == (2, 1, 0)
    assert run.dead_lines() == [(f"ship:{run.path.name}", len(LINES[0]), BAD.rstrip())]


def test_line_that_is_refused_twice_is_kept_once(tmp_path: Path) -> None:
    """The process died between the dead letter and its positions."""
    run = Run(tmp_path, BAD + LINES[0])
    batch = run.source.next_batch()
    refused = [RefusedLine(batch.places[0], "no JSON", batch.lines[0])]

    run.dead.keep(refused)
    state = run.ship(once=True)

    assert state.refused == 1
    assert len(run.dead_lines()) == 1


def test_dead_letters_are_bounded(tmp_path: Path) -> None:
    """A sink that refuses everything must not fill the disk: what is left out is counted, and in the journal."""
    run = Run(tmp_path, BAD * 10, most_dead_bytes=3 * len(BAD))

    state = run.ship(once=True)

    assert (state.refused, state.left_out) == (10, 7)
    assert len(run.dead_lines()) == 3


class FullDisk:
    """Has no room for dead letters, so many times."""

    def __init__(self, times: int) -> None:
        self.times = times

    def keep(self, refused: list[RefusedLine]) -> int:
        self.times -= 1
        if self.times >= 0:
            raise DiskFullError("dead is full")
        return 0


def test_full_disk_is_waited_for(tmp_path: Path) -> None:
    """A batch is not remembered before its dead letters are safe."""
    run = Run(tmp_path, LINES[0] + BAD)
    run.dead = FullDisk(2)  # type: ignore[assignment]

    state = run.ship(most_waits=3)

    assert (state.delivered, state.known, state.refused, state.troubles) == (0, 1, 1, 2)
    assert len(run.sink.stored) == 1


def test_new_fields_are_counted(tmp_path: Path) -> None:
    """Drift is told by the sink."""
    run = Run(tmp_path, LINES[0] + trade_line(8, new_field="x") + trade_line(9, new_field="y"))

    assert run.ship(once=True).drift == {"new_field": 2}


def test_stop_ends_a_long_backlog_between_two_batches(tmp_path: Path) -> None:
    """Full batches do not wait, so the stop is looked at before each."""
    run = Run(tmp_path, b"".join(LINES), most_lines=1)
    stop = Event()

    class Stopping(MemorySink):
        def deliver(self, lines: list[bytes]) -> object:  # type: ignore[override]
            stop.set()
            return super().deliver(lines)

    state = ship(run.source, Stopping(), run.dead, lambda _: None, stop)  # type: ignore[arg-type]

    assert state.delivered == 1


def test_empty_batch_is_not_delivered(tmp_path: Path) -> None:
    """No request of nothing each second."""
    run = Run(tmp_path, b"")

    run.ship(most_waits=3)

    assert run.sink.calls == []
