"""The rows of the run ledger that can matter now, so that a home of years is not read anew in each round."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from tickloop.domain.schedule import FAILED, MAX_ATTEMPTS
from tickloop.domain.tables import RUN
from tickloop.domain.window import DAY_MS, HOUR_MS, MINUTE_MS, Window
from tickloop.ports import Warehouse

RUN_BY_END = replace(RUN, time="window_end")
RUN_BY_FINISH = replace(RUN, time="finished_at")

HISTORY = "backfill"
"""Name under which the range of history stands in the run ledger: `due` while it is fetched, then `done`."""

RECENT_DAYS = 8
"""Days of runs that are read in each round; the exchange gives trades for seven, so repairs do not reach further."""

_SLOTS = 2  # the newest slot and the one before it stay in sight
_FAR_MS = 253_402_300_740_000  # 9999-12-31T23:59Z
_LATELY_MS = 2 * DAY_MS  # a scheduler that looks at single markets does so several times a day
_OVERLAP_NS = HOUR_MS * 1_000_000  # rows of other processes may be written after rows with a higher sequence


class RecentRuns:
    """Reads of one run ledger by one scheduler.

    The first read is of all rows. After a round in which nothing was due, nothing of an old hour can become due but by
    a row that was written since, or by the retry of a failure: as long as there is neither, old rows are left out.
    """

    def __init__(self, warehouse: Warehouse, slot_hours: int, recent_days: int = RECENT_DAYS) -> None:
        self._warehouse = warehouse
        self._reach_ms = recent_days * DAY_MS + _SLOTS * slot_hours * HOUR_MS
        self._since_ms = 0
        self._seen = 0

    def read(self, now_ms: int) -> tuple[pl.DataFrame, int]:
        """Give a RUN frame, and the hour since which it is complete (0: all of it): `Calendar.since_ms`."""
        if self._since_ms == 0 or self._is_old_touched(now_ms):
            return self._warehouse.read(RUN), 0
        window = Window(self._since_ms - HOUR_MS, _FAR_MS)
        return self._warehouse.read(RUN_BY_END, window=window), self._since_ms

    def settle(self, runs: pl.DataFrame, now_ms: int) -> None:
        """Take note that nothing in these rows, as `read` gave them, is due now."""
        since_ms = now_ms - self._reach_ms
        self._since_ms = max(HOUR_MS, since_ms - since_ms % HOUR_MS)
        self._seen = max(self._seen, int(runs["sequence"].max() or 0))  # type: ignore[arg-type]

    def _is_old_touched(self, now_ms: int) -> bool:
        start_ms = max(0, now_ms - DAY_MS)
        written = self._warehouse.read(RUN_BY_FINISH, window=Window(start_ms - start_ms % MINUTE_MS, _FAR_MS))
        is_retried = (pl.col("state") == FAILED) & (pl.col("attempts") < MAX_ATTEMPTS)
        is_new = pl.col("sequence") > self._seen - _OVERLAP_NS
        is_old = pl.col("window_start").to_physical() < self._since_ms
        return not written.filter(is_old & (is_new | is_retried)).is_empty()


def runs_over(warehouse: Warehouse, market: str, window: Window) -> pl.DataFrame:
    """Give the RUN rows of one market whose windows share an hour with this one."""
    ending = warehouse.read(RUN_BY_END, market, Window(window.start_ms, _FAR_MS))
    return ending.filter((pl.col("window_end") > window.start) & (pl.col("window_start") < window.end))


def live_since_ms(runs: pl.DataFrame) -> int:
    """Give the hour at which the history of these RUN rows ends and the live hours begin; 0 when none is in sight."""
    ends = runs.filter(pl.col("step") == HISTORY)["window_end"].to_physical()
    return int(ends.max() or 0)  # type: ignore[arg-type]


def recent_runs_of(warehouse: Warehouse, market: str, now_ms: int, slot_hours: int) -> tuple[pl.DataFrame, int]:
    """Give the RUN rows of one market that can matter now, and the hour since which they are complete.

    That reaches back over the days for which the exchange still has trades, and to every window written lately.
    """
    written = warehouse.read(RUN_BY_FINISH, market, Window(_whole_minute(now_ms - _LATELY_MS), _FAR_MS))
    written = written.filter(pl.col("step") != HISTORY)
    reach_ms = RECENT_DAYS * DAY_MS + _SLOTS * slot_hours * HOUR_MS
    oldest = written["window_start"].to_physical().min()
    since_ms = min(now_ms - reach_ms, now_ms if oldest is None else int(oldest))  # type: ignore[arg-type]
    since_ms = max(HOUR_MS, since_ms - since_ms % HOUR_MS)
    return warehouse.read(RUN_BY_END, market, Window(since_ms - HOUR_MS, _FAR_MS)), since_ms


def _whole_minute(ts_ms: int) -> int:
    return max(0, ts_ms - ts_ms % MINUTE_MS)
