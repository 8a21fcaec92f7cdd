"""One market of the bot between two trades: its newest bars, this minute's forecast, and what the strategy says."""

from __future__ import annotations

import asyncio
import math
from decimal import Decimal
from typing import Protocol

import polars as pl
import structlog

from tickloop.domain import rules, strategy
from tickloop.domain.bars import candle_frame
from tickloop.domain.forecast import Forecast
from tickloop.domain.market import QTY_UNITS, Side, Trade
from tickloop.domain.orders import Cause, Intent
from tickloop.domain.purse import DecisionState, Lot, Purse
from tickloop.domain.recent_bars import RecentBars
from tickloop.domain.strategy import Params
from tickloop.domain.window import MINUTE_MS, Window
from tickloop.errors import DataError, TickloopError
from tickloop.ports import Clock, MarketData
from tickloop.services.predict import HISTORY_MIN, start_up_bars

FILL_PAUSE_S = 1.0
"""Real seconds before the candles of missed minutes are asked for again after a failure."""

log = structlog.get_logger()


class Forecaster(Protocol):
    """What a desk needs of `LiveForecaster`."""

    def refresh(self) -> bool: ...

    def champion_forecast(self, bars: pl.DataFrame, minute_ms: int, made_at_ms: int) -> Forecast | None: ...


