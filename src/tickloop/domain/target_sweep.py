"""Many settings of one strategy over the same bars, without keeping the orders of any."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tickloop.domain.backtest_book import Book, open_book
from tickloop.domain.fills import funds_of
from tickloop.domain.kernel import kernel
from tickloop.domain.order_terms import check_one_term
from tickloop.domain.rules import LadderTable
from tickloop.domain.strategies.sma_cross import SmaCrossParams, is_above, sma_cross, summed
from tickloop.domain.strategy import NEVER
from tickloop.domain.strategy_params import check_params
from tickloop.domain.tape import BarTape
from tickloop.domain.target_bars import HOLD, OUT, STAY, ladders_of, walk
from tickloop.domain.window import MINUTE_MS
from tickloop.errors import UsageError

RESULT_DTYPE = np.dtype(
    [
        ("profit_krw", "f8"),
        ("orders", "i8"),
        ("trades", "i8"),
        ("fees_krw", "f8"),
        ("turnover_krw", "f8"),
        ("max_drawdown_krw", "f8"),
        ("held_bars", "i8"),
        ("open_lots", "i8"),
    ]
)


def sweep_sma(bars: BarTape, settings: Sequence[SmaCrossParams], cash: float) -> pl.DataFrame:
    """Run each setting of the SMA cross over all bars, from the same cash.

    Args:
        settings: they differ in `fast` and `slow` only; costs and order size are those of the first.

    Returns:
        One row per setting, in their order: fast, slow, profit_krw (an open lot at the last close after the fee of
        selling), orders (filled), trades (round trips), fees_krw, turnover_krw, max_drawdown_krw (at closes),
        held_bars, open_lots. The figures are those of `run_targets` for that setting.

    Raises:
        UsageError: if there is no setting, one is out of range or differs in more than the two lengths, or fee or size
            of orders change within the bars.
    """
    if not settings:
        raise UsageError("a sweep of no setting; valid: at least one")
    for setting in settings:
        _check(setting, settings[0])
    check_one_term(settings[0], bars.market, int(bars.ts_ms[0]), int(bars.ts_ms[-1]) + MINUTE_MS)
    pairs = np.array([(setting.fast, setting.slow) for setting in settings], np.int64)
    results = np.zeros(len(pairs), RESULT_DTYPE)
    book = open_book(cash, len(bars.ts_ms), 2 * len(bars.ts_ms))
    _sweep(book, settings[0], ladders_of(bars), bars.ts_ms, bars.open, bars.close, pairs, cash, results)
    columns = {"fast": pairs[:, 0], "slow": pairs[:, 1]} | {name: results[name] for name in RESULT_DTYPE.names or ()}
    return pl.DataFrame(columns)


def _check(setting: SmaCrossParams, first: SmaCrossParams) -> None:
    check_params(sma_cross, setting)
    if setting._replace(fast=first.fast, slow=first.slow) != first:
        raise UsageError(f"{setting} differs from {first} in more than fast and slow; valid: a sweep for each")


@kernel
def _sweep(
    book: Book,
    params: SmaCrossParams,
    ladders: LadderTable,
    ts: NDArray[np.int64],
    opens: NDArray[np.float64],
    closes: NDArray[np.float64],
    pairs: NDArray[np.int64],
    cash: float,
    results: NDArray[np.void],
) -> None:
    sums = summed(closes)
    targets = np.empty(len(closes), np.uint8)
    for row in range(len(pairs)):
        _clear(book, cash)
        _aim(sums, pairs[row, 0], pairs[row, 1], targets)
        drawdown, held = walk(book, params, ladders, ts, opens, closes, targets)
        _write(results[row], book, params, closes[-1], cash, drawdown, held)


@kernel
def _clear(book: Book, cash: float) -> None:
    purse = book.purse[0]
    purse["cash"] = cash
    purse["last_buy_ms"] = NEVER
    purse["lots"] = 0
    purse["orders"] = 0
    purse["trips"] = 0
    purse["unsellable"] = 0


@kernel
def _aim(sums: NDArray[np.int64], fast: int, slow: int, targets: NDArray[np.uint8]) -> None:
    """Write what the SMA cross wants after each close, as its signal does."""
    targets[: slow - 1] = STAY
    for bar in range(slow - 1, len(targets)):
        targets[bar] = HOLD if is_above(sums, fast, slow, bar) else OUT


@kernel
def _write(
    result: NDArray[np.void],
    book: Book,
    params: SmaCrossParams,
    close: float,
    cash: float,
    drawdown: float,
    held: int,
) -> None:
    purse = book.purse[0]
    fees = turnover = 0.0
    for row in range(purse["orders"]):
        fees += book.orders[row]["fee"]
        turnover += book.orders[row]["funds"]
    value = funds_of(book.qty_e8[0], close) * (1.0 - params.fee_rate) if purse["lots"] > 0 else 0.0
    result["profit_krw"] = purse["cash"] + value - cash
    result["orders"] = purse["orders"]
    result["trades"] = purse["trips"]
    result["fees_krw"] = fees
    result["turnover_krw"] = turnover
    result["max_drawdown_krw"] = drawdown
    result["held_bars"] = held
    result["open_lots"] = purse["lots"]
