"""The bar engine for strategies that only say after each close whether to hold a lot or none.

A signal at the close of a bar is filled at the open of the next bar, one tick against us; what a bar's high and low
would have allowed is not used.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.backtest_book import Book, fill_buy, fill_sell, open_book, place
from tickloop.domain.fills import price_against
from tickloop.domain.kernel import kernel
from tickloop.domain.market import QTY_UNITS
from tickloop.domain.rules import LadderTable, ladder_table
from tickloop.domain.strategy import BUY, SELL, OrderParams, is_affordable, is_sendable
from tickloop.domain.tape import BarTape
from tickloop.domain.window import MINUTE_MS
from tickloop.errors import DataError

OUT, HOLD, STAY = 0, 1, 2
"""What is wanted after a close: no lot, a lot, or no change."""

_E8 = float(QTY_UNITS)


class Marks(NamedTuple):
    """What was seen at the closes: greatest fall from a peak of equity in KRW, and bars at whose end a lot was held."""

    drawdown_krw: float
    held_bars: int


def targets_of(signal: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Turn a signal (1.0, 0.0 or NaN after each close) into HOLD, OUT or STAY.

    Raises:
        DataError: if it holds another value.
    """
    is_hold, is_out = signal == 1.0, signal == 0.0
    if (wrong := ~(is_hold | is_out | np.isnan(signal))).any():
        bar = int(np.argmax(wrong))
        raise DataError(f"the signal of bar {bar} is {signal[bar]}; valid: 1.0 (hold), 0.0 (hold none), NaN (stay)")
    targets = np.full(len(signal), STAY, np.uint8)
    targets[is_hold] = HOLD
    targets[is_out] = OUT
    return targets


def run_targets(bars: BarTape, targets: NDArray[np.uint8], params: OrderParams, cash: float) -> tuple[Book, Marks]:
    """Replay targets over bars; give the book and what was seen on the way.

    Args:
        targets: uint8 (n,), one for each bar: what is wanted after its close.
        cash: KRW at the start. A buy spends `order_krw`; one that it does not cover is left out.
    """
    if len(targets) != len(bars.ts_ms):
        raise DataError(f"{len(targets)} targets for {len(bars.ts_ms)} bars; valid: one for each bar")
    book = open_book(cash, len(bars.ts_ms), 2 * len(bars.ts_ms))
    return book, Marks(*walk(book, params, ladders_of(bars), bars.ts_ms, bars.open, bars.close, targets))


def ladders_of(bars: BarTape) -> LadderTable:
    """Give the price units in force over the bars."""
    return ladder_table(bars.market, int(bars.ts_ms[0]), int(bars.ts_ms[-1]) + MINUTE_MS)


@kernel
def walk(
    book: Book,
    params: OrderParams,
    ladders: LadderTable,
    ts: NDArray[np.int64],
    opens: NDArray[np.float64],
    closes: NDArray[np.float64],
    targets: NDArray[np.uint8],
) -> tuple[float, int]:
    """Fill the book from its start; give drawdown and bars held, as in Marks."""
    purse = book.purse[0]
    peak, drawdown, held = purse["cash"], 0.0, 0
    bar = 1
    while True:
        if purse["lots"] == 0:
            bar = _next_hold(targets, bar)
            if bar == len(ts):
                return drawdown, held
            if not is_affordable(params, purse["cash"]):
                bar += 1
                continue
            _enter(book, params, ladders, ts[bar], opens[bar])
        elif targets[bar - 1] == OUT:
            if is_sendable(params, book.qty_e8[0], opens[bar]):
                _leave(book, params, ladders, ts[bar], opens[bar])
                drawdown = max(drawdown, peak - purse["cash"])
                peak = max(peak, purse["cash"])
                bar += 1
                continue
            _count_small(book)
        since = bar
        bar, peak, drawdown = _marked(params, closes, targets, bar, purse["cash"], book.qty_e8[0], peak, drawdown)
        held += bar - since
        if bar == len(ts):
            return drawdown, held


@kernel
def _next_hold(targets: NDArray[np.uint8], bar: int) -> int:
    """Give the first bar from `bar` on before whose open a lot was wanted, or the number of bars."""
    while bar < len(targets) and targets[bar - 1] != HOLD:
        bar += 1
    return bar


@kernel
def _marked(
    params: OrderParams,
    closes: NDArray[np.float64],
    targets: NDArray[np.uint8],
    bar: int,
    cash: float,
    qty_e8: int,
    peak: float,
    drawdown: float,
) -> tuple[int, float, float]:
    """Value the lot at this close and those after it, up to the bar before whose open none was wanted."""
    keep = 1.0 - params.fee_rate
    while True:
        equity = cash + qty_e8 * closes[bar] / _E8 * keep
        peak = max(peak, equity)
        drawdown = max(drawdown, peak - equity)
        bar += 1
        if bar == len(closes) or targets[bar - 1] == OUT:
            return bar, peak, drawdown


@kernel
def _enter(book: Book, params: OrderParams, ladders: LadderTable, ts_ms: int, price: float) -> None:
    row = place(book, BUY, 1, ts_ms, price, float(HOLD))
    fill_buy(book, params, row, ts_ms, price_against(ladders, price, ts_ms, 1))
    book.purse[0]["last_buy_ms"] = ts_ms


@kernel
def _count_small(book: Book) -> None:
    """Count the lot, once, as one that has to wait."""
    if not book.is_waiting[0]:
        book.is_waiting[0] = True
        book.purse[0]["unsellable"] += 1


@kernel
def _leave(book: Book, params: OrderParams, ladders: LadderTable, ts_ms: int, price: float) -> None:
    book.is_leaving[0] = True
    row = place(book, SELL, 1, ts_ms, price, float(OUT))
    fill_sell(book, params, row, ts_ms, price_against(ladders, price, ts_ms, -1))