class Desk:
    """What the bot knows of one market; it decides, and sends nothing.

    Attributes:
        forecast: the newest one made, of whatever minute.
        halted: why no order of this market leaves any more; empty while they may.
        decided: trades at which the strategy was asked.
    """

    def __init__(
        self,
        market: str,
        params: Params,
        order_krw: Decimal,
        forecaster: Forecaster,
        market_data: MarketData,
        clock: Clock,
        forecast_delay_ms: int,
    ) -> None:
        self.market = market
        self.recent = RecentBars(market, HISTORY_MIN)
        self.forecast: Forecast | None = None
        self.halted = ""
        self.decided = 0
        self._params = params
        self._order_krw = order_krw
        self._forecaster = forecaster
        self._market_data = market_data
        self._clock = clock
        self._delay_ms = forecast_delay_ms
        self._newest_ms = 0
        self._answered_minute = -1
        self._filling: asyncio.Task[None] | None = None
        self._state: DecisionState | None = None

    async def start(self) -> None:
        """Fetch the start-up bars and look for a champion; `TickloopError` when the bars cannot be had."""
        candles = await asyncio.to_thread(start_up_bars, self._market_data, self.market, self._clock.now_ms())
        self.recent.seed(candles)
        await self.refresh()

    async def refresh(self) -> None:
        """Follow the registry's champion; what fails is logged, and the models stay as they were."""
        try:
            await asyncio.to_thread(self._forecaster.refresh)
        except TickloopError as exc:
            log.warning("models not read", market=self.market, reason=str(exc))

    async def close(self) -> None:
        """End the fetch of candles that is under way."""
        if self._filling is not None:
            self._filling.cancel()
            await asyncio.wait([self._filling])

    def take(self, trade: Trade) -> bool:
        """Keep a trade, and make the forecast of its minute when that is due.

        Returns:
            False for a trade that is not decided on: it is known, its minute is closed, or it came after a later one
            (then it changes the stored bar, not decisions made).
        """
        if not self.recent.add(trade) or trade.ts_event_ms < self._newest_ms:
            return False
        self._newest_ms = trade.ts_event_ms
        minute = _minute_of(trade.ts_event_ms)
        if minute != self._answered_minute and trade.ts_event_ms >= minute + self._delay_ms:
            self._forecast_minute(minute)
        return True

    def purse_changed(self) -> None:
        """Read the purse again at the next decision."""
        self._state = None

    def decide(self, purse: Purse, trade: Trade) -> int:
        """Ask the strategy, once per trade as the back-test does: NOTHING, SELL or BUY."""
        if self._state is None:
            self._state = purse.decision_state(self.market)
        state, forecast = self._state, self._usable_forecast(trade)
        self.decided += 1
        return strategy.decide(
            self._params,
            state.entry,
            state.filled_at,
            state.qty_e8,
            state.lots,
            state.cash,
            state.last_buy_ms,
            state.in_flight,
            trade.ts_event_ms,
            trade.price,
            math.nan if forecast is None else forecast.price,
        )

    def buy(self, client_order_id: str, trade: Trade) -> Intent:
        """Give the intent of a BUY decided at this trade."""
        forecast = self._usable_forecast(trade)
        assert forecast is not None, "the strategy does not buy without a forecast"
        fee = rules.ceil_krw(self._order_krw * rules.fee_rate(self.market, trade.ts_event_ms))
        return Intent(
            client_order_id,
            self.market,
            Side.BUY,
            requested=self._order_krw,
            reserved=self._order_krw + fee,
            decided_at_ms=trade.ts_event_ms,
            price=trade.price,
            cause=Cause(forecast.target_minute_ms, forecast.model_version, forecast.price),
        )

    def sell(self, client_order_id: str, purse: Purse, trade: Trade) -> Intent:
        """Give the intent of a SELL decided at this trade: all lots that are due, as one order."""
        due = self._due(purse, trade.ts_event_ms, trade.price)
        return Intent(
            client_order_id,
            self.market,
            Side.SELL,
            requested=sum((lot.qty for lot in due), Decimal(0)),
            reserved=Decimal(0),
            decided_at_ms=trade.ts_event_ms,
            price=trade.price,
            lots=tuple(lot.lot_id for lot in due),
        )

    def unsellable(self, purse: Purse, at_ms: int) -> int:
        """Give the number of lots that are due but together below the exchange's minimum total."""
        price = self.recent.last_price()
        if price is None:
            return 0
        due = self._due(purse, at_ms, price)
        qty_e8 = int(sum((lot.qty for lot in due), Decimal(0)) * QTY_UNITS)
        return 0 if strategy.is_sendable(self._params, qty_e8, price) else len(due)

    def _due(self, purse: Purse, at_ms: int, price: float) -> list[Lot]:
        lots = purse.lots_of(self.market)
        return [lot for lot in lots if strategy.is_due(self._params, float(lot.entry), lot.filled_at_ms, at_ms, price)]

    def _usable_forecast(self, trade: Trade) -> Forecast | None:
        forecast = self.forecast
        if forecast is None or forecast.target_minute_ms != _minute_of(trade.ts_event_ms):
            return None
        return forecast

    def _forecast_minute(self, minute: int) -> None:
        """Forecast a minute once; while candles of missed minutes are on their way, the next trade tries again."""
        if self._filling is not None and not self._filling.done():
            return
        try:
            missing = self.recent.close(minute)
            if missing:
                self._filling = asyncio.create_task(self._fill(missing))
                return
            self.forecast = self._forecaster.champion_forecast(self.recent.frame(), minute, self._clock.now_ms())
        except DataError as exc:
            log.warning("no forecast", market=self.market, minute=minute, reason=str(exc))
        self._answered_minute = minute

    async def _fill(self, missing: list[int]) -> None:
        window = Window(missing[0], missing[-1] + MINUTE_MS)
        try:
            candles = await asyncio.to_thread(self._market_data.candles, self.market, window)
            self.recent.fill(candle_frame(candles), missing)
        except TickloopError as exc:
            log.warning("bars of a break not fetched", market=self.market, reason=str(exc))
            await asyncio.sleep(FILL_PAUSE_S)


def warm_decision(params: Params) -> None:
    """Ask the compiled strategy once, so that the first live trade does not wait for the compiler."""
    state = Purse(Decimal(0)).decision_state("KRW-NONE")
    strategy.decide(
        params,
        state.entry,
        state.filled_at,
        state.qty_e8,
        state.lots,
        state.cash,
        state.last_buy_ms,
        state.in_flight,
        0,
        1.0,
        math.nan,
    )
    strategy.is_due(params, 1.0, 0, 0, 1.0)
    strategy.is_sendable(params, 0, 1.0)


def _minute_of(ts_ms: int) -> int:
    return ts_ms - ts_ms % MINUTE_MS
