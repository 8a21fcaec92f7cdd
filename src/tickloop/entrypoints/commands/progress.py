"""Progress of a back-fill or a search for a person: bars on a terminal, lines now and then elsewhere; on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import typer

from tickloop.services.backfill import Progress, Report

LINE_EVERY_S = 10.0
"""Real seconds between two lines where stderr is no terminal."""

_SHOWN_MARKETS = 8  # bars of finished markets go away when there are more


@dataclass(frozen=True)
class Estimate:
    """Minutes of the range done and wanted, and real seconds left at the pace so far; None before there is a pace."""

    done: int
    total: int
    left_s: float | None

    def __str__(self) -> str:
        return f"{self.done:,} of {self.total:,} minutes, {time_text(self.left_s)}"


@dataclass
class _Pace:
    first_at: float
    first_done: int
    done: int
    total: int

    def estimate(self, now: float) -> Estimate:
        fresh, passed = self.done - self.first_done, now - self.first_at
        left_s = (self.total - self.done) * passed / fresh if fresh > 0 else None
        return Estimate(self.done, self.total, 0.0 if self.done >= self.total else left_s)


class Estimates:
    """How long the markets of one phase still take, each and all. What was there before counts for no pace.

    Args:
        markets: how many take part; those that did not report yet are taken to be as long as the others.
        now: gives real seconds.
    """

    def __init__(self, markets: int, now: Callable[[], float] = time.monotonic) -> None:
        self._markets = markets
        self._now = now
        self._paces: dict[str, dict[str, _Pace]] = {}

    def note(self, progress: Progress) -> tuple[Estimate, Estimate]:
        """Take in one report; give the estimates of its market and of all."""
        now = self._now()
        paces = self._paces.setdefault(progress.phase, {})
        pace = paces.setdefault(progress.market, _Pace(now, progress.done, progress.done, progress.total))
        pace.done = progress.done
        return pace.estimate(now), self._all(paces, progress.total).estimate(now)

    def _all(self, paces: dict[str, _Pace], total: int) -> _Pace:
        return _Pace(
            min(pace.first_at for pace in paces.values()),
            sum(pace.first_done for pace in paces.values()),
            sum(pace.done for pace in paces.values()),
            total * max(self._markets, len(paces)),
        )


def time_text(left_s: float | None) -> str:
    """Say in words how long it still takes."""
    if left_s is None:
        return "time left not known yet"
    if left_s == 0:
        return "done"
    if left_s < 60:
        return f"about {left_s:.0f} s left"
    minutes = round(left_s / 60)
    return f"about {minutes} min left" if minutes < 120 else f"about {left_s / 3600:.1f} h left"


@contextmanager
def shown(markets: int) -> Iterator[Report]:
    """Give the function that a back-fill reports to."""
    if not sys.stderr.isatty():
        yield lines(markets, lambda line: typer.echo(line, err=True))
        return
    with _bars(markets) as report:
        yield report


def lines(markets: int, write: Callable[[str], None], now: Callable[[], float] = time.monotonic) -> Report:
    """Give a reporter that writes a line at most every ten seconds, and one when a phase is through."""
    estimates = Estimates(markets, now)
    next_at = now() + LINE_EVERY_S

    def report(progress: Progress) -> None:
        nonlocal next_at
        own, everything = estimates.note(progress)
        is_through = everything.done >= everything.total
        if now() >= next_at or is_through:
            next_at = now() + LINE_EVERY_S
            one = "" if is_through or markets == 1 else f"; {progress.market} {own}"
            write(f"{progress.phase}: {everything}{one}")

    return report


@contextmanager
def _bars(markets: int) -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import BarColumn, TaskID, TextColumn
    from rich.progress import Progress as Bars

    estimates = Estimates(markets)
    tasks: dict[str, TaskID] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[figures]}"))
    with Bars(*columns, console=Console(stderr=True)) as bars:

        def update(name: str, estimate: Estimate) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=estimate.total, figures="")
            bars.update(tasks[name], completed=estimate.done, total=estimate.total, figures=str(estimate))

        def report(progress: Progress) -> None:
            own, everything = estimates.note(progress)
            if markets > 1:
                update(f"all {progress.phase}", everything)
            name = f"{progress.market} {progress.phase}"
            update(name, own)
            if own.done >= own.total and markets > _SHOWN_MARKETS:
                bars.update(tasks[name], visible=False)

        yield report


@contextmanager
def trials_shown(*, is_quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Give the function that a search reports its trials to: (done, wanted)."""
    if is_quiet:
        yield lambda _done, _total: None
    elif sys.stderr.isatty():
        with _trial_bar() as report:
            yield report
    else:
        yield trial_lines(lambda line: typer.echo(line, err=True))


def trial_lines(write: Callable[[str], None], now: Callable[[], float] = time.monotonic) -> Callable[[int, int], None]:
    """Give a reporter that writes a line at most every ten seconds; a search that is over sooner writes none."""
    pace: _Pace | None = None
    next_at = now() + LINE_EVERY_S

    def report(done: int, total: int) -> None:
        nonlocal pace, next_at
        pace = pace or _Pace(now(), done, done, total)
        pace.done = done
        if now() >= next_at:
            next_at = now() + LINE_EVERY_S
            write(f"sweep: {_trial_text(pace, now())}")

    return report


@contextmanager
def _trial_bar() -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bars

    pace: _Pace | None = None
    with Bars(TextColumn("sweep"), BarColumn(), TextColumn("{task.description}"), console=Console(stderr=True)) as bars:
        task = bars.add_task("", total=None)

        def report(done: int, total: int) -> None:
            nonlocal pace
            pace = pace or _Pace(time.monotonic(), done, done, total)
            pace.done = done
            bars.update(task, completed=done, total=total, description=_trial_text(pace, time.monotonic()))

        yield report


def _trial_text(pace: _Pace, now: float) -> str:
    estimate = pace.estimate(now)
    return f"{estimate.done:,} of {estimate.total:,} trials, {time_text(estimate.left_s)}"
