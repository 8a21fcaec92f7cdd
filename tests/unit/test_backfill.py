"""History from candles: complete, resumable, and never over what came live."""

from __future__ import annotations

import threading

import pytest

from chain_fakes import HOUR, FakePorts, candles_of, home, made_trades
from fakes import START_MS, FakeMarketData, FakeRawStore
from tickloop.domain.features import FEATURE_SETS
from tickloop.domain.market import Candle, Trade
from tickloop.domain.schedule import Calendar, due
from tickloop.domain.tables import BAR_1M, FEATURE, LEDGER, REPAIR, RUN, TRADE, Table
from tickloop.domain.window import DAY_MS, HOUR_MS, MINUTE_MS, Window
from tickloop.errors import HomeBusyError, RetryableError, UnknownMarketError, WindowError
from tickloop.services.backfill import CANDLES, TRADES, BackfillStoppedError, Progress, backfill
from tickloop.services.chain import STEPS, run_window

MARKET = "KRW-BTC"
DAYS = Window(START_MS - 2 * DAY_MS, START_MS)


def history(minutes: int = 2 * 1440, *, empty_every: int = 100) -> list[Candle]:
    """Give two days of candles with every hundredth minute missing."""
    made = [minute for minute in range(minutes) if minute % empty_every]
    return candles_of(made_trades(made, start_ms=DAYS.start_ms))


class FailingMarketData(FakeMarketData):
    """Answers a number of times, then no more."""

    answers = 1

    def candles(self, market: str, window: Window) -> list[Candle]:
        if len(self.asked) >= self.answers:
            raise RetryableError("the exchange does not answer")
        return super().candles(market, window)


def ports_with(data: FakeMarketData) -> FakePorts:
    ports = home([], now_ms=START_MS)
    ports.market_data = data
    return ports


def quiet(progress: Progress) -> None:
    del progress


def test_a_back_fill_is_complete() -> None:
    """Every minute has a state, every candle a bar, every bar with a look-back its vector."""
    ports = ports_with(FakeMarketData(history()))

    counts = backfill(ports, DAYS, quiet)

    vectors = 2851 - FEATURE_SETS["bar"].window + 1
    assert counts == {MARKET: {"bars": 2851, "minutes": 2880, "skipped": 0, "left": 0, "features": vectors}}
    ledger = ports.warehouse.read(LEDGER, MARKET, DAYS)
    assert ledger["state"].value_counts().sort("state").rows() == [("no_trade", 29), ("candle", 2851)]
    assert set(ledger["reason"].drop_nulls()) == {"backfill"}
    assert ports.warehouse.read(BAR_1M, MARKET, DAYS)["state"].unique().to_list() == ["candle"]
    assert ports.warehouse.read(FEATURE, MARKET, DAYS).height == vectors


def test_progress_counts_up_to_all_minutes() -> None:
    """Something to show while it takes long."""
    ports = ports_with(FakeMarketData(history()))
    seen: list[Progress] = []

    backfill(ports, DAYS, seen.append)

    assert seen == [Progress(MARKET, CANDLES, done, 2880) for done in (0, 1440, 2880)]


def test_a_back_fill_that_was_broken_off_goes_on_where_it_stopped() -> None:
    """The first day stands; only the second is asked for again; the end is the same as in one go."""
    whole = ports_with(FakeMarketData(history()))
    backfill(whole, DAYS, quiet)
    ports = ports_with(FailingMarketData(history()))
    with pytest.raises(RetryableError):
        backfill(ports, DAYS, quiet)
    ports.market_data = FakeMarketData(history())

    counts = backfill(ports, DAYS, quiet)

    assert counts[MARKET]["skipped"] == 1440
    assert [window for _, _, window in ports.market_data.asked] == [Window(START_MS - DAY_MS, START_MS)]
    for table in (LEDGER, BAR_1M, FEATURE):
        assert ports.warehouse.read(table).equals(whole.warehouse.read(table)), table.name


def test_nothing_but_the_slot_is_due_after_a_back_fill() -> None:
    """Its hours are recorded as done, so the first slot can be trained at once."""
    ports = ports_with(FakeMarketData(history()))
    backfill(ports, DAYS, quiet)

    items = due(ports.warehouse.read(RUN), STEPS, (MARKET,), Calendar(START_MS, START_MS, 6))

    assert [(item.step, item.window) for item in items] == [("train", Window(START_MS - 6 * HOUR_MS, START_MS))]


def test_hours_that_came_live_are_left_as_they_are() -> None:
    """A back-fill over a verified hour fetches only what is around it."""
    made = made_trades(range(180))
    ports = home(made, now_ms=START_MS + 3 * HOUR_MS)
    middle = Window(START_MS + HOUR_MS, START_MS + 2 * HOUR_MS)
    run_window(ports, "all", MARKET, middle)
    before = ports.warehouse.read(BAR_1M, MARKET, middle)
    asked_before = len(ports.market_data.asked)

    backfill(ports, Window(START_MS, START_MS + 3 * HOUR_MS), quiet)

    assert ports.warehouse.read(BAR_1M, MARKET, middle).equals(before)
    assert [window for _, _, window in ports.market_data.asked[asked_before:]] == [
        HOUR,
        Window(START_MS + 2 * HOUR_MS, START_MS + 3 * HOUR_MS),
    ]


