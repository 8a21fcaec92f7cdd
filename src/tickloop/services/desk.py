"""One market of the bot between two trades: its newest bars, this minute's forecast, and what the strategy says."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from tickloop.domain import rules, strategy
from tickloop.domain.forecast import Forecast
from tickloop.domain.market import QTY_UNITS, Side, Trade
from tickloop.domain.orders import Cause, Intent
from tickloop.domain.purse import DecisionState, Lot, Purse
from tickloop.domain.recent_bars import RecentBars
from tickloop.domain.strategy import Params
from tickloop.domain.window import MINUTE_MS
from tickloop.services.predict import HISTORY_MIN


@dataclass(frozen=True, slots=True)
class Answer:
    """What there is to a minute; `forecast` is None when it has none, for good."""

    forecast: Forecast | None


class MinuteForecasts(Protocol):
    """Where a desk has its forecasts from: the models, or the record of a session."""

    def answer(self, recent: RecentBars, minute_ms: int) -> Answer | None:
        """Close the minutes before and answer for this one; None while it cannot be told: the next trade asks again."""


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
        forecasts: MinuteForecasts,
        forecast_delay_ms: int,
    ) -> None:
        self.market = market
        self.recent = RecentBars(market, HISTORY_MIN)
        self.forecast: Forecast | None = None
        self.halted = ""
        self.decided = 0
        self._params = params
        self._order_krw = order_krw
        self._forecasts = forecasts
        self._delay_ms = forecast_delay_ms
        self._newest_ms = 0
        self._answered_minute = -1
        self._state: DecisionState | None = None

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
            answer = self._forecasts.answer(self.recent, minute)
            if answer is not None:
                self.forecast, self._answered_minute = answer.forecast, minute
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
