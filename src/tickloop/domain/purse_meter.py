"""The equity of several markets with one purse, minute by minute, kept as a replay goes on from chunk to chunk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tickloop.domain import rules
from tickloop.domain.backtest_bars import run_buy_and_hold
from tickloop.domain.backtest_book import PENDING
from tickloop.domain.backtest_purse import Leg
from tickloop.domain.backtest_shelf import Shelf
from tickloop.domain.fills import funds_of
from tickloop.domain.market import QTY_UNITS
from tickloop.domain.strategy import BUY
from tickloop.domain.tables import TIME
from tickloop.domain.tape import BarTape
from tickloop.domain.window import MINUTE_MS
from tickloop.errors import NotEnoughDataError


@dataclass
class Seen:
    """What is kept of a market's minutes; `qty_e8` is what it held at the end of the last.

    Attributes:
        first: its first bar.
        minutes: how many there were.
        last_ms, close: start and last price of the last one.
        low, high: of its closes, KRW.
    """

    first: BarTape
    minutes: int
    last_ms: int
    close: float
    low: float
    high: float
    qty_e8: int = 0


class PurseMeter:
    """Keeps a few numbers a minute, whatever the number of markets and trades."""

    def __init__(self, legs: Sequence[Leg], budget: float) -> None:
        self.seen: dict[int, Seen] = {}
        self._legs = tuple(legs)
        self._budget = budget
        self._spent = 0.0
        self._open_row = 0  # orders before it were done when last looked at
        self._since_ms = -1
        self._kept: list[NDArray[np.float64]] = []
        self._minutes: list[NDArray[np.int64]] = []

    def note(self, shelf: Shelf, bars: Sequence[BarTape]) -> None:
        """Take the minutes of a chunk, after its replay.

        Args:
            shelf: the books; every fill of the chunk is in them, and none later than its last minute.
            bars: the minutes of each market; those of a chunk begin after those of the one before.
        """
        times = [tape.ts_ms for tape in bars if len(tape.ts_ms)]
        if not times:
            return
        minutes = np.unique(np.concatenate(times))
        rows, owners = self._filled(shelf)
        sign = np.where(rows["side"] == BUY, 1, -1)
        done = np.searchsorted(rows["filled_ms"], minutes + MINUTE_MS, side="left")
        # One sum from the first fill on, so that equal fills give equal bits however they are cut.
        spent = np.cumsum(np.concatenate([[self._spent], sign * rows["funds"] + rows["fee"]]))
        value, held = np.zeros(len(minutes)), np.zeros(len(minutes))
        for market, tape in enumerate(bars):
            self._see(market, tape)
            if market in self.seen:
                mine = owners == market
                moves = np.where(mine, sign * rows["qty_e8"], 0)
                qty_e8 = self.seen[market].qty_e8 + np.concatenate([[0], np.cumsum(moves)]).astype(np.int64)
                value += self._value(market, tape, minutes, qty_e8[done])
                held += qty_e8[done]
                self.seen[market].qty_e8 = int(qty_e8[-1])
        for market, tape in enumerate(bars):
            if len(tape.ts_ms):
                self.seen[market].close = float(tape.close[-1])
        self._spent = float(spent[-1])
        self._minutes.append(minutes)
        self._kept.append(np.stack([self._budget - spent[done], held, value]))

    def equity(self) -> pl.DataFrame:
        """Give ts, cash, qty_e8 (of all markets together), lots_value and equity, as a result of one market has them.

        Raises:
            NotEnoughDataError: if there was no minute.
        """
        if not self._minutes:
            raise NotEnoughDataError(
                f"no market of {[leg.market for leg in self._legs]} has a minute with a price; valid: at least one"
            )
        cash, held, value = np.concatenate(self._kept, axis=1)
        columns = {
            "ts": np.concatenate(self._minutes),
            "cash": cash,
            "qty_e8": held.astype(np.int64),
            "lots_value": value,
            "equity": cash + value,
        }
        return pl.DataFrame(columns).with_columns(pl.col("ts").cast(TIME))

    def last_value(self, market: int) -> float:
        """Give the KRW that a market's lots are worth at its last price, after the fee of selling them."""
        seen = self.seen.get(market)
        if seen is None:
            return 0.0
        return funds_of(seen.qty_e8, seen.close) * (1.0 - self._legs[market].params.fee_rate)

    def buy_and_hold_krw(self) -> float:
        """Give the profit of holding every market from its first minute on, with an equal part of the budget each."""
        part, profit = self._budget / len(self._legs), 0.0
        for market, seen in self.seen.items():
            params = self._legs[market].params
            book = run_buy_and_hold(seen.first, params, part)
            lots = int(book.qty_e8[: book.purse[0]["lots"]].sum())
            profit += float(book.purse[0]["cash"]) + funds_of(lots, seen.close) * (1.0 - params.fee_rate) - part
        return profit

    def is_confirmed(self) -> bool:
        """Tell whether every price unit of the markets' spans is confirmed by a source."""
        return all(
            rules.is_confirmed_over(
                self._legs[market].market,
                Decimal(str(seen.low)),
                Decimal(str(seen.high)),
                int(seen.first.ts_ms[0]),
                seen.last_ms + MINUTE_MS,
            )
            for market, seen in self.seen.items()
        )

    def _filled(self, shelf: Shelf) -> tuple[NDArray[np.void], NDArray[np.int64]]:
        """Give the orders filled since the last time, in order of their fills, and their markets."""
        rows, owners = shelf.orders[self._open_row :], shelf.owners[self._open_row :]
        is_new = rows["filled_ms"] > self._since_ms
        is_open = rows["outcome"] == PENDING
        self._open_row += int(np.argmax(is_open)) if is_open.any() else len(rows)
        new, owners = rows[is_new], owners[is_new]
        order = np.argsort(new["filled_ms"], kind="stable")
        if len(new):
            self._since_ms = int(new["filled_ms"].max())
        return new[order], owners[order]

    def _see(self, market: int, tape: BarTape) -> None:
        if not len(tape.ts_ms):
            return
        low, high = float(tape.close.min()), float(tape.close.max())
        if market not in self.seen:
            first = BarTape(
                tape.market, tape.ts_ms[:1].copy(), tape.open[:1].copy(), tape.high[:1].copy(), tape.close[:1].copy()
            )
            self.seen[market] = Seen(first, 0, 0, float(tape.open[0]), low, high)
        seen = self.seen[market]
        seen.minutes += len(tape.ts_ms)
        seen.last_ms = int(tape.ts_ms[-1])
        seen.low, seen.high = min(seen.low, low), max(seen.high, high)

    def _value(
        self, market: int, tape: BarTape, minutes: NDArray[np.int64], qty_e8: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Value what a market held at the ends of minutes, at its last price until then."""
        close = np.concatenate([[self.seen[market].close], tape.close])
        last = close[np.searchsorted(tape.ts_ms, minutes, side="right")]
        return np.asarray(qty_e8 * last / QTY_UNITS * (1.0 - self._legs[market].params.fee_rate))
