"""The janitor removes a segment only when everything in it stands elsewhere, and nothing that anybody may ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from fakes import START_MS, FixedClock, MemoryWarehouse, read_whole
from shipping import trade_line
from tickloop.adapters.common.trade_rows import trade_frame_of
from tickloop.adapters.local.journal import JournalStore
from tickloop.adapters.local.journal_rows import read_lines
from tickloop.adapters.local.removed_hours import FILE, RemovedHours
from tickloop.adapters.local.segment_keeper import JournalKeeper
from tickloop.adapters.local.segments import OpenSegment
from tickloop.domain.tables import RUN, TRADE
from tickloop.domain.window import DAY_MS, HOUR_MS, Window, hour_of, to_datetime
from tickloop.errors import DataError, StoreAwayError
from tickloop.services.janitor import KEEP_RAW_MS, Cleaned, janitor

BTC = "KRW-BTC"
LINES = [trade_line(number, START_MS + number) for number in range(3)]


@dataclass
class World:
    """A home with a segment of the first hour, old by more than a day, and a newer one of the same writer."""

    folder: Path
    markets: tuple[str, ...]
    clock: FixedClock
    warehouse: MemoryWarehouse

    def segment(self, data: bytes, hour: int = 0, writer: str = "collector") -> Path:
        segment = OpenSegment(self.folder / "journal", writer, (START_MS + hour * HOUR_MS) * 1_000_000)
        segment.write(data)
        segment.close()
        return segment.path

    def load(self, data: bytes, market: str = BTC) -> None:
        """Put the trades of lines into the warehouse, and say that their hours were extracted and loaded."""
        rows, _ = read_lines(data, "x", 0)
        frame = trade_frame_of(market, rows[market])
        self.warehouse.upsert(TRADE, frame)
        for hour in {hour_of(int(ts)) for ts in frame["ts_event"].to_physical()}:
            self.run("extract", hour, "done", market)
            self.run("load", hour, "done", market)

    def run(self, step: str, hour: Window, state: str, market: str = BTC) -> None:
        row = (
            market,
            step,
            hour.start,
            hour.end,
            state,
            self.clock.now_ns(),
            to_datetime(self.clock.now_ms()),
            1,
            "{}",
        )
        self.clock.advance(1)
        self.warehouse.upsert(RUN, pl.DataFrame([row], schema=RUN.columns, orient="row"))

    def clean(self, *shippers: Mapping[str, int], **options: object) -> Cleaned:
        keeper = JournalKeeper(self.folder / "journal", [lambda one=one: one for one in shippers])
        return janitor(self, keeper, **options)  # type: ignore[arg-type]

    def names(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "journal").glob("*.jsonl"))


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path, (BTC, "KRW-ETH"), FixedClock(START_MS + DAY_MS + HOUR_MS), MemoryWarehouse())
    made.segment(trade_line(99, START_MS + HOUR_MS), hour=1)
    return made


def test_segment_that_is_loaded_counted_and_old_is_removed(world: World) -> None:
    """Run twice it removes nothing more."""
    path = world.segment(b"".join(LINES))
    world.load(b"".join(LINES))

    done = world.clean()
    again = world.clean()

    assert done.removed == (path.name,)
    assert done.removed_bytes == sum(map(len, LINES))
    assert (done.kept, done.young) == ((), 1)
    assert again.removed == ()
    assert len(world.names()) == 1


def test_dry_run_removes_nothing_and_says_what_would_go(world: World) -> None:
    """Neither a file nor the note of its hours is touched."""
    path = world.segment(LINES[0])
    world.load(LINES[0])

    done = world.clean(dry_run=True)

    assert done.removed == (path.name,)
    assert path.exists()
    assert not (path.parent / FILE).exists()


def test_segment_stays_for_a_day(world: World) -> None:
    """A day after the end of its hour; it is not even read before."""
    world.segment(LINES[0])
    world.load(LINES[0])
    world.clock.set(START_MS + DAY_MS + HOUR_MS - 1)

    done = world.clean()

    assert (done.removed, done.kept, done.young) == ((), (), 2)


def test_newest_segment_of_a_writer_stays(world: World) -> None:
    """Lines may still come, and the next process goes on from its last one."""
    world.clock.set(START_MS + 30 * DAY_MS)
    world.load(trade_line(99, START_MS + HOUR_MS))

    assert world.clean().removed == ()


def test_trade_that_the_warehouse_lacks_keeps_its_segment(world: World) -> None:
    """The hour was loaded before a late line came: loaded is not counted."""
    world.segment(b"".join(LINES))
    world.load(LINES[0] + LINES[1])

    (kept,) = world.clean().kept

    assert kept.reason == "1 of its trades of KRW-BTC 2024-01-22T00 are not in the warehouse"


@pytest.mark.parametrize("state", ["due", "failed"])
@pytest.mark.parametrize("step", ["extract", "load"])
def test_hour_that_is_to_be_run_again_keeps_its_segments(world: World, step: str, state: str) -> None:
    """A repair came: extract will read the whole hour anew."""
    world.segment(LINES[0])
    world.load(LINES[0])
    world.run(step, hour_of(START_MS), state)

    (kept,) = world.clean().kept

    assert kept.reason == f"{step} of KRW-BTC 2024-01-22T00 is not done"


def test_repair_is_judged_by_the_hours_of_its_trades(world: World) -> None:
    """It was written much later than they happened, and holds several hours."""
    early = trade_line(5, START_MS - 5 * HOUR_MS)
    path = world.segment(LINES[0] + early, writer="repair")
    world.segment(LINES[1], hour=1, writer="repair")
    world.load(LINES[0])

    (kept,) = world.clean().kept
    world.load(early)
    done = world.clean()

    assert "2024-01-21T19" in kept.reason
    assert done.removed == (path.name,)


def test_segment_that_is_not_delivered_to_its_end_stays(world: World) -> None:
    """Where a shipper is used; one of two is enough, since either stores it."""
    path = world.segment(LINES[0] + LINES[1])
    world.load(LINES[0] + LINES[1])
    half, all_ = {path.name: len(LINES[0])}, {path.name: len(LINES[0] + LINES[1])}

    (kept,) = world.clean(half).kept
    assert kept.reason == "it is not delivered to its end"
    assert world.clean({}).removed == ()
    assert world.clean(half, all_).removed == (path.name,)


def test_torn_end_needs_no_delivery(world: World) -> None:
    """fluentd stands before it for ever."""
    path = world.segment(LINES[0] + LINES[1][:40])
    world.load(LINES[0])

    assert world.clean({path.name: len(LINES[0])}).removed == (path.name,)


def test_nothing_goes_where_delivery_is_needed_and_never_was(world: World) -> None:
    """In the cluster the steps read what was delivered."""
    world.segment(LINES[0])
    world.load(LINES[0])

    (kept,) = world.clean(needs_delivery=True).kept

    assert "tickloop ship" in kept.reason


def test_market_that_no_step_loads_needs_a_delivery(world: World) -> None:
    """With `collect.universe = krw` the journal is the only place of the others."""
    line = trade_line(1, START_MS, "KRW-XRP")
    path = world.segment(line)

    (kept,) = world.clean().kept
    assert "KRW-XRP" in kept.reason
    assert world.clean({path.name: len(line)}).removed == (path.name,)


def test_lines_that_cannot_be_read_keep_their_segment_unless_delivered(world: World) -> None:
    """Their bytes are evidence."""
    data = LINES[0] + b"no json\n"
    path = world.segment(data)
    world.load(LINES[0])

    (kept,) = world.clean().kept
    assert kept.reason == "1 of its lines cannot be read"
    assert world.clean({path.name: len(data)}).removed == (path.name,)


def test_extract_of_an_hour_that_was_removed_is_refused(world: World) -> None:
    """It would replace the lake's hour by what is left of it: nothing, or a late repair alone."""
    world.segment(LINES[0])
    world.load(LINES[0])
    store = JournalStore(world.folder / "journal", world.folder / "dead", world.clock)
    assert read_whole(store, BTC, hour_of(START_MS)).lines == 1

    world.clean()

    with pytest.raises(DataError, match="2024-01-22T00 any more"):
        read_whole(store, BTC, Window(START_MS - HOUR_MS, START_MS + HOUR_MS))
    assert read_whole(store, BTC, hour_of(START_MS + HOUR_MS)).lines == 1


