"""Where the profit of a back-test went: price moves, what filling cost, and fees. The parts add up to the profit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from tickloop.domain.backtest_result import BacktestResult
from tickloop.domain.market import QTY_UNITS


@dataclass(frozen=True)
class Costs:
    """KRW; costs are 0 or above unless filling was better than the price decided at.

    Attributes:
        moves: what the prices at the decisions alone would have brought, without any cost.
        filling: what filling cost against those prices: the ticks against us and the time until the fill.
        fees: paid on fills.
        leaving: the fee of selling what is still open, taken off its value.
    """

    moves: float
    filling: float
    fees: float
    leaving: float

    @property
    def profit(self) -> float:
        return self.moves - self.filling - self.fees - self.leaving


def costs_of(result: BacktestResult) -> Costs:
    """Split the profit of a result, open lots at the last price included."""
    orders = result.orders.filter(result.orders["filled_at"].is_not_null())
    sign = np.where(orders["side"].cast(pl.String).to_numpy() == "BUY", 1.0, -1.0)
    qty = orders["qty_e8"].to_numpy() / QTY_UNITS
    worse = orders["fill_price"].to_numpy() - orders["decision_price"].to_numpy()
    filling, fees = float((sign * qty * worse).sum()), float(orders["fee"].sum())
    kept = 1.0 - result.setup.params.fee_rate
    leaving = float(result.equity["lots_value"][-1]) / kept - float(result.equity["lots_value"][-1])
    return Costs(result.profit_krw + filling + fees + leaving, filling, fees, leaving)
