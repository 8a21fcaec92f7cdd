"""The API process without HTTP: its own trade feed, the newest bars, and a forecast of every market each minute."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import structlog

from tickloop.domain.bars import candle_frame
from tickloop.domain.forecast import Forecast
from tickloop.domain.market import Trade
from tickloop.domain.recent_bars import RecentBars
from tickloop.domain.window import MINUTE_MS, Window
from tickloop.entrypoints.api.live import LiveMarket, TickerNote
from tickloop.errors import CorruptLineError, DataError, TickloopError, UnknownMarketError
from tickloop.ports import Clock, Disconnected, Frame, MarketData, ModelRegistry, TradeFeed, Warehouse
from tickloop.services.predict import HISTORY_MIN, LiveForecaster, start_up_bars, warm_up

REFRESH_S = 2.0
"""Real seconds between two looks at the registry's aliases."""

SETTLE_S = 0.01
"""Real seconds after a minute's end before it is closed: frames sent before it may still be on their way."""

FILL_WAIT_S = 0.25
"""Real seconds that the forecasts of a minute wait for the candles of minutes that the stream missed."""

RECHECK_S = 0.1
"""Real seconds between two looks at a market clock that is held: it moves again without notice."""

MAX_WAITING = 10_000
"""Forecasts waiting for the warehouse; at that many a minute is skipped and counted instead of forecast."""

Decode = Callable[[Frame], Trade | TickerNote | None]
"""Read one frame; None for a frame of another type, `CorruptLineError` for one that cannot be read."""

log = structlog.get_logger()


@dataclass
class Counts:
    """What happened since the start; read by `/metrics` and `/v1/status`."""

    forecasts: Counter[str] = field(default_factory=Counter)  # by market, all versions
    stored: int = 0
    skipped_minutes: int = 0
    reconnects: int = 0
    corrupt_frames: int = 0
    failures: Counter[str] = field(default_factory=Counter)  # by what failed and was tried again


