"""History from candles: complete, resumable, and never over what came live."""

from __future__ import annotations

import pytest

from chain_fakes import HOUR, FakePorts, candles_of, home, made_trades
from fakes import START_MS, FakeMarketData
from tickloop.domain.features import FEATURE_SETS
from tickloop.domain.market import Candle
from tickloop.domain.schedule import Calendar, due
from tickloop.domain.tables import BAR_1M, FEATURE, LEDGER, RUN
from tickloop.domain.window import DAY_MS, HOUR_MS, MINUTE_MS, Window
from tickloop.errors import HomeBusyError, RetryableError, WindowError
from tickloop.services.backfill import backfill
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


def quiet(market: str, done: int, total: int) -> None:
    del market, done, total


def test_a_back_fill_is_complete() -> None:
    """Every minute has a state, every candle a bar, every bar with a look-back its vector."""
    ports = ports_with(FakeMarketData(history()))

    counts = backfill(ports, DAYS, quiet)

    vectors = 2851 - FEATURE_SETS["bar"].window + 1
    assert counts == {MARKET: {"bars": 2851, "minutes": 2880, "skipped": 0, "features": vectors}}
    ledger = ports.warehouse.read(LEDGER, MARKET, DAYS)
    assert ledger["state"].value_counts().sort("state").rows() == [("no_trade", 29), ("candle", 2851)]
    assert set(ledger["reason"].drop_nulls()) == {"backfill"}
    assert ports.warehouse.read(BAR_1M, MARKET, DAYS)["state"].unique().to_list() == ["candle"]
    assert ports.warehouse.read(FEATURE, MARKET, DAYS).height == vectors


def test_progress_counts_up_to_all_minutes() -> None:
    """Something to show while it takes long."""
    ports = ports_with(FakeMarketData(history()))
    seen: list[tuple[str, int, int]] = []

    backfill(ports, DAYS, lambda *progress: seen.append(progress))

    assert seen == [(MARKET, 0, 2880), (MARKET, 1440, 2880), (MARKET, 2880, 2880)]


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
