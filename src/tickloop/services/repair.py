"""Repair while collecting: what a stream may have missed is asked of REST and appended to the raw store.

It runs beside collection and never holds it up. What it cannot settle, such as a gap that was forgotten because the
machine died, the hourly verify finds by the exchange's candles.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import structlog

from tickloop.domain.gaps import Gap, join
from tickloop.domain.window import DAY_MS, HOUR_MS, MINUTE_MS, Window, to_datetime
from tickloop.errors import BadRequestError, DataError, TickloopError, UsageError
from tickloop.ports import Clock, GapLog, MarketData, Notifier, RawStore
from tickloop.services.extract_marks import TROUBLE, ExtractMarks, MarkExtract

MARGIN_MS = 5_000
"""Asked for on both sides of a gap: the exchange's clock and ours differ by up to two seconds, messages take up to a
few, and the last ones before a loss may have been read but not synced. Trades that came all the same are left out or
do no harm."""

KEPT_MS = 7 * DAY_MS
"""Trades older than this can no longer be had (Upbit developer centre, recent trades: `days_ago` 1 to 7)."""

MOST_GAPS_PER_MARKET = 8
"""When a market has more, neighbours are joined: none is dropped, and memory is bounded by the number of markets."""

PART_MS = 6 * HOUR_MS
"""Longest stretch asked for at once: what was fetched before a failure stands and is not fetched again."""

_FIRST_DELAY_S = 1.0
_MOST_DELAY_S = 60.0
_WAIT_S = 1.0  # the market clock may start, stop or change speed while a gap's end is waited for
_TOLD_AFTER = 3  # failures in a row; one alone is a blip

_HOPELESS = (UsageError, BadRequestError, DataError)
"""Asking again gives the same answer: a market that was delisted, a request that is wrong."""

SUBJECT = "repair_failed"


@dataclass(frozen=True, slots=True)
class RepairFigures:
    """How repair stands.

    Attributes:
        pending, done: gaps that wait, and that were settled.
        given_up: gaps that were left to the hourly verify.
        trades: appended to the raw store.
        failures: attempts that failed.
        last_error: of the newest one; empty after an attempt that worked.
    """

    pending: int = 0
    done: int = 0
    given_up: int = 0
    trades: int = 0
    failures: int = 0
    last_error: str = ""


class Repairs:
    """Gaps in, trades from REST out, one gap after the other in a thread of its own.

    An attempt that fails is repeated after `first_delay_s` x 2^n, at most 60 s, of that a random half to whole, the
    others' turn in between, until the exchange no longer has the trades. Gaps that wait survive the process in `log`.

    Args:
        seen_until: the market time up to which a market was received before this process, by market; None for one
            that never was. Each is used once: for the first connection.
        has_kept: tells of a trade that the stream brought and that is on disk: it is left out, so that the share of
            REST in the journal stays honest. One in memory alone could be lost with the process.
        mark_extract: asks for the extract of an hour that is over.
    """

    def __init__(
        self,
        market_data: MarketData,
        raw: RawStore,
        clock: Clock,
        log: GapLog,
        notifier: Notifier,
        *,
        seen_until: Callable[[str], int | None],
        has_kept: Callable[[str, int], bool],
        mark_extract: MarkExtract,
        first_delay_s: float = _FIRST_DELAY_S,
    ) -> None:
        self._market_data = market_data
        self._raw = raw
        self._clock = clock
        self._log = log
        self._notifier = notifier
        self._seen_until = seen_until
        self._has_kept = has_kept
        self._marks = ExtractMarks(mark_extract, clock)
        self._first_delay_s = first_delay_s
        self._known: set[str] = set()
        self._expected: dict[str, int] = {}
        self._is_changed = False
        self._gaps: list[Gap] = []
        self._busy: Gap | None = None
        self._changed = threading.Condition()
        self._saving = threading.Lock()
        self._stop = threading.Event()
        self._figures = RepairFigures()
        self._in_a_row = 0
        self._log_line = structlog.get_logger(service="repair")
        self._thread = threading.Thread(target=self._run, name="repair", daemon=True)

    @property
    def figures(self) -> RepairFigures:
        with self._changed:
            return replace(self._figures, pending=len(self._gaps) + (self._busy is not None))

    def start(self) -> None:
        """Take up the gaps of earlier processes and begin."""
        self._add(self._log.load())
        self._thread.start()

    def close(self, timeout_s: float = 0.5) -> None:
        """Stop after the request that runs, or leave it alone after `timeout_s`; what waits is in the log."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(timeout_s)

    def missed(self, markets: Iterable[str], since_ms: int | None, until_ms: int | None) -> None:
        """Note that events of these markets may be missing between two market times.

        `since_ms` None is the first connection of a market in this process: it missed what came since an earlier one.
        `until_ms` None is now. When this returns, the gaps are in the log, unless its disk is full.
        """
        until_ms = self._clock.now_ms() if until_ms is None else until_ms
        found: list[Gap] = []
        for market in markets:
            start = since_ms if since_ms is not None else self._first_since(market)
            self._known.add(market)
            if start is not None:
                start = max(start - MARGIN_MS, until_ms - KEPT_MS)
                found.append(Gap(market, start, max(start, until_ms) + MARGIN_MS))
        self._add(found)
        self._save()

    def expect(self, markets: Iterable[str], since_ms: int) -> None:
        """Note that these markets, whose stream begins soon, may have traded since a market time."""
        self._expected |= dict.fromkeys(markets, since_ms)

    def _first_since(self, market: str) -> int | None:
        if market in self._expected:
            return self._expected.pop(market)
        return None if market in self._known else self._seen_until(market)

    def _add(self, gaps: Sequence[Gap]) -> None:
        if gaps:
            with self._changed:
                self._gaps = join([*self._gaps, *gaps], MOST_GAPS_PER_MARKET)
                self._is_changed = True
                self._changed.notify_all()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._save()
                gap = self._next()
                if gap is not None:
                    self._work(gap)
                else:
                    self._mark()
            self._save()
        except Exception as exc:  # the top of this thread: a bug here must not go unsaid, nor stop collection
            if self._stop.is_set():
                return  # the process ends, and what is used here may be closed already
            self._note(last_error=f"repair ended: {type(exc).__name__}: {exc}")
            self._notifier.alert(SUBJECT, f"repair ended by a bug, the hourly verify goes on: {exc!r}")
            raise

    def _work(self, gap: Gap) -> None:
        start_ms, problem = self._attempt(gap)
        self._put_back(gap, start_ms, is_hopeless=isinstance(problem, _HOPELESS))
        if problem is None:
            self._note_success()
        else:
            self._note_failure(gap, problem)

    def _next(self) -> Gap | None:
        """Take the next gap whose end is over; None after a short wait for one."""
        with self._changed:
            now_ms = self._clock.now_ms()
            ready = next((gap for gap in self._gaps if gap.end_ms <= now_ms), None)
            if ready is None:
                ends = [self._clock.real_seconds_until(gap.end_ms) for gap in self._gaps]
                self._changed.wait(min([_WAIT_S, *ends]))
                return None
            self._gaps.remove(ready)
            self._busy = ready
            return ready

    def _attempt(self, gap: Gap) -> tuple[int, TickloopError | OSError | None]:
        """Settle a gap part by part; give the time up to which that worked, and what stopped it."""
        start_ms = max(gap.start_ms, self._clock.now_ms() - KEPT_MS)
        try:
            while start_ms < gap.end_ms and not self._stop.is_set():
                end_ms = min(gap.end_ms, start_ms + PART_MS)
                self._settle(Gap(gap.market, start_ms, end_ms))
                start_ms = end_ms
        except TROUBLE as exc:
            return start_ms, exc
        return start_ms, None

    def _mark(self) -> None:
        """Have hours extracted again, while no gap waits: a warehouse that is locked or broken takes its time."""
        problem = self._marks.work()
        if problem is not None:
            self._say("extract could not be marked due", reason=str(problem))

    def _settle(self, part: Gap) -> None:
        answer = self._market_data.trades(part.market, _whole_minutes(part))
        missed = [
            trade for trade in answer if trade.ts_event_ms in part and not self._has_kept(trade.market, trade.trade_id)
        ]
        if missed:
            self._raw.append_repairs(missed)
            self._note(trades=len(missed))
            self._marks.note(part.market, (trade.ts_event_ms for trade in missed))

    def _put_back(self, gap: Gap, start_ms: int, *, is_hopeless: bool) -> None:
        """Keep what is left of a gap behind the others; joining comes first, so that memory stays bounded."""
        is_done = start_ms >= gap.end_ms
        with self._changed:
            self._busy = None
            self._is_changed = True
            if not is_done and not is_hopeless:
                own = [one for one in self._gaps if one.market == gap.market]
                others = [one for one in self._gaps if one.market != gap.market]
                left = replace(gap, start_ms=start_ms)
                self._gaps = [*others, *join([*own, left], MOST_GAPS_PER_MARKET)]
        self._note(done=is_done, given_up=not is_done and is_hopeless)

    def _note_success(self) -> None:
        if self._in_a_row >= _TOLD_AFTER:
            self._notifier.clear(SUBJECT, "repair by REST works again")
        self._in_a_row = 0
        self._note(last_error="")

    def _note_failure(self, gap: Gap, problem: TickloopError | OSError) -> None:
        text = f"{gap.market}, {to_datetime(gap.start_ms)} to {to_datetime(gap.end_ms)}: {problem}"
        self._note(failures=1, last_error=text)
        if isinstance(problem, _HOPELESS):
            self._notifier.alert(SUBJECT, f"{text}; left to the hourly verify", market=gap.market)
            return
        self._in_a_row += 1
        if self._in_a_row == _TOLD_AFTER:
            self._notifier.alert(SUBJECT, f"{text}; tried again", market=gap.market, failures=self._in_a_row)
        delay_s = min(self._first_delay_s * 2 ** min(self._in_a_row - 1, 10), _MOST_DELAY_S)
        self._stop.wait(delay_s * random.uniform(0.5, 1.0))  # noqa: S311 (spreads load, guards nothing)

    def _note(
        self, *, done: int = 0, given_up: int = 0, trades: int = 0, failures: int = 0, last_error: str | None = None
    ) -> None:
        with self._changed:
            was = self._figures
            self._figures = RepairFigures(
                0,
                was.done + done,
                was.given_up + given_up,
                was.trades + trades,
                was.failures + failures,
                was.last_error if last_error is None else last_error,
            )

    def _save(self) -> None:
        """Save what waits if that changed; a gap that is worked at waits too."""
        with self._saving:  # else an older list could be saved over a newer one
            with self._changed:
                if not self._is_changed:
                    return
                self._is_changed = False
                gaps = [*self._gaps, *([self._busy] if self._busy is not None else [])]
            try:
                self._log.save(gaps)
            except TROUBLE as exc:
                self._say("gaps could not be saved", reason=str(exc))

    def _say(self, event: str, **detail: str) -> None:
        try:
            self._log_line.warning(event, **detail)
        except OSError:
            return  # the log may lie on the disk that is full


def _whole_minutes(gap: Gap) -> Window:
    start_ms = gap.start_ms - gap.start_ms % MINUTE_MS
    return Window(start_ms, max(start_ms + MINUTE_MS, -(-gap.end_ms // MINUTE_MS) * MINUTE_MS))
