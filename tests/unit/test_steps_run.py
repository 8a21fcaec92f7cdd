"""Running one step: lock, run ledger, and refusals before anything is touched."""

from __future__ import annotations

import json

import polars as pl
import pytest

from chain_fakes import HOUR, FakePorts, home, made_trades
from fakes import START_MS, FakeRawStore
from tickloop.domain.market import Trade
from tickloop.domain.schedule import Cadence
from tickloop.domain.tables import RUN
from tickloop.domain.universe import Span
from tickloop.domain.window import HOUR_MS, MINUTE_MS, Window, to_datetime
from tickloop.errors import DataError, StoreAwayError, UnknownMarketError, UsageError, WindowError
from tickloop.ports import RawRead
from tickloop.services.chain import STEPS, run_window, step_named
from tickloop.services.due_step import catch_up
from tickloop.services.steps import mark_due, run_step

MARKET = "KRW-BTC"


def test_a_run_that_is_done_leaves_its_counts_and_time() -> None:
    """One row per step, market and window."""
    ports = home(made_trades(range(60)))

    result = run_step(ports, step_named("extract"), MARKET, HOUR)

    assert (result.state, result.detail["rows"]) == ("done", 180)
    row = ports.warehouse.read(RUN).row(0, named=True)
    assert (row["step"], row["market"], row["state"], row["attempts"]) == ("extract", MARKET, "done", 1)
    assert (row["window_start"], row["window_end"]) == (HOUR.start, HOUR.end)
    assert row["finished_at"] == to_datetime(ports.clock.now_ms())
    assert json.loads(row["detail"]) == {"rows": 180, "lines": 180, "repeats": 0, "dead": 0}


def test_a_run_that_fails_is_recorded_counted_and_raised() -> None:
    """The message is kept for people, the attempts for the scheduler."""
    ports = home([])
    for _ in range(2):
        with pytest.raises(DataError, match="run extract"):
            run_step(ports, step_named("load"), MARKET, HOUR)

    row = ports.warehouse.read(RUN).row(0, named=True)
    assert (row["state"], row["attempts"], ports.warehouse.read(RUN).height) == ("failed", 2, 1)
    assert json.loads(row["detail"])["kind"] == "DataError"
    assert "run extract" in json.loads(row["detail"])["error"]


class AwayRawStore(FakeRawStore):
    """A server that is down for some reads."""

    def __init__(self, trades: list[Trade], away: int) -> None:
        super().__init__(trades)
        self.away = away

    def read(self, market: str, window: Window) -> RawRead:
        self.away -= 1
        if self.away >= 0:
            raise StoreAwayError("the store cannot be reached")
        return super().read(market, window)


def test_a_server_that_stays_away_is_tried_again_for_as_long_as_it_does() -> None:
    """Three failures end the attempts at what is wrong in itself, not at what passes."""
    ports = home(made_trades(range(60)))
    ports.raw = AwayRawStore(made_trades(range(60)), away=20)
    failures = 0
    for _ in range(30):
        ports.clock.advance(MINUTE_MS)
        failures += len(catch_up(ports, MARKET, Cadence.HOUR).failures)

    runs = ports.warehouse.read(RUN).filter(pl.col("window_start") == HOUR.start)
    assert failures == 20
    assert set(runs["state"]) == {"done"}
    assert set(runs["step"]) == {step.name for step in STEPS if step.cadence is Cadence.HOUR}


def test_sequences_grow_while_the_market_clock_stands_or_goes_back() -> None:
    """A step must be seen to be older than an input that was made again at the same market time."""
    ports = home(made_trades(range(60)))
    sequences = []
    for name, step_back_ms in (("extract", 0), ("load", 0), ("extract", 0), ("load", MINUTE_MS)):
        ports.clock.set(ports.clock.now_ms() - step_back_ms)
        run_step(ports, step_named(name), MARKET, HOUR)
        sequences.append(int(ports.warehouse.read(RUN)["sequence"].max()))  # type: ignore[arg-type]

    assert sequences == sorted(set(sequences))


def test_a_window_that_is_held_elsewhere_yields_busy_and_writes_nothing() -> None:
    """One runner per step and window."""
    ports = home([])

    with ports.lock.hold("extract", MARKET, HOUR):
        result = run_step(ports, step_named("extract"), MARKET, HOUR)

    assert result.state == "busy"
    assert ports.warehouse.read(RUN).is_empty()
    assert run_step(ports, step_named("extract"), MARKET, HOUR).state == "done"


def test_a_mark_clears_the_attempts() -> None:
    """Asked for by hand or by a repair, a failure starts anew."""
    ports = home([])
    with pytest.raises(DataError):
        run_step(ports, step_named("load"), MARKET, HOUR)

    mark_due(ports, "load", MARKET, HOUR)

    assert ports.warehouse.read(RUN).select("state", "attempts").rows() == [("due", 0)]


@pytest.mark.parametrize(
    ("step", "market", "window", "error", "message"),
    [
        ("extract", "KRW-XRP", HOUR, UnknownMarketError, "KRW-XRP.*valid: KRW-BTC"),
        ("extract", MARKET, Window(START_MS, START_MS + 3 * HOUR_MS), WindowError, "is not over at 2024-01-22T02:00"),
        ("extract", MARKET, Window(START_MS, START_MS + MINUTE_MS), WindowError, "not made of whole hours"),
        ("train", MARKET, HOUR, WindowError, "slots of 6 h.*valid: 2024-01-22T00..2024-01-22T06"),
    ],
)
def test_wrong_use_is_refused_before_anything_is_touched(
    step: str, market: str, window: Window, error: type[UsageError], message: str
) -> None:
    """The message names what was wrong and what would be valid; the run ledger stays empty."""
    ports: FakePorts = home([])

    with pytest.raises(error, match=message):
        run_step(ports, step_named(step), market, window)

    assert ports.warehouse.read(RUN).is_empty()


def test_market_that_is_only_collected_is_run_up_to_its_bars() -> None:
    """`all` ends there, and a later step is refused by name."""
    ports = home(made_trades(range(60), "KRW-XRP"))
    ports.market_data.known.append("KRW-XRP")
    ports.collected = {"KRW-XRP": Span(START_MS)}

    results = run_window(ports, "all", "KRW-XRP", HOUR)

    assert [(result.step, result.state) for result in results] == [
        (name, "done") for name in ("extract", "load", "verify", "bars")
    ]
    with pytest.raises(UsageError, match=r"'train', but KRW-XRP is not in `markets`.*valid: all, extract"):
        run_window(ports, "train", "KRW-XRP", HOUR)


def test_an_unknown_step_lists_the_known_ones() -> None:
    """A typo is answered with the names."""
    with pytest.raises(UsageError, match="'loda' does not exist; valid: extract, load"):
        step_named("loda")


def test_a_slot_step_needs_a_whole_slot_in_the_window() -> None:
    """Two hours hold no slot of six."""
    ports = home([])

    with pytest.raises(WindowError, match="no whole slot of 6 h"):
        run_window(ports, "train", MARKET, Window(START_MS, START_MS + 2 * HOUR_MS))