@pytest.mark.parametrize(
    ("window", "message"),
    [
        (Window(START_MS, START_MS + HOUR_MS), "is not over"),
        (Window(START_MS - HOUR_MS, START_MS - MINUTE_MS), "not made of whole hours"),
    ],
)
def test_a_window_that_cannot_be_filled_is_refused(window: Window, message: str) -> None:
    """Before anything is asked."""
    ports = ports_with(FakeMarketData(history()))

    with pytest.raises(WindowError, match=message):
        backfill(ports, window, quiet)

    assert ports.market_data.asked == []


def test_a_second_back_fill_of_the_same_window_is_told_so() -> None:
    """Two would only double the requests."""
    ports = ports_with(FakeMarketData(history()))

    with ports.lock.hold("backfill", MARKET, DAYS), pytest.raises(HomeBusyError, match="another process"):
        backfill(ports, DAYS, quiet)


MANY = tuple(f"KRW-M{number}" for number in range(6))


def many_markets(known: tuple[str, ...] = MANY) -> FakePorts:
    made = [
        trade for seed, market in enumerate(MANY) for trade in made_trades(range(2880), market, seed, DAYS.start_ms)
    ]
    ports = ports_with(FakeMarketData(candles_of(made), known=known))
    ports.markets = MANY
    return ports


def test_markets_filled_side_by_side_end_as_those_filled_one_by_one() -> None:
    """Threads share the ports; each market is worked on by one at a time."""
    one_by_one, parallel = many_markets(), many_markets()

    counts = backfill(one_by_one, DAYS, quiet)

    assert backfill(parallel, DAYS, quiet, parallel=4) == counts
    for table in (LEDGER, BAR_1M, FEATURE):
        assert parallel.warehouse.read(table).equals(one_by_one.warehouse.read(table)), table.name


def test_reports_never_come_from_two_threads_at_once() -> None:
    """Whoever shows them needs no lock; each market's counts go up."""
    ports = many_markets()
    seen: list[Progress] = []
    inside: list[str] = []

    def report(progress: Progress) -> None:
        inside.append(progress.market)
        seen.append(progress)
        assert inside.pop() == progress.market
        assert not inside

    backfill(ports, DAYS, report, parallel=4)

    for market in MANY:
        assert [one.done for one in seen if one.market == market] == [0, 1440, 2880]


def test_only_the_markets_asked_for_are_filled() -> None:
    """`--market`."""
    ports = many_markets()

    assert set(backfill(ports, DAYS, quiet, markets=MANY[2:4])) == set(MANY[2:4])
    assert set(ports.warehouse.read(LEDGER)["market"]) == set(MANY[2:4])


def test_a_market_that_fails_ends_the_others_and_its_error_is_told() -> None:
    """Not the stop of the others, which only followed from it; what was done stands and is not asked for again."""
    ports = many_markets(known=MANY[:5])

    with pytest.raises(UnknownMarketError, match="KRW-M5"):
        backfill(ports, DAYS, quiet, parallel=6)

    done = ports.warehouse.read(BAR_1M).height
    ports.market_data.known = list(MANY)
    counts = backfill(ports, DAYS, quiet, parallel=2)
    assert sum(one["bars"] for one in counts.values()) == 6 * 2880 - done


def test_a_stop_is_heard_between_two_days_and_the_next_run_goes_on() -> None:
    """The first Ctrl-C."""
    ports = ports_with(FakeMarketData(history()))
    stop = threading.Event()

    def stop_at_half(progress: Progress) -> None:
        if progress.done == 1440:
            stop.set()

    with pytest.raises(BackfillStoppedError, match=r"1,440 of 2,880 minutes"):
        backfill(ports, DAYS, stop_at_half, stop=stop)

    assert ports.warehouse.read(LEDGER).height == 1440
    assert backfill(ports, DAYS, quiet)[MARKET]["minutes"] == 1440


def test_hours_whose_trades_came_live_but_are_not_through_are_left_to_the_chain() -> None:
    """Extracted and loaded, but not verified: a candle must not take the place of what came live."""
    made = made_trades(range(180))
    ports = home(made, now_ms=START_MS + 3 * HOUR_MS)
    middle = Window(START_MS + HOUR_MS, START_MS + 2 * HOUR_MS)
    for name in ("extract", "load"):
        run_window(ports, name, MARKET, middle)

    counts = backfill(ports, Window(START_MS, START_MS + 3 * HOUR_MS), quiet)

    assert (counts[MARKET]["minutes"], counts[MARKET]["left"]) == (120, 60)
    assert ports.warehouse.read(LEDGER, MARKET, middle).is_empty()


# --- with trades ------------------------------------------------------------------------------------------------

WEEK = Window(START_MS - 9 * DAY_MS, START_MS)
"""Two days more than the exchange keeps trades of."""

KEPT_MS = START_MS - 7 * DAY_MS


