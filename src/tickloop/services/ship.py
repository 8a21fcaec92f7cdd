"""Ship: every line of the journal to the event sink, at least once; the sink knows a line that comes again."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event

import structlog

from tickloop.errors import DiskFullError, StoreAwayError, StoreError
from tickloop.ports import EventSink, LineBatch, LineSource, RefusedLine, RefusedLines

LOOK_S = 1.0
"""Real seconds between two looks at a journal of which all was delivered: so long a line waits for others."""

FIRST_PAUSE_S, MOST_PAUSE_S = 0.5, 30.0

ONCE_ATTEMPTS = 6
"""Attempts at a sink that is away before `once` gives up: some ten seconds."""


@dataclass
class Shipped:
    """What was delivered so far by this process.

    Attributes:
        delivered: lines that the sink stored.
        known: lines that it had already.
        refused: lines that it will never take; their bytes are in the dead letter, those of `left_out` only in the
            journal.
        drift: name of a field that the sink does not know -> lines that carry it.
        behind_bytes: what waited at the last look.
        trouble: why nothing is delivered at present, empty when all is well.
        is_away: the trouble passes by itself; otherwise somebody has to mend it.
        troubles: deliveries that failed and were made again.
    """

    delivered: int = 0
    known: int = 0
    refused: int = 0
    left_out: int = 0
    drift: Counter[str] = field(default_factory=Counter)
    behind_bytes: int = 0
    trouble: str = ""
    is_away: bool = False
    troubles: int = 0


def pause_s(failures: int, chance: float) -> float:
    """Give the real seconds to wait after n failures in a row: 0.5 x 2^(n-1), at most 30 s, and of that half or more.

    Args:
        chance: in [0, 1), so that many shippers do not come back at once.
    """
    longest = min(FIRST_PAUSE_S * 2.0 ** min(failures - 1, 16), MOST_PAUSE_S)
    return longest * (0.5 + chance / 2)


def ship(
    source: LineSource,
    sink: EventSink,
    refusals: RefusedLines,
    report: Callable[[Shipped], None],
    stop: Event,
    *,
    once: bool = False,
    wait: Callable[[float], bool] | None = None,
    chance: Callable[[], float] = random.random,
) -> Shipped:
    """Deliver the journal as it grows until `stop` is set; wait for a sink that is away or refuses us, or a full disk.

    Args:
        report: called after each look and each failure.
        once: end when all that is there is delivered; what cannot be mended by waiting a little is raised then.
        wait: waits real seconds and tells whether to stop; `stop.wait` when None.

    Raises:
        StoreError: with `once` only: the sink refuses us, or is still away after six attempts.
        DiskFullError: with `once` only: there is no room for positions or dead letters.
        HomeNotWritableError: positions or dead letters cannot be written.
    """
    shipper = _Shipper(source, sink, refusals, report, once=once, wait=wait or stop.wait, chance=chance)
    is_over = False
    while not is_over and not stop.is_set():
        is_over = shipper.turn()
    return shipper.state


class _Shipper:
    def __init__(
        self,
        source: LineSource,
        sink: EventSink,
        refusals: RefusedLines,
        report: Callable[[Shipped], None],
        *,
        once: bool,
        wait: Callable[[float], bool],
        chance: Callable[[], float],
    ) -> None:
        self._source = source
        self._sink = sink
        self._refusals = refusals
        self._report = report
        self._once = once
        self._wait = wait
        self._chance = chance
        self._failures = 0
        self._log = structlog.get_logger(service="ship")
        self.state = Shipped()

    def turn(self) -> bool:
        """Make one look and deliver what it gave; tell whether that was all there is to do."""
        try:
            batch = self._source.next_batch()
            self.state.behind_bytes = self._source.behind_bytes
            if batch.lines:
                self._deliver(batch)
        except (StoreError, DiskFullError) as exc:
            return self._fail(exc)
        self._recover()
        self._report(self.state)
        if batch.is_full:
            return False
        return self._once or self._wait(LOOK_S)

    def _deliver(self, batch: LineBatch) -> None:
        done = self._sink.deliver(batch.lines)
        state, left_out = self.state, 0
        if done.refused:
            left_out = self._refusals.keep(
                [RefusedLine(batch.places[at], reason, batch.lines[at]) for at, reason in sorted(done.refused.items())]
            )
            at, reason = next(iter(sorted(done.refused.items())))
            self._log.error("lines were refused", lines=len(done.refused), first=batch.places[at], reason=reason)
        for name in done.drift.keys() - state.drift.keys():
            self._log.warning("the exchange sends a field that is not indexed", field=name)
        self._source.advance(batch)  # only now: what fails before is delivered again
        state.delivered += done.created
        state.known += done.known
        state.refused += len(done.refused)
        state.left_out += left_out
        state.drift.update(done.drift)
        state.behind_bytes = max(0, state.behind_bytes - sum(map(len, batch.lines)))

    def _fail(self, exc: StoreError | DiskFullError) -> bool:
        state, self._failures = self.state, self._failures + 1
        state.trouble, state.is_away = str(exc), isinstance(exc, StoreAwayError)
        state.troubles += 1
        if self._failures == 1 or not state.is_away:
            self._log.error("nothing is delivered; it is tried again", reason=str(exc), behind_bytes=state.behind_bytes)
        self._report(state)
        if self._once and (not state.is_away or self._failures >= ONCE_ATTEMPTS):
            raise exc
        return self._wait(pause_s(self._failures, self._chance()))

    def _recover(self) -> None:
        if self._failures:
            self._log.info("delivery goes on", after_failures=self._failures)
        self._failures, self.state.trouble, self.state.is_away = 0, "", False
