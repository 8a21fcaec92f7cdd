"""The bounded reading of the run ledger says the same as all of it."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from chain_fakes import FakePorts
from fakes import START_MS, FixedClock
from tickloop.domain.schedule import DONE, DUE, FAILED, Calendar, Due, due
from tickloop.domain.tables import RUN
from tickloop.domain.window import HOUR_MS, MINUTE_MS, Window
from tickloop.services.chain import STEPS
from tickloop.services.run_ledger import RecentRuns, runs_over
from tickloop.services.steps import RunRow, record_runs

MARKETS = ("KRW-BTC", "KRW-ETH")
SLOT_HOURS = 6
HOUR_STEPS = ("extract", "load", "verify", "bars", "features")


@dataclass
class Life:
    """A home over some days: history, hours that close, failures, sleep, and other processes that meddle."""

    seed: int
    ports: FakePorts = field(default_factory=lambda: FakePorts(MARKETS, FixedClock(START_MS)))
    full_reads: int = 0
    bounded_reads: int = 0

    def __post_init__(self) -> None:
        self.luck = random.Random(self.seed)
        self.reader = RecentRuns(self.ports.warehouse, SLOT_HOURS, recent_days=1)
        history = Window(START_MS - 72 * HOUR_MS, START_MS)
        for market in MARKETS:
            for start in range(history.start_ms, history.end_ms, 24 * HOUR_MS):
                day = Window(start, start + 24 * HOUR_MS)
                self.record(RunRow("verify", market, day, DONE, {}), RunRow("bars", market, day, DONE, {}))
            self.record(RunRow("features", market, history, DONE, {}))

    def record(self, *rows: RunRow) -> None:
        record_runs(self.ports, rows)

    def look(self) -> list[Due]:
        """Ask both ways, and take note of an idle round as the scheduler does."""
        now_ms = self.ports.clock.now_ms()
        everything = self.ports.warehouse.read(RUN)
        expected = due(everything, STEPS, MARKETS, Calendar(now_ms, START_MS, SLOT_HOURS))
        runs, since_ms = self.reader.read(now_ms)
        found = due(runs, STEPS, MARKETS, Calendar(now_ms, START_MS, SLOT_HOURS, since_ms))
        assert found == expected, f"seed {self.seed} at hour {(now_ms - START_MS) / HOUR_MS}"
        if not found:
            self.reader.settle(runs, now_ms)
        self.full_reads += since_ms == 0
        self.bounded_reads += since_ms > 0
        return found

    def run(self, items: list[Due]) -> None:
        states = [FAILED if self.luck.random() < 0.05 else DONE for _ in items]
        self.record(*(RunRow(*item, state, {}) for item, state in zip(items, states, strict=True)))

    def meddle(self) -> None:
        """Let another process mark or run a step of any hour so far, or of a few hours at once."""
        now_hour = (self.ports.clock.now_ms() - START_MS) // HOUR_MS
        start = START_MS + self.luck.randrange(-80, max(now_hour - 1, -79)) * HOUR_MS
        window = Window(start, start + self.luck.choice((1, 1, 1, 3)) * HOUR_MS)
        state = self.luck.choice((DUE, DONE, FAILED))
        self.record(RunRow(self.luck.choice(HOUR_STEPS), self.luck.choice(MARKETS), window, state, {}))


@pytest.mark.parametrize("seed", range(3))
def test_what_is_due_is_the_same_whether_all_rows_are_read_or_those_that_can_matter(seed: int) -> None:
    """Over days with failures, sleep and meddling."""
    life = Life(seed)
    for _ in range(20):
        for _ in range(life.luck.randrange(1, 12)):
            life.run(life.look())
        if life.luck.random() < 0.2:
            life.meddle()
            life.look()
        # A minute, an hour, or a night: retries come due, hours close, the machine sleeps.
        life.ports.clock.advance(life.luck.choice((MINUTE_MS, HOUR_MS, HOUR_MS, 9 * HOUR_MS)))

    assert life.bounded_reads > 10


def test_a_home_that_is_left_alone_is_read_whole_once() -> None:
    """From the first idle round on, old rows stay unread."""
    life = Life(1)
    life.luck.random = lambda: 1.0  # type: ignore[method-assign]
    for _ in range(34):
        while items := life.look():
            life.run(items)
        life.ports.clock.advance(HOUR_MS)
    before = life.full_reads

    for _ in range(4):
        while items := life.look():
            life.run(items)
        life.ports.clock.advance(HOUR_MS)

    runs, since_ms = life.reader.read(life.ports.clock.now_ms())
    assert life.full_reads == before
    assert since_ms > START_MS
    assert runs.height < life.ports.warehouse.read(RUN).height


def test_runs_over_a_window_are_those_that_share_an_hour_with_it() -> None:
    """Also those that began long before it; not those that only touch it."""
    life = Life(1)
    hour = Window(START_MS - HOUR_MS, START_MS)
    life.record(RunRow("load", MARKETS[0], Window(START_MS, START_MS + HOUR_MS), DONE, {}))

    found = runs_over(life.ports.warehouse, MARKETS[0], hour)

    assert sorted(found["step"]) == ["bars", "features", "verify"]