def exchange_of_a_week(hours: int = 3) -> tuple[FakePorts, list[Trade]]:
    """Give trades in the first hours of the range, of the first day that REST still has, and of the last day."""
    starts = (WEEK.start_ms, KEPT_MS, START_MS - DAY_MS)
    made = [trade for seed, start in enumerate(starts) for trade in made_trades(range(hours * 60), MARKET, seed, start)]
    ports = home([], now_ms=START_MS + HOUR_MS)
    ports.market_data = FakeMarketData(candles_of(made), [one for one in made if one.ts_event_ms >= KEPT_MS])
    return ports, made


def state_counts(ports: FakePorts, window: Window = WEEK) -> dict[str, int]:
    rows = ports.warehouse.read(LEDGER, MARKET, window)["state"].value_counts().iter_rows()
    return {str(state): count for state, count in rows if state != "no_trade"}


def test_with_trades_the_minutes_of_the_last_seven_days_are_settled_and_older_ones_stay_candles() -> None:
    """The exchange has trades of seven days before today; what is older cannot be had."""
    ports, made = exchange_of_a_week()

    counts = backfill(ports, WEEK, quiet, with_trades=True)

    assert state_counts(ports) == {"candle": 180, "repaired": 360}
    assert counts[MARKET]["trades"] == ports.warehouse.read(TRADE).height == len(made) - 540
    assert counts[MARKET]["hours"] == 6  # the others had no trade at all
    asked = [window for what, _, window in ports.market_data.asked if what == "trades"]
    assert min(window.start_ms for window in asked) == KEPT_MS
    bars = ports.warehouse.read(BAR_1M, MARKET, Window(KEPT_MS, START_MS))
    assert bars["trades"].to_list() == [3] * 360


def test_candles_that_are_there_can_be_settled_later_by_their_trades() -> None:
    """The same back-fill again, now with trades: nothing but trades of hours that were never settled is asked for."""
    ports, _ = exchange_of_a_week()
    backfill(ports, WEEK, quiet)
    whole, _ = exchange_of_a_week()
    backfill(whole, WEEK, quiet, with_trades=True)

    backfill(ports, WEEK, quiet, with_trades=True)
    asked = len(ports.market_data.asked)
    backfill(ports, WEEK, quiet, with_trades=True)

    assert ports.market_data.asked[asked:] == []
    for table in (TRADE, LEDGER, BAR_1M, FEATURE):
        left, right = (one.warehouse.read(table) for one in (ports, whole))
        assert left.drop(ours(table)).equals(right.drop(ours(table))), table.name


def ours(table: Table) -> list[str]:
    return ["ts_received", "arrival"] if table is TRADE else []


def test_what_the_stream_brought_of_a_minute_is_not_appended_again() -> None:
    """A collector ran for a while in an hour that was back-filled."""
    ports, made = exchange_of_a_week()
    hour = Window(START_MS - DAY_MS, START_MS - DAY_MS + HOUR_MS)
    streamed = [one for one in made if one.ts_event_ms in Window(hour.start_ms + 30 * MINUTE_MS, hour.end_ms)]
    ports.raw = FakeRawStore(streamed)
    backfill(ports, hour, quiet)

    counts = backfill(ports, hour, quiet, with_trades=True)

    assert counts[MARKET]["trades"] == 90
    assert state_counts(ports, hour) == {"verified": 30, "repaired": 30}


def test_a_back_fill_of_trades_that_was_broken_off_goes_on_with_the_hours_that_are_left() -> None:
    """Each hour is settled by itself, the oldest first."""
    ports, _ = exchange_of_a_week()
    stop = threading.Event()
    window = Window(START_MS - DAY_MS, START_MS)

    def stop_after_two_hours(progress: Progress) -> None:
        if (progress.phase, progress.done) == (TRADES, 1440 - 60):
            stop.set()

    with pytest.raises(BackfillStoppedError, match="trades of KRW-BTC"):
        backfill(ports, window, stop_after_two_hours, with_trades=True, stop=stop)
    assert state_counts(ports, window) == {"repaired": 120, "candle": 60}

    counts = backfill(ports, window, quiet, with_trades=True)

    assert counts[MARKET]["hours"] == 1
    assert state_counts(ports, window) == {"repaired": 180}


def test_an_hour_that_another_process_works_on_is_left_to_it() -> None:
    """Its trades are in the journal and extract is due, so the other one goes on with them."""
    ports, _ = exchange_of_a_week()
    hour = Window(START_MS - DAY_MS, START_MS - DAY_MS + HOUR_MS)
    backfill(ports, hour, quiet)

    with ports.lock.hold("extract", MARKET, hour):
        counts = backfill(ports, hour, quiet, with_trades=True)

    assert (counts[MARKET]["busy"], counts[MARKET]["hours"]) == (1, 0)
    runs = ports.warehouse.read(RUN, MARKET, hour)
    assert runs.filter(runs["step"] == "extract")["state"].to_list() == ["due"]
    # Its extract may have begun before the trades came: should the mark be lost, verify asks for them again.
    assert ports.warehouse.read(REPAIR).is_empty()
