"""The part of `ArrivalWatch` that nearly all trades take, compiled: for hundreds of trades at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.arrivals import Newest, PassUsual, TradeRows
from tickloop.domain.kernel import scanner


def pass_usual(newest: Newest, trades: TradeRows, late_before_ms: int) -> tuple[int, int]:
    """Remember trades up to one that is not newer than all of its market; give their number, and the late ones."""
    return _pass(
        newest.top_ids,
        newest.times_ms,
        newest.kept,
        newest.ids,
        newest.arrivals,
        trades.rows,
        trades.ids,
        trades.times_ms,
        trades.arrivals,
        trades.is_snapshot,
        late_before_ms,
    )


def load() -> PassUsual:
    """Give `pass_usual`, ready to be called: the first time ever it is compiled."""
    nothing = np.empty(0, np.int64)
    pass_usual(Newest.empty(1, 1), TradeRows(nothing, nothing, nothing, nothing, nothing), 0)
    return pass_usual


@scanner
def _pass(
    top_ids: NDArray[np.int64],
    newest_ms: NDArray[np.int64],
    kept: NDArray[np.int64],
    kept_ids: NDArray[np.int64],
    kept_arrivals: NDArray[np.int64],
    rows: NDArray[np.int64],
    ids: NDArray[np.int64],
    times_ms: NDArray[np.int64],
    arrivals: NDArray[np.int64],
    is_snapshot: NDArray[np.int64],
    late_before_ms: int,
) -> tuple[int, int]:
    width = kept_ids.shape[1]
    late = 0
    for n in range(len(rows)):
        row = rows[n]
        if ids[n] <= top_ids[row] or times_ms[n] < newest_ms[row]:
            return n, late
        top_ids[row] = ids[n]
        newest_ms[row] = times_ms[n]
        place = kept[row] % width
        kept_arrivals[row, place] = arrivals[n]
        kept_ids[row, place] = ids[n]
        kept[row] += 1
        if times_ms[n] < late_before_ms and not is_snapshot[n]:
            late += 1
    return len(rows), late
