"""The journal is followed line by line: each whole line once, whatever happened to its segment."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import START_MS
from shipping import trade_line
from tickloop.adapters.local.journal_follow import JournalFollower
from tickloop.adapters.local.segments import OpenSegment, list_segments
from tickloop.adapters.local.ship_positions import POSITIONS, ShipPositions, hold_shipping
from tickloop.domain.window import HOUR_MS
from tickloop.errors import HomeBusyError

LINES = [trade_line(number) for number in range(1, 8)]


class World:
    """A journal, and followers of it that start anew as a killed process would."""

    def __init__(self, folder: Path) -> None:
        self.journal = folder / "journal"
        self.ship = folder / "ship"

    def segment(self, data: bytes, writer: str = "collector", hour: int = 0) -> Path:
        segment = OpenSegment(self.journal, writer, (START_MS + hour * HOUR_MS) * 1_000_000)
        segment.write(data)
        segment.close()
        return segment.path

    def follower(self, target: str = "here", **limits: int) -> JournalFollower:
        return JournalFollower(self.journal, ShipPositions(self.ship, target), **limits)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def read(follower: JournalFollower) -> list[bytes]:
    """Take all that waits, batch by batch."""
    found: list[bytes] = []
    while (batch := follower.next_batch()).lines:
        assert len(batch.lines) == len(batch.places)
        found += batch.lines
        follower.advance(batch)
    return found


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def test_lines_of_all_writers_come_in_the_order_of_their_segments(world: World) -> None:
    """Repairs too; the place of each line is told."""
    second = world.segment(LINES[2], "repair", hour=1)
    first = world.segment(LINES[0] + LINES[1])

    batch = world.follower().next_batch()

    assert batch.lines == LINES[:3]
    assert batch.places == [(first.name, 0), (first.name, len(LINES[0])), (second.name, 0)]
    assert not batch.is_full


def test_no_journal_yet_is_nothing_to_deliver(world: World) -> None:
    """The shipper may be started first."""
    follower = world.follower()

    assert follower.next_batch().lines == []
    assert follower.behind_bytes == 0


def test_batch_that_was_not_delivered_comes_again(world: World) -> None:
    """Also to the next process; once it is remembered it does not."""
    world.segment(LINES[0])
    follower = world.follower()
    batch = follower.next_batch()

    assert follower.next_batch().lines == batch.lines
    assert world.follower().next_batch().lines == batch.lines
    follower.advance(batch)
    assert follower.next_batch().lines == []
    assert world.follower().next_batch().lines == []


def test_torn_line_waits_for_its_end(world: World) -> None:
    """An unterminated last line does not exist."""
    path = world.segment(LINES[0] + LINES[1][:50])
    follower = world.follower()

    assert read(follower) == [LINES[0]]
    assert follower.behind_bytes == 0
    append(path, LINES[1][50:])
    assert read(follower) == [LINES[1]]
    assert follower.behind_bytes == 0


def test_torn_line_of_a_segment_that_is_over_is_passed_over(world: World) -> None:
    """Its writer was killed and has begun a newer one; then nothing is behind, for the janitor too."""
    torn = world.segment(LINES[0] + LINES[1][:50])
    world.segment(LINES[1], hour=1)
    follower = world.follower()

    assert read(follower) == [LINES[0], LINES[1]]
    assert read(follower) == []
    assert follower.behind_bytes == 0
    assert ShipPositions(world.ship, "here").load()[torn.name] == torn.stat().st_size


def test_segment_that_is_removed_is_forgotten(world: World) -> None:
    """The janitor removes what is delivered; its position goes with it."""
    gone = world.segment(LINES[0])
    world.segment(LINES[1], hour=1)
    follower = world.follower()
    read(follower)

    gone.unlink()

    assert read(follower) == []
    assert list(ShipPositions(world.ship, "here").load()) == [list_segments(world.journal)[0].path.name]


def test_segment_that_is_removed_before_its_end_does_not_stop_the_others(world: World) -> None:
    """Somebody made room by hand."""
    gone = world.segment(LINES[0] + LINES[1])
    world.segment(LINES[2], hour=1)
    follower = world.follower(most_lines=1)
    follower.advance(follower.next_batch())

    gone.unlink()

    assert read(follower) == [LINES[2]]


def test_position_beyond_the_end_delivers_the_segment_again(world: World) -> None:
    """A loss of power took lines that had been read before they were synced."""
    path = world.segment(LINES[0] + LINES[1])
    read(world.follower())
    with path.open("r+b") as file:
        file.truncate(len(LINES[0]))

    assert read(world.follower()) == [LINES[0]]


@pytest.mark.parametrize("content", [b"", b"{", b'{"target":1}', b"\x00" * 40])
def test_damaged_positions_deliver_everything_again(world: World, content: bytes) -> None:
    """Repeats are harmless; a gap would not be."""
    world.segment(LINES[0])
    read(world.follower())
    (world.ship / POSITIONS).write_bytes(content)

    assert read(world.follower()) == [LINES[0]]


def test_another_target_begins_anew(world: World) -> None:
    """What one server has got says nothing of another."""
    world.segment(LINES[0])
    read(world.follower("here"))

    assert read(world.follower("there")) == [LINES[0]]


def test_batches_are_bounded_by_bytes_and_lines(world: World) -> None:
    """A batch that was cut says so; a line longer than a batch goes alone."""
    long = trade_line(9, note="x" * 5_000)
    world.segment(b"".join([*LINES[:3], long, *LINES[3:]]))
    by_bytes, by_lines = world.follower(most_bytes=2 * len(LINES[0]) + 10), world.follower(most_lines=3)

    first = by_lines.next_batch()
    assert (len(first.lines), first.is_full) == (3, True)
    assert by_lines.behind_bytes == sum(map(len, [*LINES, long]))
    sizes = []
    while (batch := by_bytes.next_batch()).lines:
        sizes.append(len(batch.lines))
        by_bytes.advance(batch)

    assert sizes == [2, 1, 1, 2, 2]


def test_one_shipper_per_home(tmp_path: Path) -> None:
    """A second one says so; the lock is free afterwards."""
    with (
        hold_shipping(tmp_path / "ship"),
        pytest.raises(HomeBusyError, match="already has a shipper"),
        hold_shipping(tmp_path / "ship"),
    ):
        pass
    with hold_shipping(tmp_path / "ship"):
        pass


PARTS = st.lists(st.binary(max_size=40).map(lambda part: part.replace(b"\r", b"\n")), max_size=12)


@given(parts=PARTS, most_bytes=st.integers(1, 60), most_lines=st.integers(1, 4), kills=st.sets(st.integers(0, 20)))
def test_any_growth_and_any_kills_give_each_whole_line_once_or_again(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], most_bytes: int, most_lines: int, kills: set[int]
) -> None:
    """Bytes come in any portions; a process that is killed before it remembers a batch is given it again, in order."""
    world = World(tmp_path_factory.mktemp("journal"))
    path = world.segment(b"")
    follower, delivered, number = world.follower(most_bytes=most_bytes, most_lines=most_lines), [], 0

    for part in [*parts, b""]:
        append(path, part)
        while (batch := follower.next_batch()).lines:
            number += 1
            delivered += zip(batch.places, batch.lines, strict=True)
            if number in kills:
                follower = world.follower(most_bytes=most_bytes, most_lines=most_lines)
            else:
                follower.advance(batch)

    data = b"".join(parts)
    whole = [line + b"\n" for line in data[: data.rfind(b"\n") + 1].split(b"\n")[:-1]]
    assert [line for _, line in sorted(set(delivered))] == whole