def test_damaged_note_of_removed_hours_stops_the_reading(tmp_path: Path) -> None:
    """Rather than taking an hour for whole that may not be."""
    (tmp_path / FILE).write_bytes(b"{")

    with pytest.raises(DataError, match=FILE):
        RemovedHours(tmp_path).check(hour_of(START_MS))


class Days:
    """A store that forgets its old days."""

    def __init__(self, error: StoreAwayError | None = None) -> None:
        self.asked: list[int] = []
        self._error = error

    def prune(self, now_ms: int) -> list[str]:
        self.asked.append(now_ms)
        if self._error is not None:
            raise self._error
        return ["tickloop-2023.12.01"]


def test_other_stores_forget_their_old_days_in_the_same_round(world: World) -> None:
    """By market time; a dry run leaves them alone."""
    days = Days()

    assert world.clean(prunables=[days], dry_run=True).pruned == ()
    assert world.clean(prunables=[days]).pruned == ("tickloop-2023.12.01",)
    assert days.asked == [world.clock.now_ms()]


def test_store_that_is_away_does_not_keep_segments(world: World) -> None:
    """They are removed first; the error is told."""
    path = world.segment(LINES[0])
    world.load(LINES[0])

    with pytest.raises(StoreAwayError):
        world.clean(prunables=[Days(StoreAwayError("away"))])

    assert not path.exists()


def test_journal_that_is_the_raw_store_is_kept_for_the_seven_days_of_repairs() -> None:
    """The exchange gives trades so long; one more day for the run that follows."""
    assert KEEP_RAW_MS == 8 * DAY_MS
