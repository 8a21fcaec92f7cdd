"""The forecast of each minute while the market runs: bars of what was missed first, then the champion's answer."""

from __future__ import annotations

import asyncio
from typing import Protocol

import polars as pl
import structlog

from tickloop.domain.bars import candle_frame
from tickloop.domain.bot_session import Forecasted, MinutesAsked, MinutesFilled, Seeded
from tickloop.domain.forecast import Forecast
from tickloop.domain.recent_bars import RecentBars
from tickloop.domain.window import MINUTE_MS, Window
from tickloop.errors import DataError, TickloopError
from tickloop.ports import Clock, MarketData
from tickloop.services.desk import Answer
from tickloop.services.predict import start_up_candles
from tickloop.services.session_log import Note, bars_sum

FILL_PAUSE_S = 1.0
"""Real seconds before the candles of missed minutes are asked for again after a failure."""

log = structlog.get_logger()


class Forecaster(Protocol):
    """What is needed of `LiveForecaster`."""

    def refresh(self) -> bool: ...

    def champion_forecast(self, bars: pl.DataFrame, minute_ms: int, made_at_ms: int) -> Forecast | None: ...


class LiveForecasts:
    """Implements `desk.MinuteForecasts` for one market; what it does is noted at once, for replays."""

    def __init__(self, market: str, forecaster: Forecaster, market_data: MarketData, clock: Clock, note: Note) -> None:
        self._market = market
        self._forecaster = forecaster
        self._market_data = market_data
        self._clock = clock
        self._note = note
        self._filling: asyncio.Task[None] | None = None

    @property
    def is_filling(self) -> bool:
        """Whether candles of missed minutes are on their way."""
        return self._filling is not None and not self._filling.done()

    async def start(self, recent: RecentBars) -> Seeded:
        """Fetch the start-up bars and look for a champion; `TickloopError` when the bars cannot be had."""
        now_ms = self._clock.now_ms()
        candles = await asyncio.to_thread(start_up_candles, self._market_data, self._market, now_ms)
        recent.seed(candle_frame(candles))
        await self.refresh()
        return Seeded(self._market, tuple(candles))

    async def refresh(self) -> None:
        """Follow the registry's champion; what fails is logged, and the models stay as they were."""
        try:
            await asyncio.to_thread(self._forecaster.refresh)
        except TickloopError as exc:
            log.warning("models not read", market=self._market, reason=str(exc))

    async def close(self) -> None:
        """End the fetch of candles that is under way."""
        if self._filling is not None:
            self._filling.cancel()
            await asyncio.wait([self._filling])

    def answer(self, recent: RecentBars, minute_ms: int) -> Answer | None:
        if self.is_filling:
            return None
        try:
            missing = recent.close(minute_ms)
            if missing:
                self._note(MinutesAsked(self._market, minute_ms, tuple(missing)))
                self._filling = asyncio.create_task(self._fill(recent, missing))
                return None
            bars = recent.frame()
            forecast = self._forecaster.champion_forecast(bars, minute_ms, self._clock.now_ms())
        except DataError as exc:
            log.warning("no forecast", market=self._market, minute=minute_ms, reason=str(exc))
            self._note(Forecasted(self._market, minute_ms, None, str(exc)))
            return Answer(None)
        self._note(lambda: Forecasted(self._market, minute_ms, forecast, bars=bars_sum(bars)))  # the sum takes a while
        return Answer(forecast)

    async def _fill(self, recent: RecentBars, missing: list[int]) -> None:
        window = Window(missing[0], missing[-1] + MINUTE_MS)
        try:
            candles = await asyncio.to_thread(self._market_data.candles, self._market, window)
            recent.fill(candle_frame(candles), missing)
        except TickloopError as exc:
            log.warning("bars of a break not fetched", market=self._market, reason=str(exc))
            await asyncio.sleep(FILL_PAUSE_S)
            self._note(MinutesFilled(self._market, tuple(missing), reason=str(exc)))
        else:
            self._note(MinutesFilled(self._market, tuple(missing), tuple(candles)))
