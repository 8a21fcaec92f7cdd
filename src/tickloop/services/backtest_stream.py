"""Back-test trades of any span in bounded memory: from the lake, some hours at a time, only time and price of each.

Held at once are the trades of one chunk, the orders, and a few numbers a minute; a strategy with a signal of its own
needs the closes of all minutes before, 16 bytes each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tickloop.domain.backtest_inputs import minutes_of
from tickloop.domain.backtest_job import Job
from tickloop.domain.backtest_purse import PurseReplay
from tickloop.domain.depth import Depth, depth_from
from tickloop.domain.purse_meter import PurseMeter
from tickloop.domain.purse_result import PurseResult, purse_result_of
from tickloop.domain.strategy_bars import signal_series
from tickloop.domain.tape import BarTape, ForecastSeries, Tape, forecast_series
from tickloop.domain.window import MINUTE_MS, Window
from tickloop.errors import NotEnoughDataError, UnknownMarketError, UsageError
from tickloop.ports import ModelVersion
from tickloop.services.backtest_purse import chosen_for_all, setup_of
from tickloop.services.backtest_run import check_minutes, chosen_by, version_for
from tickloop.services.lake_tape import read_tape
from tickloop.services.scoring import forecasts_over
from tickloop.services.steps import StepPorts

CHUNK_HOURS = 24
"""Hours of a chunk: a busy market-day is about a million trades, 16 MB."""


def stream_purse(ports: StepPorts, jobs: Sequence[Job], chunk_hours: int = CHUNK_HOURS) -> PurseResult:
    """Do as `run_purse` with jobs in tick mode, over trades of the lake that are read chunk by chunk.

    Args:
        jobs: their window is made of whole hours; one job alone is a purse of one market.
        chunk_hours: how many hours of all markets are held at once; the result does not depend on it.

    Raises:
        UsageError: as `run_purse`, and for jobs in bar mode.
        DataError, NotEnoughDataError, StrategyError: as `run_purse`, and if an hour of the window is not in the lake.
        WindowError: if the window is not made of whole hours.
    """
    chosen, legs = chosen_for_all(ports, jobs)
    window, model = jobs[0].window, chosen.model
    if jobs[0].mode != "ticks":
        raise UsageError(f"mode {jobs[0].mode!r} is not read from the lake; valid: ticks")
    markets = [_Market(ports, job) for job in jobs]
    replay = PurseReplay(legs, model, chosen.cash, strategy=chosen.strategy)
    meter = PurseMeter(legs, chosen.cash)
    for chunk in chunks_of(window, chunk_hours):
        tapes = [market.read(chunk) for market in markets]
        bars = [_minutes(tape) for tape in tapes]
        forecasts = [market.forecasts(chunk, minutes) for market, minutes in zip(markets, bars, strict=True)]
        depths = [market.depth(chunk) for market in markets] if model.is_by_depth else None
        replay.feed(tapes, forecasts, depths)
        meter.note(replay.shelf, bars)
    for market in markets:
        market.check_any()
    names = [None if market.version is None else market.version.name for market in markets]
    extra = {
        "forecasts": sum(market.forecast_count for market in markets),
        "unknown_minutes": sum(market.unknown_minutes for market in markets),
        "trades_on_tape": sum(market.trades for market in markets),
    }
    return purse_result_of(replay.shelf, legs, setup_of(jobs[0], chosen, names, ports.is_path_invented), meter, extra)


def chunks_of(window: Window, hours: int) -> Iterator[Window]:
    """Cut a window of whole hours into chunks.

    Raises:
        WindowError: if it is not made of whole hours.
        UsageError: if a chunk would have no hour.
    """
    if hours < 1:
        raise UsageError(f"chunk of {hours} hours is not valid; valid: 1 or more")
    all_hours = list(window.hours())
    for first in range(0, len(all_hours), hours):
        part = all_hours[first : first + hours]
        yield Window(part[0].start_ms, part[-1].end_ms)


@dataclass
class _Market:
    """What one market's reading has come to."""

    ports: StepPorts
    job: Job
    trades: int = 0
    books: int = 0
    forecast_count: int = 0
    unknown_minutes: int = 0
    version: ModelVersion | None = field(init=False)
    _last_ms: int = 0
    _bars: list[BarTape] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.job.market not in self.ports.markets:
            raise UnknownMarketError(self.job.market, self.ports.markets)
        self._chosen = chosen_by(self.ports, self.job)
        self.version = version_for(self.ports, self.job, self._chosen.strategy)

    def read(self, chunk: Window) -> Tape:
        self.unknown_minutes += check_minutes(self.ports, replace(self.job, window=chunk))
        tape = read_tape(self.ports.lake, self.job.market, chunk, self._last_ms)
        if len(tape.ts_ms):
            self._last_ms = int(tape.ts_ms[-1])
            self.trades += len(tape.ts_ms)
        return tape

    def forecasts(self, chunk: Window, minutes: BarTape) -> ForecastSeries:
        delay_ms = self.ports.strategy.forecast_delay_ms
        if self._chosen.strategy.signal is not None:
            return self._signal(chunk, minutes, delay_ms)
        if self.version is None:
            return _NO_FORECASTS
        rows = forecasts_over(self.ports, self.version, chunk)
        self.forecast_count += rows.height
        return forecast_series(rows, delay_ms)

    def depth(self, chunk: Window) -> Depth:
        """Give the order books that fills of a chunk can look at: some of the time before it too."""
        since = Window(max(self.job.window.start_ms, chunk.start_ms - MINUTE_MS), chunk.end_ms)  # more than MAX_AGE_MS
        found = depth_from(self.ports.raw.events("orderbook", self.job.market, since), self.job.market)
        self.books += len(found.ts_ms)
        return found

    def check_any(self) -> None:
        market, window = self.job.market, self.job.window
        if not self.trades:
            raise NotEnoughDataError(f"{market} has no trade in {window}; valid: a window with trades")
        if self._chosen.model.is_by_depth and not self.books:
            raise NotEnoughDataError(
                f"no order book of {market} was recorded in {window}; valid: a window that was collected with the"
                " setting collect.with_orderbook on, or fill model spread"
            )

    def _signal(self, chunk: Window, minutes: BarTape, delay_ms: int) -> ForecastSeries:
        """Give the signal of the minutes of a chunk: each is that of the closes before it, back to the first."""
        if len(minutes.ts_ms):
            self._bars.append(minutes)
        if not self._bars:
            return _NO_FORECASTS
        closes = np.concatenate([bars.close for bars in self._bars])
        ts_ms = np.concatenate([bars.ts_ms for bars in self._bars])
        self._bars = [BarTape(minutes.market, ts_ms, closes, closes, closes)]
        whole = signal_series(self._chosen.strategy, self._chosen.params, self._bars[0], delay_ms)
        part = slice(int(np.searchsorted(whole.minute_ms, chunk.start_ms)), None)
        return ForecastSeries(whole.minute_ms[part], whole.price[part], whole.usable_from_ms[part])


_NO_FORECASTS = ForecastSeries(np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64))


def _minutes(tape: Tape) -> BarTape:
    if len(tape.ts_ms):
        return minutes_of(tape)
    none = np.empty(0, np.float64)
    return BarTape(tape.market, tape.ts_ms, none, none, none)
