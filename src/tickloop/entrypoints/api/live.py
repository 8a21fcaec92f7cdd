"""What the API process knows of one market while it runs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import polars as pl

from tickloop.domain.forecast import MAX_BAR_AGE_MIN, Forecast
from tickloop.domain.market import Trade
from tickloop.domain.recent_bars import RecentBars
from tickloop.domain.window import MINUTE_MS
from tickloop.services.predict import LiveForecaster, Serving

STALE_AFTER_MIN = MAX_BAR_AGE_MIN
"""Without a trade for so long no forecast can be made, so data is stale."""


@dataclass(frozen=True, slots=True)
class TickerNote:
    """What a ticker frame says of a market, as far as serving needs it."""

    market: str
    has_ended: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """A champion's forecast, or the reason why there is none."""

    market: str
    target_minute_ms: int
    forecast: Forecast | None
    reason: str | None = None


@dataclass
class LiveMarket:
    """Bars, models and stream of one market.

    Attributes:
        subscribed_at_ms: market time from which the stream was open; None while it has not been.
        last_trade_at_ms: market time at which the newest trade frame was received.
        has_ended: a ticker said that the market trades no more: silence is no alarm then.
        has_history: the start-up bars are in.
        filling: the fetch of candles that is under way.
    """

    bars: RecentBars
    forecaster: LiveForecaster
    subscribed_at_ms: int | None = None
    last_trade_at_ms: int | None = None
    has_ended: bool = False
    has_history: bool = False
    filling: asyncio.Task[None] | None = None
    _memo: tuple[Serving, pl.DataFrame, Answer] | None = field(default=None, repr=False)

    @property
    def market(self) -> str:
        return self.bars.market

    @property
    def stream(self) -> str:
        """Say `connecting`, `open` or `ended`."""
        if self.has_ended:
            return "ended"
        return "connecting" if self.subscribed_at_ms is None else "open"

    def take(self, trade: Trade) -> None:
        self.bars.add(trade)
        self.last_trade_at_ms = trade.ts_received_ns // 1_000_000

    def connected(self, since_ms: int | None, until_ms: int) -> None:
        self.bars.lost(since_ms, until_ms)
        self.subscribed_at_ms = until_ms

    def silent_min(self, now_ms: int) -> float | None:
        """Give the market minutes since the newest trade, or since the stream opened; None before that."""
        if self.subscribed_at_ms is None:
            return None
        return (now_ms - max(self.subscribed_at_ms, self.last_trade_at_ms or 0)) / MINUTE_MS

    def problems(self, now_ms: int) -> list[str]:
        """Say why this market cannot be served, one line for each cause; empty when it can."""
        found = []
        if self.forecaster.serving.champion is None:
            found.append("the registry has no champion; valid: a version with the alias champion")
        if self.has_ended:
            return found
        silent = self.silent_min(now_ms)
        if silent is None:
            found.append("not subscribed to the stream yet")
        elif silent > STALE_AFTER_MIN:
            found.append(f"no trade for {silent:.1f} market minutes; valid: at most {STALE_AFTER_MIN}")
        if not self.has_history:
            found.append("the start-up bars are not there yet")
        return found

    def answer(self, now_ms: int) -> Answer:
        """Forecast the minute after the newest closed one by the champion; the same bars and models answer once."""
        serving, bars = self.forecaster.serving, self.bars.frame()
        target = self.bars.closed_before_ms or now_ms - now_ms % MINUTE_MS
        if self._memo is not None:
            memo_serving, memo_bars, answer = self._memo
            if memo_serving is serving and memo_bars is bars and answer.target_minute_ms == target:
                return answer
        answer = self.answer_from(bars, target, now_ms)
        self._memo = (serving, bars, answer)
        return answer

    def answer_from(self, bars: pl.DataFrame, target_ms: int, now_ms: int) -> Answer:
        """Forecast one minute from the given bars by the champion, without touching the server's own."""
        if self.forecaster.serving.champion is None:
            return Answer(self.market, target_ms, None, "the registry has no champion for this market yet")
        forecast = self.forecaster.champion_forecast(bars, target_ms, now_ms)
        if forecast is not None:
            return Answer(self.market, target_ms, forecast)
        reason = f"too few bars, or the newest is more than {MAX_BAR_AGE_MIN} minutes older than the target"
        return Answer(self.market, target_ms, None, reason)
