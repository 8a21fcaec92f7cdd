"""What a back-test says: its orders, its equity by minute, and the figures that a reader must see together."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tickloop.domain import rules
from tickloop.domain.backtest_book import OUTCOMES, Book, unsellable_e8
from tickloop.domain.fills import funds_of
from tickloop.domain.market import QTY_UNITS
from tickloop.domain.order_terms import check_totals
from tickloop.domain.strategy import BUY, OrderParams
from tickloop.domain.tables import SIDE, TIME
from tickloop.domain.window import MINUTE_MS

Mode = Literal["bars", "ticks"]

WITHHELD = (
    "profit_krw",
    "profit_per_minute_krw",
    "against_buy_and_hold_krw",
    "realized_krw",
    "unrealized_krw",
    "open_value_krw",
    "unsellable_krw",
    "profit_pessimistic_krw",
    "max_drawdown_krw",
    "max_drawdown",
    "win_rate",
    "mean_profit_per_trade_krw",
    "profit_factor",
)
"""Figures that a made tape cannot give: they are None in `summary()`, for the reason WHY_WITHHELD."""

WHY_WITHHELD = (
    "the trades were made from candles: the path of prices inside a minute is invented, and so is any profit or loss "
    "from tick to tick, which is not shown; bar mode can tell"
)


@dataclass(frozen=True)
class Minutes:
    """The minutes that a run covered: their start in ms (int64) and last price in KRW (float64), both (n,)."""

    ts_ms: NDArray[np.int64]
    close: NDArray[np.float64]


@dataclass(frozen=True)
class Setup:
    """What a result was made with.

    Attributes:
        model_version: whose forecasts were used; None for strategies that use none.
        is_path_invented: True when prices inside a minute are assumed: bar mode, and tapes made from candles.
        caveat: what the fill model's name does not say.
        budget: KRW at the start.
    """

    market: str
    strategy: str
    model_version: str | None
    mode: Mode
    is_path_invented: bool
    fill_model: str
    latency_ms: int
    budget: float
    params: OrderParams
    caveat: str = ""


@dataclass(frozen=True)
class BacktestResult:
    """One run over one market.

    Attributes:
        orders: one row per order in order of decision: side, lots, decided_at, decision_price, forecast, outcome
            (filled, partial, no_fill, pending), filled_at, fill_price (funds / quantity), qty_e8, funds, fee (KRW),
            sent_e8 (what a filled sell had wanted to sell), levels (prices it filled at), book_at (time of the
            recorded order book it filled from).
        trips: one row per lot sold, or per part of one that a partial sell took: bought_at, sold_at, buy_price,
            sell_price, qty_e8, profit_krw after both fees.
        equity: one row per minute with a price, at its end: ts (start of the minute), cash, qty_e8, lots_value (at the
            minute's last price, after the fee of selling), equity; KRW.
        open_lots, open_e8: lots held at the end; `unsellable_*`: those due but too small to be sent.
        waited: lots that at some time were held to the limit and had to wait, too small to be sent.
        buy_and_hold_krw: profit of holding the market over the same minutes, valued the same way.
        rules_confirmed: False when a price unit of the span is not confirmed by a source.
    """

    setup: Setup
    orders: pl.DataFrame
    trips: pl.DataFrame
    equity: pl.DataFrame
    open_lots: int
    unsellable_lots: int
    unsellable_krw: float
    waited: int
    rules_confirmed: bool
    buy_and_hold_krw: float | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """Give the figures as JSON-ready values; money is KRW after fees, None where a figure has no meaning.

        From a made tape, tick by tick, those named in WITHHELD are None.
        """
        setup = self.setup
        shown = {
            "market": setup.market,
            "strategy": setup.strategy,
            "model_version": setup.model_version,
            "mode": setup.mode,
            "is_path_invented": setup.is_path_invented,
            "fill_model": setup.fill_model,
            "latency_ms": setup.latency_ms,
            "caveat": self.caveat,
            "rules_confirmed": self.rules_confirmed,
            "budget_krw": setup.budget,
            "params": setup.params._asdict(),
            **self._profit(),
            **self._orders(),
            **self._trips(),
            "buy_and_hold_krw": money(self.buy_and_hold_krw),
            "do_nothing_krw": 0.0,
            **self.extra,
        }
        return shown | dict.fromkeys(WITHHELD) if self.is_withheld else shown

    @property
    def is_withheld(self) -> bool:
        """Tell whether its profit means nothing: ticks that were made up between the prices of candles."""
        return self.setup.mode == "ticks" and self.setup.is_path_invented

    @property
    def caveat(self) -> str:
        """Give what a reader must know: the fill model's, and why figures are withheld."""
        return "; ".join(text for text in (WHY_WITHHELD if self.is_withheld else "", self.setup.caveat) if text)

    @property
    def profit_krw(self) -> float:
        """Equity at the end less the budget: open lots are in it at the last price after the fee of selling.

        Whoever shows it looks at `is_withheld` first.
        """
        return float(self.equity["equity"][-1]) - self.setup.budget

    def _profit(self) -> dict[str, Any]:
        minutes = self.equity.height
        equity = np.concatenate([[self.setup.budget], self.equity["equity"].to_numpy()])
        drawdown = np.maximum.accumulate(equity) - equity
        worst = int(np.argmax(drawdown))
        realized, held = float(self.trips["profit_krw"].sum()), self.buy_and_hold_krw
        return {
            "minutes": minutes,
            "profit_krw": money(self.profit_krw),
            "profit_per_minute_krw": round(self.profit_krw / minutes, 6),
            "against_buy_and_hold_krw": None if held is None else money(self.profit_krw - held),
            "realized_krw": money(realized),
            "unrealized_krw": money(self.profit_krw - realized),
            "open_lots": self.open_lots,
            "open_value_krw": money(float(self.equity["lots_value"][-1])),
            "unsellable_lots": self.unsellable_lots,
            "unsellable_krw": money(self.unsellable_krw),
            "waited_unsellable": self.waited,
            "profit_pessimistic_krw": money(self.profit_krw - self.unsellable_krw),
            "max_drawdown_krw": money(float(drawdown[worst])),
            "max_drawdown": round(float(drawdown[worst] / np.maximum.accumulate(equity)[worst]), 8),
            "exposure": round(float(np.mean(self.equity["qty_e8"].to_numpy() > 0)), 6),  # share of minutes with lots
        }

    def _orders(self) -> dict[str, Any]:
        filled = self.orders.filter(pl.col("filled_at").is_not_null())
        without = filled.filter(pl.col("book_at").is_null()).height
        return {
            "orders": self.orders.height,
            "buys": filled.filter(pl.col("side") == "BUY").height,
            "sells": filled.filter(pl.col("side") == "SELL").height,
            "no_fill": self.orders.filter(pl.col("outcome") == "no_fill").height,
            "partial": self.orders.filter(pl.col("outcome") == "partial").height,
            "fills_without_depth": without if self.setup.fill_model == "book" else None,
            "fees_krw": money(float(filled["fee"].sum())),
            "turnover_krw": money(float(filled["funds"].sum())),
        }

    def _trips(self) -> dict[str, Any]:
        profit = self.trips["profit_krw"].to_numpy()
        won, lost = float(profit[profit > 0].sum()), float(-profit[profit < 0].sum())
        return {
            "trades": len(profit),  # round trips: one lot bought and sold
            "win_rate": round(float((profit > 0).mean()), 6) if len(profit) else None,
            "mean_profit_per_trade_krw": money(float(profit.mean())) if len(profit) else None,
            "profit_factor": round(won / lost, 6) if lost else None,
        }


def result_of(book: Book, setup: Setup, minutes: Minutes, buy_and_hold_krw: float | None = None) -> BacktestResult:
    """Read a book that a replay has filled.

    Args:
        minutes: every minute with a price, in order; not empty.

    Raises:
        UsageError: if a sell was worth more than the exchange takes as one order.
    """
    check_totals(book.orders[: book.purse[0]["orders"]], setup.market)
    orders = orders_frame(book)
    end_ms, price = int(minutes.ts_ms[-1]) + MINUTE_MS, float(minutes.close[-1])
    small_lots, small_e8 = unsellable_e8(book, setup.params, end_ms, price)
    return BacktestResult(
        setup=setup,
        orders=orders,
        trips=trips_frame(book),
        equity=_equity_frame(book, setup, minutes),
        open_lots=int(book.purse[0]["lots"]),
        unsellable_lots=small_lots,
        unsellable_krw=funds_of(small_e8, price) * (1.0 - setup.params.fee_rate),
        waited=int(book.purse[0]["unsellable"]),
        rules_confirmed=_is_confirmed(setup.market, minutes),
        buy_and_hold_krw=buy_and_hold_krw,
    )


def orders_frame(book: Book) -> pl.DataFrame:
    """Give the orders of a book as `BacktestResult.orders`."""
    rows = book.orders[: book.purse[0]["orders"]]
    is_filled = rows["filled_ms"] >= 0
    frame = pl.DataFrame(
        {
            "side": np.where(rows["side"] == BUY, "BUY", "SELL").tolist(),
            "lots": rows["lots"],
            "decided_at": rows["decided_ms"],
            "decision_price": rows["decision_price"],
            "forecast": rows["forecast"],
            "outcome": [OUTCOMES[outcome] for outcome in rows["outcome"]],
            "filled_at": [int(ms) if ok else None for ms, ok in zip(rows["filled_ms"], is_filled, strict=True)],
            "fill_price": rows["fill_price"],
            "qty_e8": rows["qty_e8"],
            "funds": rows["funds"],
            "fee": rows["fee"],
            "sent_e8": [int(qty) if qty else None for qty in rows["sent_e8"]],
            "levels": rows["levels"],
            "book_at": [int(ms) if ms >= 0 else None for ms in rows["book_ms"]],
        },
        schema_overrides={
            "side": SIDE,
            "outcome": pl.String(),
            "filled_at": pl.Int64(),
            "sent_e8": pl.Int64(),
            "book_at": pl.Int64(),
        },
        nan_to_null=True,
    )
    return frame.with_columns(pl.col("decided_at", "filled_at", "book_at").cast(TIME))


def trips_frame(book: Book) -> pl.DataFrame:
    """Give the round trips of a book as `BacktestResult.trips`."""
    pairs = book.trips[: book.purse[0]["trips"]]
    buys, sells = book.orders[pairs[:, 0]], book.orders[pairs[:, 1]]
    funds = sells["fill_price"] * pairs[:, 2] / QTY_UNITS
    # Every lot bears its part of the fee of the sell that took it away, and of its buy what this part of it cost.
    share = pairs[:, 2] / buys["qty_e8"]
    fee = np.divide(sells["fee"] * funds, sells["funds"], out=np.zeros(len(pairs)), where=sells["funds"] > 0)
    frame = pl.DataFrame(
        {
            "bought_at": buys["filled_ms"],
            "sold_at": sells["filled_ms"],
            "buy_price": buys["fill_price"],
            "sell_price": sells["fill_price"],
            "qty_e8": pairs[:, 2],
            "profit_krw": funds - fee - buys["funds"] * share - buys["fee"] * share,
        }
    )
    return frame.with_columns(pl.col("bought_at", "sold_at").cast(TIME))


def _equity_frame(book: Book, setup: Setup, minutes: Minutes) -> pl.DataFrame:
    rows = book.orders[: book.purse[0]["orders"]]
    rows = rows[rows["filled_ms"] >= 0]
    rows = rows[np.argsort(rows["filled_ms"], kind="stable")]
    sign = np.where(rows["side"] == BUY, 1, -1)
    cash = np.concatenate([[setup.budget], setup.budget - np.cumsum(sign * rows["funds"] + rows["fee"])])
    qty_e8 = np.concatenate([[0], np.cumsum(sign * rows["qty_e8"])]).astype(np.int64)
    done = np.searchsorted(rows["filled_ms"], minutes.ts_ms + MINUTE_MS, side="left")
    value = qty_e8[done] * minutes.close / QTY_UNITS * (1.0 - setup.params.fee_rate)
    frame = pl.DataFrame(
        {
            "ts": minutes.ts_ms,
            "cash": cash[done],
            "qty_e8": qty_e8[done],
            "lots_value": value,
            "equity": cash[done] + value,
        }
    )
    return frame.with_columns(pl.col("ts").cast(TIME))


def _is_confirmed(market: str, minutes: Minutes) -> bool:
    low, high = Decimal(str(minutes.close.min())), Decimal(str(minutes.close.max()))
    return rules.is_confirmed_over(market, low, high, int(minutes.ts_ms[0]), int(minutes.ts_ms[-1]) + MINUTE_MS)


def money(krw: float | None) -> float | None:
    """Round KRW for people."""
    return None if krw is None else round(krw, 4) + 0.0  # + 0.0: no minus zero
