"""The trades and forecasts of a bot's session as a back-test takes them, and what a modelled run makes of them.

A replay repeats the bot with the fills that it had; a modelled run has fills of a model, so it may part from the bot
at the first fill that differs. Both are shown side by side.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tickloop.domain.backtest_book import OUTCOMES
from tickloop.domain.backtest_purse import Leg, run_purse_ticks
from tickloop.domain.bot_session import Forecasted, Started
from tickloop.domain.fills import FillModel
from tickloop.domain.market import Side, Trade
from tickloop.domain.strategy import BUY
from tickloop.domain.tape import ForecastSeries, Tape, tape_from
from tickloop.errors import NotEnoughDataError, UsageError
from tickloop.ports import RecordedSession
from tickloop.services.replay_result import ReplayResult
from tickloop.services.replay_session import params_of, replay_session


class _Collected:
    """What one market's strategy was asked at, 40 bytes a trade and forecast."""

    def __init__(self) -> None:
        self.ts_ms, self.price = array("q"), array("d")
        self.minute_ms, self.forecast, self.usable_from_ms = array("q"), array("d"), array("q")


class Collector:
    """Implements `replay_session.Listener`: keeps the trades that were decided on, and the forecasts."""

    def __init__(self) -> None:
        self._markets: dict[str, _Collected] = {}

    def decided(self, trade: Trade) -> None:
        kept = self._of(trade.market)
        kept.ts_ms.append(trade.ts_event_ms)
        kept.price.append(trade.price)

    def forecast(self, fact: Forecasted, at_ms: int) -> None:
        if fact.forecast is not None:
            kept = self._of(fact.market)
            kept.minute_ms.append(fact.minute_ms)
            kept.forecast.append(fact.forecast.price)
            kept.usable_from_ms.append(at_ms)

    def tapes(self, markets: Sequence[str]) -> list[Tape]:
        """Give the tapes of those markets that have trades, in the order of the list."""
        found = [(market, self._of(market)) for market in markets]
        return [
            tape_from(market, np.array(kept.ts_ms, np.int64), np.array(kept.price, np.float64))
            for market, kept in found
            if kept.ts_ms
        ]

    def forecasts(self, market: str) -> ForecastSeries:
        kept = self._of(market)
        return ForecastSeries(
            np.array(kept.minute_ms, np.int64),
            np.array(kept.forecast, np.float64),
            np.array(kept.usable_from_ms, np.int64),
        )

    def _of(self, market: str) -> _Collected:
        return self._markets.setdefault(market, _Collected())


@dataclass(frozen=True)
class Beside:
    """A session beside a modelled run over its own trades and forecasts.

    Attributes:
        orders: of the modelled run, in order of decision: market, side, decided_ms, price, outcome, qty_e8, funds, fee.
        cash: KRW at the end of the modelled run.
    """

    replayed: ReplayResult
    model: FillModel
    orders: tuple[Mapping[str, Any], ...]
    cash: float

    def summary(self) -> dict[str, Any]:
        """Give figures of both by name, and how many decisions are the same."""
        sent = [one.order.intent for one in self.replayed.orders]
        mine = {(one.market, one.side.value, one.decided_at_ms) for one in sent}
        modelled = {(one["market"], one["side"], one["decided_ms"]) for one in self.orders}
        return {
            "fill_model": self.model.name,
            "session_orders": len(sent),
            "modelled_orders": len(self.orders),
            "same_decisions": len(mine & modelled),
            "session_cash": format(self.replayed.purse.cash, "f"),
            "modelled_cash": f"{self.cash:.2f}",
            "caveat": self.model.caveat or None,
        }


def beside_model(session: RecordedSession, model: FillModel) -> Beside:
    """Replay a session, and run the same trades and forecasts through the back-test's engine with a fill model.

    Raises:
        DataError: as `replay_session`.
        UsageError: the bot began with lots or with open orders, which a modelled run cannot take over.
        NotEnoughDataError: the strategy was asked at no trade.
    """
    collector = Collector()
    replayed = replay_session(session, collector)
    started = replayed.started
    if started is None:
        raise NotEnoughDataError(f"session {session.name}: {replayed.difference}")
    _check_start(session.name, started)
    params = params_of(started)
    tapes = collector.tapes(started.markets)
    if not tapes:
        raise NotEnoughDataError(f"session {session.name} has no trade that was decided on; valid: one or more")
    legs = [Leg(tape.market, params) for tape in tapes]
    forecasts = [collector.forecasts(leg.market) for leg in legs]
    shelf = run_purse_ticks(legs, tapes, forecasts, model, float(started.purse.cash))
    rows = zip(shelf.owners.tolist(), shelf.orders, strict=True)
    return Beside(replayed, model, tuple(_row(legs[owner].market, order) for owner, order in rows), shelf.cash)


def _check_start(name: str, started: Started) -> None:
    purse = started.purse
    if purse.lots or purse.open_orders:
        raise UsageError(
            f"session {name} began with {len(purse.lots)} lots and {len(purse.open_orders)} open orders; valid for a"
            " modelled run: a session that began with cash alone"
        )


def _row(market: str, order: Any) -> dict[str, Any]:
    return {
        "market": market,
        "side": (Side.BUY if order["side"] == BUY else Side.SELL).value,
        "decided_ms": int(order["decided_ms"]),
        "price": float(order["decision_price"]),
        "outcome": OUTCOMES[int(order["outcome"])],
        "qty_e8": int(order["qty_e8"]),
        "funds": float(order["funds"]),
        "fee": float(order["fee"]),
    }
