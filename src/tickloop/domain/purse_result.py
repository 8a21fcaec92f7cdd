"""What a back-test of several markets with one purse says: the figures of the purse, and what each market did to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from tickloop.domain.backtest_book import Book, unsellable_e8
from tickloop.domain.backtest_purse import Leg
from tickloop.domain.backtest_result import BacktestResult, Setup, money, orders_frame, trips_frame
from tickloop.domain.backtest_shelf import Shelf
from tickloop.domain.fills import funds_of
from tickloop.domain.order_terms import check_totals
from tickloop.domain.purse_meter import PurseMeter
from tickloop.domain.window import MINUTE_MS


@dataclass(frozen=True)
class PurseResult:
    """One run over several markets.

    Attributes:
        total: the purse as if it were one market: its `orders` and `trips` have a column `market`, its equity is that
            of all lots together, and it is held against buying and holding each market with an equal part.
        markets: one row per market, in the order of the run: market, minutes, orders, buys, sells, no_fill, trades,
            fees_krw, turnover_krw, realized_krw, open_lots, open_value_krw, profit_krw (what it brought and holds, less
            what it took).
    """

    total: BacktestResult
    markets: pl.DataFrame

    @property
    def orders(self) -> pl.DataFrame:
        return self.total.orders

    @property
    def trips(self) -> pl.DataFrame:
        return self.total.trips

    @property
    def equity(self) -> pl.DataFrame:
        return self.total.equity

    @property
    def profit_krw(self) -> float:
        return self.total.profit_krw

    def summary(self) -> dict[str, Any]:
        """Give the figures of the purse by the names of `BacktestResult.summary`, and `markets` with a row for each.

        Where the profit is withheld, so are the profits of the markets.
        """
        rows = self.markets.to_dicts()
        if self.total.is_withheld:
            hidden = ("realized_krw", "open_value_krw", "profit_krw")
            rows = [row | dict.fromkeys(hidden) for row in rows]
        return self.total.summary() | {"markets": rows}


def purse_result_of(
    shelf: Shelf, legs: Sequence[Leg], setup: Setup, meter: PurseMeter, extra: Mapping[str, Any] | None = None
) -> PurseResult:
    """Read the books that a replay has filled.

    Args:
        setup: of the run; its market and parameters are replaced by those of the legs.
        meter: has seen every minute of the run.
        extra: figures to show beside.

    Raises:
        NotEnoughDataError: if no market had a minute with a price.
        UsageError: if a sell was worth more than the exchange takes as one order.
    """
    names = [leg.market for leg in legs]
    books = [shelf.book(market) for market in range(len(legs))]
    for leg, book in zip(legs, books, strict=True):
        check_totals(book.orders, leg.market)
    owners = pl.Series("market", [names[owner] for owner in shelf.owners.tolist()], pl.String)
    whole = _all_of(shelf)
    orders = orders_frame(whole).insert_column(0, owners)
    bought = whole.trips[: whole.purse[0]["trips"], 0]
    trips = trips_frame(whole).insert_column(0, owners.gather(bought))
    small = [_unsellable(leg, book, meter, market) for market, (leg, book) in enumerate(zip(legs, books, strict=True))]
    total = BacktestResult(
        setup=replace(setup, market=",".join(names), params=legs[0].params),
        orders=orders,
        trips=trips,
        equity=meter.equity(),
        open_lots=sum(int(book.purse[0]["lots"]) for book in books),
        unsellable_lots=sum(lots for lots, _ in small),
        unsellable_krw=sum(krw for _, krw in small),
        waited=sum(int(book.purse[0]["unsellable"]) for book in books),
        rules_confirmed=meter.is_confirmed(),
        buy_and_hold_krw=meter.buy_and_hold_krw(),
        extra={**(extra or {}), "params_by_market": {leg.market: leg.params._asdict() for leg in legs}},
    )
    rows = [_row(leg, book, meter, market, trips) for market, (leg, book) in enumerate(zip(legs, books, strict=True))]
    return PurseResult(total, pl.DataFrame(rows))


def _all_of(shelf: Shelf) -> Book:
    """Give the orders and trips of all markets as one book, without lots."""
    purse = shelf.books.purse[:1].copy()
    purse[0]["orders"], purse[0]["trips"] = shelf.pool[0]["orders"], shelf.pool[0]["trips"]
    return shelf.books._replace(purse=purse)


def _unsellable(leg: Leg, book: Book, meter: PurseMeter, market: int) -> tuple[int, float]:
    seen = meter.seen.get(market)
    if seen is None:
        return 0, 0.0
    lots, qty_e8 = unsellable_e8(book, leg.params, seen.last_ms + MINUTE_MS, seen.close)
    return lots, funds_of(qty_e8, seen.close) * (1.0 - leg.params.fee_rate)


def _row(leg: Leg, book: Book, meter: PurseMeter, market: int, trips: pl.DataFrame) -> dict[str, Any]:
    orders = orders_frame(book)
    filled = orders.filter(pl.col("filled_at").is_not_null())
    buys, sells = (filled.filter(pl.col("side") == side) for side in ("BUY", "SELL"))
    value, fees = meter.last_value(market), float(filled["fee"].sum())
    mine = trips.filter(pl.col("market") == leg.market)
    return {
        "market": leg.market,
        "minutes": meter.seen[market].minutes if market in meter.seen else 0,
        "orders": orders.height,
        "buys": buys.height,
        "sells": sells.height,
        "no_fill": orders.filter(pl.col("outcome") == "no_fill").height,
        "trades": mine.height,
        "fees_krw": money(fees),
        "turnover_krw": money(float(filled["funds"].sum())),
        "realized_krw": money(float(mine["profit_krw"].sum())),
        "open_lots": int(book.purse[0]["lots"]),
        "open_value_krw": money(value),
        "profit_krw": money(float(sells["funds"].sum()) - float(buys["funds"].sum()) - fees + value),
    }
