"""Which bars a forecast of a minute may use, and the pairs of features and target that come of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tickloop.domain.forecast import MAX_BAR_AGE_MIN
from tickloop.domain.market import MinuteState
from tickloop.domain.window import HOUR_MS, MINUTE_MS, Window
from tickloop.errors import NotEnoughDataError

MIN_PAIRS = 500
"""Fewer say nothing about a one-minute model: a working day has 480 minutes."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class SlotWindows(NamedTuple):
    train: Window
    gate: Window


def slot_windows(slot: Window, training_hours: int, gate_hours: int) -> SlotWindows:
    """Give the windows of a slot's data: the gate is its end, training lies before, and they do not touch each other's
    minutes."""
    gate_start = slot.end_ms - gate_hours * HOUR_MS
    return SlotWindows(Window(gate_start - training_hours * HOUR_MS, gate_start), Window(gate_start, slot.end_ms))


def rows_before(minutes: Ints, bar_opens: Ints, row_opens: Ints) -> tuple[Ints, Ints, Ints]:
    """Find for each minute the last bar before it and that bar's feature row.

    Args:
        minutes: starts of minutes, epoch ms.
        bar_opens: open times of all bars there are, ascending.
        row_opens: open times of the bars that have a feature row, ascending.

    Returns:
        (places in `minutes`, in `bar_opens`, in `row_opens`), all (n,): minutes are left out whose last bar opened
        more than MAX_BAR_AGE_MIN before them or has no feature row. An older bar never stands in.
    """
    if not (len(bar_opens) and len(row_opens)):
        nowhere = np.empty(0, np.int64)
        return nowhere, nowhere, nowhere
    bar = np.searchsorted(bar_opens, minutes, side="left") - 1
    opened = bar_opens[np.maximum(bar, 0)]
    row = np.minimum(np.searchsorted(row_opens, opened, side="left"), len(row_opens) - 1)
    is_usable = (bar >= 0) & (minutes - opened <= MAX_BAR_AGE_MIN * MINUTE_MS) & (row_opens[row] == opened)
    at = np.flatnonzero(is_usable)
    return at, bar[at], row[at]


@dataclass(frozen=True)
class Pairs:
    """What a model learns from, in order of time.

    Attributes:
        minute_ms: start of the minute whose vwap is the target, (n,).
        features: of the last bar before it, (n, f).
        target: log(vwap / last_price), (n,).
        last_price: close of the last bar before it, KRW, (n,).
        vwap: KRW, (n,).
    """

    minute_ms: Ints
    features: Floats
    target: Floats
    last_price: Floats
    vwap: Floats


def training_pairs(bars: pl.DataFrame, ts_open: Ints, features: Floats, before_ms: int) -> Pairs:
    """Pair each minute that has a vwap with the features of the last bar before it.

    Left out are minutes whose own bar or last bar before is `unknown`, whose last bar is too old (see `rows_before`),
    and all minutes that are not over by `before_ms`: the start of the gate, whose prices training must not see. The
    features of a pair end before its minute, so nothing of the gate is in them.

    Args:
        bars: a BAR_1M frame of one market, oldest first.
        ts_open: open time of the last bar that each row of `features` has seen, epoch ms, ascending.

    Raises:
        NotEnoughDataError: with fewer than MIN_PAIRS pairs.
    """
    opens = bars["ts_open"].dt.epoch("ms").to_numpy()
    close, vwap = bars["close"].to_numpy(), bars["vwap"].to_numpy()
    is_known = (bars["state"] != MinuteState.UNKNOWN.value).to_numpy()
    is_target = is_known & np.isfinite(vwap) & (opens + MINUTE_MS <= before_ms)
    target_bar = np.flatnonzero(is_target)
    at, last_bar, row = rows_before(opens[target_bar], opens, ts_open)
    is_kept = is_known[last_bar]
    bar, last_bar, row = target_bar[at][is_kept], last_bar[is_kept], row[is_kept]
    if len(bar) < MIN_PAIRS:
        raise NotEnoughDataError(
            f"{len(bar)} minutes have a vwap and the features before it, of {bars.height} bars; "
            f"valid: {MIN_PAIRS} or more"
        )
    target = np.log(vwap[bar] / close[last_bar])
    return Pairs(opens[bar], features[row], target, close[last_bar], vwap[bar])
