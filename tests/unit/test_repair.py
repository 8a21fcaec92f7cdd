"""Repair beside collection: gaps become trades of the raw store, whatever fails on the way, and nobody waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from chain_fakes import FakePorts
from fakes import START_MS, FakeMarketData, FakeNotifier, FakeRawStore, FixedClock, MemoryGapLog
from tickloop.domain.gaps import Gap
from tickloop.domain.market import Change, Side, Source, Trade
from tickloop.domain.tables import RUN
from tickloop.domain.universe import Span
from tickloop.domain.window import DAY_MS, HOUR_MS, Window, hour_of
from tickloop.errors import (
    DiskFullError,
    OperatorError,
    RetryableError,
    TickloopError,
    UnknownMarketError,
)
from tickloop.services.extract_marks import extract_marker
from tickloop.services.repair import MARGIN_MS, MOST_GAPS_PER_MARKET, RepairFigures, Repairs

BTC = "KRW-BTC"


def trade(trade_id: int, ts_ms: int, market: str = BTC) -> Trade:
    return Trade(market, trade_id, ts_ms, 0, 0, 100.0, 100_000_000, Side.BUY, Change.RISE, Source.REST)


class Exchange(FakeMarketData):
    """Fails with the errors given, one call after the other, before it answers."""

    def __init__(self, trades: Sequence[Trade], *errors: Exception) -> None:
        super().__init__(trades=trades)
        self.errors = list(errors)

    def trades(self, market: str, window: Window) -> list[Trade]:
        if self.errors:
            raise self.errors.pop(0)
        return super().trades(market, window)


class World:
    """Repairs over fakes; the clock stands an hour and a half after `START_MS`."""

    def __init__(self, trades: Sequence[Trade] = (), *errors: Exception, gaps: Sequence[Gap] = ()) -> None:
        self.clock = FixedClock(START_MS + HOUR_MS + HOUR_MS // 2)
        self.exchange = Exchange(trades, *errors)
        self.raw = FakeRawStore()
        self.log = MemoryGapLog(gaps)
        self.notifier = FakeNotifier()
        self.seen: set[int] = set()
        self.ends: dict[str, int] = {}
        self.marked: list[tuple[str, Window]] = []
        self.mark_errors: list[TickloopError] = []
        self.repairs = Repairs(
            self.exchange,
            self.raw,
            self.clock,
            self.log,
            self.notifier,
            seen_until=self.ends.get,
            has_kept=lambda _market, trade_id: trade_id in self.seen,
            mark_extract=self._mark,
            first_delay_s=0.001,
        )

    def _mark(self, market: str, hour: Window) -> bool:
        if self.mark_errors:
            raise self.mark_errors.pop(0)
        self.marked.append((market, hour))
        return True

    def ids(self) -> list[int]:
        return [one.trade_id for one in self.raw.lines]


@contextmanager
def running(world: World) -> Iterator[World]:
    world.repairs.start()
    try:
        yield world
    finally:
        world.repairs.close(5.0)


def wait_until(holds: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(10_000):
        if holds():
            return
        pause.wait(0.001)
    raise AssertionError("it did not come true within 10 s")


def test_trades_of_a_gap_and_its_margins_are_appended() -> None:
    """Not those outside, and not those that the stream brought; the hour that is over is extracted again."""
    since, until = START_MS + 60_000, START_MS + 90_000
    times = [since - MARGIN_MS - 1, since - MARGIN_MS, since, until + MARGIN_MS - 1, until + MARGIN_MS]
    world = World([trade(number, ts_ms) for number, ts_ms in enumerate(times)])
    world.seen = {2}
    with running(world):
        world.repairs.missed((BTC,), since, until)
        wait_until(lambda: world.repairs.figures.done == 1 and bool(world.marked))

    assert world.ids() == [1, 3]
    assert world.marked == [(BTC, hour_of(START_MS))]
    assert world.repairs.figures == RepairFigures(done=1, trades=2)
    assert world.log.gaps == []


def test_hour_that_is_not_over_is_not_marked() -> None:
    """Its extract comes by itself."""
    world = World([trade(1, START_MS + HOUR_MS + 1)])
    with running(world):
        world.repairs.missed((BTC,), START_MS + HOUR_MS, START_MS + HOUR_MS + 10)
        wait_until(lambda: world.repairs.figures.done == 1)

    assert (world.ids(), world.marked) == ([1], [])


def test_first_connection_repairs_from_the_end_of_the_process_before() -> None:
    """Once per market; one that was never collected, or whose stream begins anew later, has nothing to repair."""
    world = World([trade(1, START_MS + 50)])
    world.ends[BTC] = START_MS
    with running(world):
        world.repairs.missed((BTC, "KRW-ETH"), None, START_MS + 100)
        wait_until(lambda: world.repairs.figures.done == 1)
        world.repairs.missed((BTC,), None, START_MS + 200)

    assert world.ids() == [1]
    assert world.repairs.figures.pending == 0
    assert [asked[1] for asked in world.exchange.asked] == [BTC]


def test_new_market_is_repaired_since_the_look_that_did_not_find_it() -> None:
    """What it traded before its stream began."""
    world = World([trade(1, START_MS + 50, "KRW-ETH")])
    world.repairs.expect(("KRW-ETH",), START_MS)
    with running(world):
        world.repairs.missed(("KRW-ETH",), None, START_MS + 100)
        wait_until(lambda: world.repairs.figures.done == 1)

    assert world.ids() == [1]


def test_nothing_older_than_a_week_is_asked_for() -> None:
    """The exchange no longer has it."""
    world = World()
    now = world.clock.now_ms()
    with running(world):
        world.repairs.missed((BTC,), now - 30 * DAY_MS, now - 6_000)
        wait_until(lambda: world.repairs.figures.done == 1)

    assert min(window.start_ms for _, _, window in world.exchange.asked) >= now - 7 * DAY_MS - 6_000 - 60_000
    assert sum(window.end_ms - window.start_ms for _, _, window in world.exchange.asked) >= 7 * DAY_MS


def test_gap_waits_until_its_end_is_over() -> None:
    """Trades of the last seconds may not be in the exchange's list yet."""
    world = World([trade(1, START_MS + HOUR_MS)])
    now = world.clock.now_ms()
    with running(world):
        world.repairs.missed((BTC,), now - 1_000, None)
        wait_until(lambda: world.log.gaps == [Gap(BTC, now - 1_000 - MARGIN_MS, now + MARGIN_MS)])
        assert world.exchange.asked == []
        world.clock.advance(MARGIN_MS)
        world.repairs.missed((), None, None)  # any call wakes it; otherwise it looks by itself within a second
        wait_until(lambda: world.repairs.figures.done == 1)


