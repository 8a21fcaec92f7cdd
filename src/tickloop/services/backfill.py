"""History from the exchange: bars of any range from its candles, and trades of the days for which it still has them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass

import polars as pl

from tickloop.domain.bars import bars_from_candles, candle_frame
from tickloop.domain.ledger import REASON_BACKFILL, classify_backfill, kept_since_ms
from tickloop.domain.market import MinuteState
from tickloop.domain.schedule import DONE
from tickloop.domain.tables import BAR_1M, LEDGER
from tickloop.domain.window import DAY_MS, HOUR_MS, MINUTE_MS, Window, hour_of, to_ms
from tickloop.errors import HomeBusyError, TickloopError
from tickloop.services.build_features import features, mark_later
from tickloop.services.chain import run_hours
from tickloop.services.run_ledger import runs_over
from tickloop.services.steps import BUSY, RunRow, StepPorts, record_runs, require_over
from tickloop.services.verify import ask_rest

CANDLES, TRADES = "candles", "trades"

_DETAIL = {"backfill": True}
_CHAIN = ("extract", "load", "verify")


class BackfillStoppedError(TickloopError):
    """It was asked to stop: what was fetched stands, and the same back-fill goes on from there."""


@dataclass(frozen=True)
class Progress:
    """How far one market is.

    Attributes:
        phase: candles, or trades.
        done: minutes of the range that need nothing more in this phase, those that were there before included.
        total: minutes of the range.
    """

    market: str
    phase: str
    done: int
    total: int


Report = Callable[[Progress], None]


def backfill(
    ports: StepPorts,
    window: Window,
    report: Report,
    *,
    markets: Sequence[str] | None = None,
    parallel: int = 1,
    with_trades: bool = False,
    stop: threading.Event | None = None,
) -> dict[str, dict[str, int]]:
    """Make bars, ledger and features of a window from candles, a day at a time, and record their steps as done.

    Minutes get state `candle`, reason `backfill`, or `no_trade`. Hours whose bars were made before, or whose trades
    came live, stay as they are, so that a back-fill that was broken off goes on where it stopped, and none replaces
    what came live.

    Args:
        report: called once for each market and phase at its start, then after each part; never by two threads at once.
        markets: those to fill; None takes all of the home.
        parallel: markets fetched at a time; they share the exchange's rate limits.
        with_trades: afterwards fetch the trades of those hours for which the exchange still has them, and settle the
            hours by them: their minutes become `repaired` where the trades make up the candle.
        stop: when set, it ends at the next part.

    Returns:
        Per market: `bars` and `minutes` made now, `skipped` (minutes that were there), `left` (minutes whose steps
        have begun and are not through: the scheduler, or `with_trades`, ends them), `features`; with trades also
        `hours` (settled now), `trades` (new to us), `busy` (hours that another process works on).

    Raises:
        WindowError: if the window is not over or not made of whole hours.
        HomeBusyError: if another process fetches the same window.
        BackfillStoppedError: if `stop` was set.
        ExchangeError: if the exchange does not answer; hours done so far stand.
    """
    require_over(window, ports.clock.now_ms())
    list(window.hours())
    chosen = tuple(markets or ports.markets)
    run = _Backfill(ports, window, report, stop)
    with ExitStack() as locks:
        for market in chosen:
            if not locks.enter_context(ports.lock.hold("backfill", market, window)):
                raise HomeBusyError(f"{market} {window} is being back-filled by another process; wait for it to end")
        counts = run.each(run.candles, chosen, parallel)
        if with_trades:
            settled = run.each(run.trades, chosen, parallel)
            counts = {market: {**counts[market], **settled[market]} for market in chosen}
    return counts


class _Backfill:
    """One back-fill of several markets, each in one thread at a time."""

    def __init__(self, ports: StepPorts, window: Window, report: Report, stop: threading.Event | None) -> None:
        self._ports = ports
        self._window = window
        self._report = report
        self._stop = stop or threading.Event()
        self._halt = threading.Event()
        self._telling = threading.Lock()
        self._total = (window.end_ms - window.start_ms) // MINUTE_MS
        # Opened here, before there are threads: each is made at its first use.
        _ = (ports.clock, ports.raw, ports.lake, ports.warehouse, ports.market_data, ports.lock)

    def each(
        self, work: Callable[[str], dict[str, int]], markets: Sequence[str], parallel: int
    ) -> dict[str, dict[str, int]]:
        """Work on each market; the first that fails, or a Ctrl-C, ends the others at their next part."""
        with ThreadPoolExecutor(max_workers=min(parallel, len(markets)), thread_name_prefix="backfill") as pool:
            futures = {market: pool.submit(work, market) for market in markets}
            is_through = False
            try:
                is_through = not wait(futures.values(), return_when=FIRST_EXCEPTION).not_done
            finally:
                if not is_through:
                    self._halt.set()
                    pool.shutdown(wait=False, cancel_futures=True)
        _raise_first(list(futures.values()))
        return {market: future.result() for market, future in futures.items()}

    def candles(self, market: str) -> dict[str, int]:
        made, begun = self._hours(market)
        parts = list(self._parts(made | begun))
        counts = {
            "bars": 0,
            "minutes": sum(_minutes(part) for part in parts),
            "skipped": len(made) * 60,
            "left": len(begun - made) * 60,
        }
        done = counts["skipped"] + counts["left"]
        for part in parts:
            self._tell(market, CANDLES, done)
            counts["bars"] += self._from_candles(market, part)
            done += _minutes(part)
        counts["features"] = self._features(market, is_changed=bool(parts))
        self._tell(market, CANDLES, done)
        return counts

    def trades(self, market: str) -> dict[str, int]:
        hours = self._hours_without_trades(market)
        counts = {"hours": 0, "trades": 0, "busy": 0}
        done = self._total - len(hours) * 60
        for hour in hours:
            self._tell(market, TRADES, done)
            # The oldest first: they are the next that the exchange drops.
            self._from_trades(market, hour, counts)
            done += 60
        if hours:
            counts["features"] = self._features(market, is_changed=True)
        self._tell(market, TRADES, done)
        return counts

    def _from_candles(self, market: str, part: Window) -> int:
        ports = self._ports
        candles = candle_frame(ports.market_data.candles(market, part))
        rows = bars_from_candles(candles)
        ports.warehouse.replace(LEDGER, market, part, classify_backfill(market, part, candles))
        ports.warehouse.replace(BAR_1M, market, part, rows)
        record_runs(ports, [RunRow(step, market, part, DONE, _DETAIL) for step in ("verify", "bars")])
        return rows.height

    def _from_trades(self, market: str, hour: Window, counts: dict[str, int]) -> None:
        known = {number for part in self._ports.raw.read(market, hour) for number in part.trades["trade_id"]}
        fetched, _ = ask_rest(self._ports, market, [hour], known)
        results = run_hours(self._ports, market, hour, last="bars")
        counts["trades"] += len(fetched)
        counts["busy" if any(result.state == BUSY for result in results) else "hours"] += 1

    def _features(self, market: str, *, is_changed: bool) -> int:
        # All at once: a look-back into the day before costs more than the day's own vectors.
        count = int(features(self._ports, market, self._window)["rows"])
        record_runs(self._ports, [RunRow("features", market, self._window, DONE, {**_DETAIL, "rows": count})])
        if is_changed:
            mark_later(self._ports, market, self._window)
        return count

    def _hours(self, market: str) -> tuple[set[int], set[int]]:
        """Give the hours of the window whose bars are made, and those whose trades are on their way."""
        runs = runs_over(self._ports.warehouse, market, self._window)
        is_made = (pl.col("step") == "bars") & (pl.col("state") == DONE)
        return self._starts(runs.filter(is_made)), self._starts(runs.filter(pl.col("step").is_in(_CHAIN)))

    def _starts(self, runs: pl.DataFrame) -> set[int]:
        return {
            start
            for first, end in runs.select("window_start", "window_end").iter_rows()
            for start in range(max(to_ms(first), self._window.start_ms), min(to_ms(end), self._window.end_ms), HOUR_MS)
        }

    def _parts(self, left_out: set[int]) -> Iterator[Window]:
        """Yield the stretches of hours to be made, none longer than a day."""
        open_part: Window | None = None
        for hour in self._window.hours():
            if open_part is not None and (hour.start_ms in left_out or hour.start_ms % DAY_MS == 0):
                yield open_part
                open_part = None
            if hour.start_ms not in left_out:
                open_part = Window(open_part.start_ms if open_part is not None else hour.start_ms, hour.end_ms)
        if open_part is not None:
            yield open_part

    def _hours_without_trades(self, market: str) -> list[Window]:
        """Give the hours that the exchange still has the trades of, and that were not settled by any."""
        start_ms = max(self._window.start_ms, kept_since_ms(self._ports.clock.now_ms()))
        if start_ms >= self._window.end_ms:
            return []
        kept = Window(start_ms, self._window.end_ms)
        ledger = self._ports.warehouse.read(LEDGER, market, kept)
        is_open = (pl.col("reason") == REASON_BACKFILL) | (pl.col("state") == MinuteState.UNKNOWN.value)
        open_hours = {hour_of(to_ms(minute)) for minute in ledger.filter(is_open)["minute"]}
        made, _ = self._hours(market)
        return [hour for hour in kept.hours() if hour in open_hours or hour.start_ms not in made]

    def _tell(self, market: str, phase: str, done: int) -> None:
        with self._telling:
            self._report(Progress(market, phase, done, self._total))
        if done < self._total and (self._stop.is_set() or self._halt.is_set()):
            raise BackfillStoppedError(
                f"stopped while fetching {phase} of {market}, {done:,} of {self._total:,} minutes; "
                "the next start goes on from there"
            )


def _raise_first(futures: Sequence[Future[dict[str, int]]]) -> None:
    """Raise what ended the work, if anything did: rather a cause than the stop of another market that followed."""
    failures = [error for future in futures if not future.cancelled() and (error := future.exception()) is not None]
    causes = [error for error in failures if not isinstance(error, BackfillStoppedError)]
    for error in (*causes, *failures):
        raise error


def _minutes(part: Window) -> int:
    return (part.end_ms - part.start_ms) // MINUTE_MS
