"""What is kept of a trial of a search: its figures, and its profit in each of the equal parts of the window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.backtest_book import FILLED, Book
from tickloop.domain.figures import SHARPE, Floats
from tickloop.domain.kernel import kernel
from tickloop.domain.market import QTY_UNITS
from tickloop.domain.search_space import Setting
from tickloop.domain.strategy import BUY, OrderParams
from tickloop.domain.window import MINUTE_MS, Window
from tickloop.errors import UsageError

PARTS = 96
"""Parts of a window whose profits are kept: quarters of an hour of a day, six for each of the over-fitting measure's
blocks; a window of fewer minutes has as many as it has minutes."""

_E8 = float(QTY_UNITS)


class Figures(NamedTuple):
    """One trial over the whole window; money is KRW after fees.

    Attributes:
        profit_krw: equity at the end less the cash at the start, open lots at the last price after the fee of selling.
        sharpe: mean over standard deviation of the profits of the parts of the window, not annualised.
        max_drawdown_krw: greatest fall of the equity at the ends of minutes.
        exposure: share of minutes at whose end lots were held.
        orders: all that were sent. `trades`: round trips.
    """

    profit_krw: float
    sharpe: float
    max_drawdown_krw: float
    exposure: float
    trades: int
    orders: int
    open_lots: int
    fees_krw: float
    turnover_krw: float


OBJECTIVES: Mapping[str, bool] = {
    "profit_krw": True,
    "sharpe": True,
    "max_drawdown_krw": False,
    "exposure": False,
    "fees_krw": False,
    "turnover_krw": False,
}
"""Figure that can be searched for -> whether more of it is better."""


@dataclass(frozen=True)
class Trial:
    """One setting that was run.

    Attributes:
        number: from 0, in the order in which the search came upon the settings.
        profits: KRW, float64 (parts,): they add up to the profit.
    """

    number: int
    setting: Setting
    figures: Figures
    profits: Floats


class Marks(NamedTuple):
    """The minutes of a window as they are needed to value a book.

    Attributes:
        ts_ms, close: start and last price of each minute with a price, (n,).
        part: part of the window in which each lies, int64 (n,), ascending from 0.
        parts: how many there are.
    """

    ts_ms: NDArray[np.int64]
    close: Floats
    part: NDArray[np.int64]
    parts: int


def marks_of(ts_ms: NDArray[np.int64], close: Floats, window: Window) -> Marks:
    """Cut a window into parts, whole minutes each and as equal as that allows.

    Args:
        ts_ms, close: every minute with a price, in order; all of them in the window.
    """
    minutes = (window.end_ms - window.start_ms) // MINUTE_MS
    parts = min(PARTS, minutes)
    part = (ts_ms - window.start_ms) // MINUTE_MS * parts // minutes
    return Marks(ts_ms, close, part, parts)


def trial_of(number: int, setting: Setting, book: Book, params: OrderParams, marks: Marks, cash: float) -> Trial:
    """Read a book that a replay from `cash` has filled; the figures are those of `backtest_result.result_of`."""
    purse = book.purse[0]
    rows = book.orders[: purse["orders"]]
    filled = rows[rows["outcome"] == FILLED]
    filled = filled[np.argsort(filled["filled_ms"], kind="stable")]
    sign = np.where(filled["side"] == BUY, 1, -1)
    paid = np.cumsum(sign * filled["funds"] + filled["fee"])
    qty_e8 = np.cumsum(sign * filled["qty_e8"])
    filled_ms = filled["filled_ms"].copy()
    ts, close, part, parts = marks
    equity, drawdown, held = _valued(ts, close, part, parts, filled_ms, paid, qty_e8, cash, params.fee_rate)
    profits = np.diff(equity, prepend=cash)
    figures = Figures(
        profit_krw=float(equity[-1] - cash),
        sharpe=float(SHARPE.of(profits)),
        max_drawdown_krw=float(drawdown),
        exposure=held / len(marks.ts_ms),
        trades=int(purse["trips"]),
        orders=len(rows),
        open_lots=int(purse["lots"]),
        fees_krw=float(filled["fee"].sum()),
        turnover_krw=float(filled["funds"].sum()),
    )
    return Trial(number, setting, figures, profits)


def objectives_of(text: str) -> tuple[str, ...]:
    """Read the names of what a search is for: one, or some by comma, of which the first decides which is best.

    Raises:
        UsageError: naming what is not known.
    """
    names = tuple(part.strip() for part in text.split(","))
    if unknown := [name for name in names if name not in OBJECTIVES]:
        raise UsageError(f"objective {unknown[0]!r} is not known; valid: {', '.join(OBJECTIVES)}, or some by comma")
    if len(set(names)) < len(names):
        raise UsageError(f"objectives {text!r} name one twice; valid: each once")
    return names


def merits(trials: Sequence[Trial], objectives: Sequence[str]) -> Floats:
    """Give (trials, objectives) so that more is better in each column."""
    signs = [1.0 if OBJECTIVES[name] else -1.0 for name in objectives]
    rows = [[getattr(one.figures, name) for name in objectives] for one in trials]
    return np.array(rows, np.float64).reshape(len(trials), len(objectives)) * signs


def best_first(trials: Sequence[Trial], objectives: Sequence[str]) -> list[Trial]:
    """Give trials by the first objective, then the others, then the number."""
    table = merits(trials, objectives)
    numbers = np.array([one.number for one in trials])
    columns = [-table[:, column] for column in reversed(range(len(objectives)))]
    return [trials[place] for place in np.lexsort([numbers, *columns])]


def pareto_front(trials: Sequence[Trial], objectives: Sequence[str]) -> list[Trial]:
    """Give the trials that no other equals in every objective, best first; of those that are equal, the first."""
    ordered = best_first(trials, objectives)
    table = merits(ordered, objectives)
    front: list[int] = []
    for place, row in enumerate(table):  # one that comes later is never better in all
        if not (table[front] >= row).all(axis=1).any():
            front.append(place)
    return [ordered[place] for place in front]


def matrix_of(trials: Sequence[Trial]) -> Floats:
    """Give the profits as the over-fitting measure takes them: (parts, trials)."""
    return np.stack([one.profits for one in trials], axis=1)


@kernel
def _valued(
    ts: NDArray[np.int64],
    close: Floats,
    part: NDArray[np.int64],
    parts: int,
    filled_ms: NDArray[np.int64],
    paid: Floats,
    qty_e8: NDArray[np.int64],
    cash: float,
    fee_rate: float,
) -> tuple[Floats, float, int]:
    """Give the equity at the end of each part, the greatest fall, and the minutes at whose end lots were held."""
    ends = np.empty(parts)
    keep = 1.0 - fee_rate
    equity = peak = cash
    drawdown = 0.0
    held = done = 0
    nth = 0
    for minute in range(len(ts)):
        while nth < part[minute]:
            ends[nth] = equity
            nth += 1
        while done < len(filled_ms) and filled_ms[done] < ts[minute] + MINUTE_MS:
            done += 1
        if done > 0:
            value = qty_e8[done - 1] * close[minute] / _E8 * keep
            equity = cash - paid[done - 1] + value
            held += qty_e8[done - 1] > 0
        peak = max(peak, equity)
        drawdown = max(drawdown, peak - equity)
    ends[nth:] = equity
    return ends, drawdown, held