@pytest.mark.parametrize("error", [RetryableError("503"), DiskFullError("full"), OSError("i/o"), OperatorError("lock")])
def test_failure_is_tried_again_until_it_works(error: Exception) -> None:
    """It is told when it lasts, and taken back."""
    world = World([trade(1, START_MS + 5)], error, error, error, error)
    with running(world):
        world.repairs.missed((BTC,), START_MS, START_MS + 10)
        wait_until(lambda: world.repairs.figures.done == 1)

    assert world.ids() == [1]
    assert world.repairs.figures == RepairFigures(done=1, trades=1, failures=4)
    assert world.notifier.told == [("alert", "repair_failed"), ("clear", "repair_failed")]


def test_hopeless_gap_is_left_to_verify_and_holds_up_no_other() -> None:
    """A market that was delisted meanwhile."""
    world = World([trade(1, START_MS + 5)], UnknownMarketError(BTC, ()))
    with running(world):
        world.repairs.missed((BTC, "KRW-ETH"), START_MS, START_MS + 10)
        wait_until(lambda: world.repairs.figures.done == 1)

    assert world.repairs.figures.given_up == 1
    assert world.notifier.told == [("alert", "repair_failed")]
    assert "left to the hourly verify" in world.notifier.messages[0]


def test_broken_warehouse_stops_no_repair() -> None:
    """The trades are in the raw store; verify finds what the hour lacks."""
    world = World([trade(1, START_MS + 5)])
    world.mark_errors = [OperatorError("locked by another process for 30 s")]
    with running(world):
        world.repairs.missed((BTC,), START_MS, START_MS + 10)
        wait_until(lambda: not world.mark_errors)
        world.repairs.missed(("KRW-ETH",), START_MS, START_MS + 10)
        wait_until(lambda: world.repairs.figures.done == 2)

    assert world.ids() == [1]
    assert world.notifier.told == []


def test_gaps_of_a_killed_process_are_taken_up_again() -> None:
    """They were saved before they were worked at."""
    world = World([trade(1, START_MS + 5)], gaps=[Gap(BTC, START_MS, START_MS + 10)])
    with running(world):
        wait_until(lambda: world.repairs.figures.done == 1)

    assert world.ids() == [1]


def test_many_gaps_of_a_market_are_joined_and_none_is_dropped() -> None:
    """Memory is bounded while REST is down."""
    world = World()
    for number in range(50):
        world.repairs.missed((BTC,), START_MS + number * 60_000, START_MS + number * 60_000 + 1)

    assert world.repairs.figures.pending == MOST_GAPS_PER_MARKET


def test_bug_in_repair_is_told_and_raised_in_its_thread_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Collection goes on without it."""
    raised: list[type[BaseException]] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: raised.append(args.exc_type))
    world = World((), ZeroDivisionError("a bug"))
    with running(world):
        world.repairs.missed((BTC,), START_MS, START_MS + 10)
        wait_until(lambda: bool(raised))

    assert raised == [ZeroDivisionError]
    assert world.notifier.told == [("alert", "repair_failed")]
    assert world.repairs.figures.last_error == "repair ended: ZeroDivisionError: a bug"
    assert world.log.gaps == [Gap(BTC, START_MS - MARGIN_MS, START_MS + 10 + MARGIN_MS)]


def test_extract_is_marked_due_unless_it_runs() -> None:
    """Its end would be newer than the mark; a market that nobody settles is left alone."""
    ports = FakePorts(collected={"KRW-ADA": Span(START_MS)})
    mark, hour = extract_marker(ports), hour_of(START_MS)

    with ports.lock.hold("extract", BTC, hour):
        was_marked = mark(BTC, hour)
    rows_before = ports.warehouse.read(RUN).height
    are_marked = [mark(market, hour) for market in (BTC, "KRW-ADA", "KRW-XRP")]

    assert (was_marked, rows_before, are_marked) == (False, 0, [True, True, True])
    assert ports.warehouse.read(RUN).select("market", "step", "state").rows() == [
        ("KRW-ADA", "extract", "due"),
        (BTC, "extract", "due"),
    ]
