"""The laptop's scheduler: history, then hours as they close, through failures, restarts and stops."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from chain_fakes import FakePorts, candles_of, made_trades, minute_of
from fakes import START_MS, FakeMarketData, FakeRawStore, FixedClock
from tickloop.domain.market import Candle
from tickloop.domain.tables import BAR_1M, LEDGER, RUN, TRADE
from tickloop.domain.universe import Span
from tickloop.domain.window import DAY_MS, HOUR_MS, MINUTE_MS, Window
from tickloop.errors import RetryableError
from tickloop.services.pipeline import run_pipeline
from tickloop.settings import HistorySettings

MARKETS = ("KRW-BTC", "KRW-ETH")
HISTORY = HistorySettings(backfill_days=1)
LIVE = Window(START_MS, START_MS + 3 * HOUR_MS)


class MarketTime(threading.Event):
    """A stop event whose waits take ten market minutes each; set when the market reaches `until_ms`."""

    def __init__(self, clock: FixedClock, until_ms: int) -> None:
        super().__init__()
        self._clock, self._until_ms = clock, until_ms

    def wait(self, timeout: float | None = None) -> bool:
        self._clock.advance(10 * MINUTE_MS)
        if self._clock.now_ms() >= self._until_ms:
            self.set()
        return self.is_set()


@dataclass
class Statuses:
    """What the process said of itself; may ask it to stop at some point."""

    stop: threading.Event | None = None
    stop_at: str = ""
    said: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    def __call__(self, state: str, message: str = "", **detail: Any) -> None:
        self.said.append((state, message, detail))
        if self.stop is not None and self.stop_at and self.stop_at in message:
            self.stop.set()


class NightlyMarketData(FakeMarketData):
    """Fails for windows given in `down` the first time each is asked for."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.down: set[Window] = set()

    def candles(self, market: str, window: Window) -> list[Candle]:
        found = super().candles(market, window)
        if window in self.down:
            self.down.remove(window)
            raise RetryableError("the exchange does not answer")
        return found


def exchange() -> FakePorts:
    """Give a home before its first start: a day of history, then three live hours with a gap of two minutes."""
    made = [trade for seed, market in enumerate(MARKETS) for trade in made_trades(range(-1440, 180), market, seed + 1)]
    streamed = [trade for trade in made if minute_of(trade) >= 0 and minute_of(trade) not in (70, 71)]
    data = NightlyMarketData(candles_of(made), made)
    return FakePorts(MARKETS, FixedClock(START_MS), raw=FakeRawStore(streamed), market_data=data)


def run_until(ports: FakePorts, hour: int) -> Statuses:
    statuses = Statuses()
    run_pipeline(ports, HISTORY, statuses, MarketTime(ports.clock, START_MS + hour * HOUR_MS))
    return statuses


def test_history_then_live_hours_leave_no_minute_without_a_state() -> None:
    """The live stream takes over without a hole, and the gap in it is repaired."""
    ports = exchange()

    statuses = run_until(ports, 5)

    for market in MARKETS:
        window = Window(START_MS - DAY_MS, LIVE.end_ms)
        ledger = ports.warehouse.read(LEDGER, market, window)
        assert ledger.group_by("state").len().sort("state").rows() == [
            ("verified", 178),
            ("repaired", 2),
            ("candle", 1440),
        ]
        assert ports.warehouse.read(BAR_1M, market, window).height == 1620
    assert {"starting", "working", "ready", "stopped"} == {state for state, _, _ in statuses.said}


def test_a_restart_goes_on_without_fetching_history_again() -> None:
    """The run ledger remembers where the live hours began."""
    ports = exchange()
    run_until(ports, 3)
    asked = len(ports.market_data.asked)

    run_until(ports, 5)

    windows = [window for _, _, window in ports.market_data.asked[asked:]]
    assert windows
    assert all(window.start_ms >= START_MS for window in windows)
    assert hours_done(ports) == [0, 1, 2]


def test_hours_missed_while_the_machine_slept_are_caught_up() -> None:
    """The clock jumps; nothing is skipped."""
    ports = exchange()
    run_until(ports, 1)
    ports.clock.set(START_MS + 5 * HOUR_MS)

    run_until(ports, 6)

    assert hours_done(ports) == [0, 1, 2, 3]


def test_a_step_that_fails_is_tried_again_and_stops_nothing() -> None:
    """The exchange is away for the second hour at first."""
    ports = exchange()
    assert isinstance(ports.market_data, NightlyMarketData)
    ports.market_data.down = {Window(START_MS + HOUR_MS, START_MS + 2 * HOUR_MS)}

    statuses = run_until(ports, 6)

    assert any("verify" in message and "does not answer" in message for _, message, _ in statuses.said)
    assert hours_done(ports)[:3] == [0, 1, 2]


def test_a_stop_during_the_back_fill_is_heard_and_the_next_start_goes_on() -> None:
    """The range of history is that of the first start, not of the next one."""
    ports = exchange()
    stop = threading.Event()
    statuses = Statuses(stop, "0 of 1,440")
    run_pipeline(ports, HISTORY, statuses, stop)
    assert statuses.said[-1][0] == "stopped"
    ports.clock.set(START_MS + 3 * HOUR_MS)

    run_until(ports, 5)

    assert hours_done(ports) == [0, 1, 2]
    assert ports.warehouse.read(LEDGER, "KRW-ETH", Window(START_MS - DAY_MS, START_MS)).height == 1440


def test_without_history_the_live_hours_begin_with_the_hour_of_the_first_start() -> None:
    """Also after a restart."""
    ports = exchange()
    none = HistorySettings(backfill_days=0)
    for hour in (2, 5):
        run_pipeline(ports, none, Statuses(), MarketTime(ports.clock, START_MS + hour * HOUR_MS))

    assert hours_done(ports) == [0, 1, 2]
    assert ports.warehouse.read(LEDGER, "KRW-BTC", Window(START_MS - DAY_MS, START_MS)).is_empty()


def test_hours_of_markets_that_are_only_collected_are_settled_too() -> None:
    """Extracted, loaded, labelled and repaired up to their bars; no history, no features, no model."""
    ports = exchange()
    other = made_trades(range(180), "KRW-XRP", 9)
    ports.market_data.known.append("KRW-XRP")
    ports.market_data.stored_candles += candles_of(other)
    ports.market_data.stored_trades += other
    ports.raw.lines += [trade for trade in other if minute_of(trade) not in (80, 81)]
    ports.collected = {"KRW-XRP": Span(START_MS + HOUR_MS + 7 * MINUTE_MS)}

    run_until(ports, 5)

    ledger = ports.warehouse.read(LEDGER, "KRW-XRP")
    assert ledger.group_by("state").len().sort("state").rows() == [("verified", 118), ("repaired", 2)]
    assert ports.warehouse.read(TRADE, "KRW-XRP").height == 360
    assert ports.warehouse.read(BAR_1M, "KRW-XRP").height == 120
    steps = set(ports.warehouse.read(RUN, "KRW-XRP")["step"])
    assert steps == {"extract", "load", "verify", "bars"}
    assert hours_done(ports) == [0, 1, 2]
    assert ports.registry.champion("KRW-XRP") is None


def hours_done(ports: FakePorts, market: str = "KRW-BTC") -> list[int]:
    runs = ports.warehouse.read(RUN, market, Window(START_MS, START_MS + DAY_MS))
    done = runs.filter((pl.col("step") == "features") & (pl.col("state") == "done"))
    return [(start - START_MS) // HOUR_MS for start in done["window_start"].to_physical()]