class ServingRuntime:
    """Feed, bars, models and forecasts of all markets; the HTTP side only reads it.

    Everything but blocking calls runs on one event loop, so that no reader sees a half-changed state.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        feed: TradeFeed,
        decode: Decode,
        market_data: MarketData,
        warehouse: Warehouse,
        registry: ModelRegistry,
        forecasters: Sequence[LiveForecaster],
        forecast_delay_ms: int = 1_000,
        notice: str = "",
    ) -> None:
        """Take everything that is needed.

        Args:
            notice: what everybody who looks at the figures must know, for example that the exchange is simulated.
        """
        self.clock = clock
        self.notice = notice
        self.warehouse = warehouse
        self.registry = registry
        self.counts = Counts()
        self._feed = feed
        self._decode = decode
        self._market_data = market_data
        self._delay_ms = forecast_delay_ms
        self._waiting: list[Forecast] = []
        self._has_waiting = asyncio.Event()
        self._is_subscribed = asyncio.Event()
        self._is_prepared = asyncio.Event()
        self._live = {one.market: LiveMarket(RecentBars(one.market, HISTORY_MIN), one) for one in forecasters}

    @property
    def markets(self) -> tuple[str, ...]:
        return tuple(self._live)

    def live(self, market: str) -> LiveMarket:
        """Give the state of one market; `UnknownMarketError` names the valid ones."""
        try:
            return self._live[market]
        except KeyError:
            raise UnknownMarketError(market, self.markets) from None

    def all_live(self) -> tuple[LiveMarket, ...]:
        return tuple(self._live.values())

    def problems(self) -> list[str]:
        """Say why the process is not ready; empty when it is."""
        now_ms = self._now_ms()
        return [f"{live.market}: {problem}" for live in self.all_live() for problem in live.problems(now_ms)]

    async def started(self) -> None:
        """Wait until the stream is open and start-up bars and models were looked for once."""
        await self._is_subscribed.wait()
        await self._is_prepared.wait()

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, then store what is waiting.

        Raises:
            TickloopError: what ended it early, such as a warehouse that cannot be written.
        """
        try:
            async with asyncio.TaskGroup() as group:
                loops = (self.read_feed(), self._prepare_loop(), self._forecast_loop(), self._store_loop())
                tasks = [group.create_task(loop) for loop in loops]
                await stop.wait()
                for task in tasks:
                    task.cancel()
        except ExceptionGroup as failed:  # not `except*`: Python 3.11.2 wraps what is raised in it in another group
            ours, others = failed.split(TickloopError)
            if ours is None or others is not None:
                raise
            raise ours.exceptions[0] from failed
        await self.store_waiting()

    async def read_feed(self) -> None:
        """Take the frames of the feed into the bars until the feed ends."""
        async for item in self._feed.frames():
            if isinstance(item, Disconnected):
                self._note_gap(item)
            else:
                self._take(item)

    async def prepare(self) -> None:
        """Look at the registry's aliases, and fetch the start-up bars of markets that have none yet.

        What fails is logged and counted, and stays as it was until the next call.
        """
        for live in self.all_live():
            try:
                if not live.has_history:
                    now_ms = self._now_ms()
                    live.bars.seed(await asyncio.to_thread(start_up_bars, self._market_data, live.market, now_ms))
                    live.has_history = True
                if await asyncio.to_thread(live.forecaster.refresh):
                    log.info("models", market=live.market, names=live.forecaster.serving.names)
            except TickloopError as exc:
                self._note_failure("prepare", live.market, exc)

    async def forecast_minute(self, minute_ms: int) -> list[Forecast]:
        """Close all minutes before this one, forecast it for every market, and let the forecasts be stored."""
        await asyncio.gather(*(self._complete(live, minute_ms) for live in self.all_live()))
        if len(self._waiting) >= MAX_WAITING:
            self.counts.skipped_minutes += 1
            return []
        made: list[Forecast] = []
        for live in self.all_live():
            try:
                found = live.forecaster.forecast(live.bars.frame(), minute_ms, self._now_ms())
            except DataError as exc:
                self._note_failure("forecast", live.market, exc)
                continue
            self.counts.forecasts[live.market] += len(found)
            made += found
        ready_ms = self._now_ms()
        made = [replace(one, made_at_ms=ready_ms) for one in made]
        self._waiting += made
        self._has_waiting.set()
        return made

    async def store_waiting(self) -> None:
        """Store all forecasts that wait; the first write of a key stays, so a repeat is harmless."""
        batch = list(self._waiting)
        for live in self.all_live():
            own = [forecast for forecast in batch if forecast.market == live.market]
            self.counts.stored += await asyncio.to_thread(live.forecaster.store, own)
        del self._waiting[: len(batch)]

    def _note_gap(self, gap: Disconnected) -> None:
        if gap.since_ms is not None:
            self.counts.reconnects += 1
        for live in self.all_live():
            live.connected(gap.since_ms, gap.until_ms)
        self._is_subscribed.set()

    def _take(self, frame: Frame) -> None:
        try:
            event = self._decode(frame)
        except CorruptLineError as exc:
            self.counts.corrupt_frames += 1
            log.warning("frame left out", reason=str(exc))
            return
        live = None if event is None else self._live.get(event.market)
        if live is None:
            return
        if isinstance(event, Trade):
            live.take(event)
        elif isinstance(event, TickerNote):
            live.has_ended = event.has_ended

    async def _prepare_loop(self) -> None:
        await asyncio.to_thread(warm_up)
        while True:
            await self.prepare()
            self._is_prepared.set()
            await asyncio.sleep(REFRESH_S)

    async def _store_loop(self) -> None:
        while True:
            await self._has_waiting.wait()
            self._has_waiting.clear()
            await self.store_waiting()

    async def _forecast_loop(self) -> None:
        await self._is_prepared.wait()
        minute = self._due_minute()
        while True:
            await self._wait_until_due(minute)
            newest = max(minute, self._due_minute())
            self.counts.skipped_minutes += (newest - minute) // MINUTE_MS
            await self.forecast_minute(newest)
            minute = newest + MINUTE_MS

    async def _wait_until_due(self, minute_ms: int) -> None:
        await self._wait_until(minute_ms)
        began = time.monotonic()
        await self._wait_until(minute_ms + self._delay_ms)
        await asyncio.sleep(max(0.0, SETTLE_S - (time.monotonic() - began)))

    async def _wait_until(self, ts_ms: int) -> None:
        while (left := self.clock.real_seconds_until(ts_ms)) > 0:
            await asyncio.sleep(min(left, RECHECK_S))

    def _due_minute(self) -> int:
        """Give the newest minute whose forecast is due."""
        due = self._now_ms() - self._delay_ms
        return due - due % MINUTE_MS

    async def _complete(self, live: LiveMarket, minute_ms: int) -> None:
        """Close the minutes of one market; fetch what the stream missed, and wait for it a little."""
        missing = live.bars.close(minute_ms)
        if missing and live.filling is None:
            live.filling = asyncio.create_task(self._fill(live, missing))
        if live.filling is not None:
            await asyncio.wait([live.filling], timeout=FILL_WAIT_S)

    async def _fill(self, live: LiveMarket, missing: list[int]) -> None:
        try:
            window = Window(missing[0], missing[-1] + MINUTE_MS)
            candles = await asyncio.to_thread(self._market_data.candles, live.market, window)
            live.bars.fill(candle_frame(candles), missing)
        except TickloopError as exc:
            self._note_failure("candles", live.market, exc)
        finally:
            live.filling = None

    def _now_ms(self) -> int:
        return self.clock.now_ms()

    def _note_failure(self, what: str, market: str, exc: TickloopError) -> None:
        self.counts.failures[what] += 1
        log.warning("tried in vain", what=what, market=market, reason=str(exc))
