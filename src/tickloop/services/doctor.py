"""Every check of an installation and its data: each probe under a deadline, none of them changes anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Protocol

import polars as pl

from tickloop.domain import health
from tickloop.domain.health import Check, ExchangeAnswer, JournalState, Level, Outage, Package, Process
from tickloop.domain.market import MinuteState
from tickloop.domain.schedule import DONE, FAILED, MAX_ATTEMPTS, Calendar
from tickloop.domain.tables import LEDGER
from tickloop.domain.window import DAY_MS, HOUR_MS, Window, to_datetime, to_ms
from tickloop.errors import TickloopError
from tickloop.ports import Clock, Warehouse
from tickloop.services.run_ledger import runs_over

DEADLINE_S = 10.0
LONG_DEADLINE_S = 60.0
"""For what reads a whole database or loads the registry's client."""

_DAYS = 7
_SETTLED_AFTER_MS = 3 * HOUR_MS
"""An hour closes an hour after its end; then verify has had two hours, its repair included."""

_SPEED_SPAN_MS = HOUR_MS


class Probes(Protocol):
    """What can be found out of a home without changing it. Each raises a `TickloopError` when it cannot be told."""

    @property
    def markets(self) -> tuple[str, ...]: ...

    def python(self) -> tuple[tuple[int, int, int], str]:
        """Give the interpreter's version and the versions that are supported, as `>=3.11,<3.15`."""

    def packages(self) -> list[Package]: ...

    def home(self) -> tuple[str, str, int]:
        """Give the folder, why it cannot be written (empty when it can), and the free bytes of its disk."""

    def exchange(self) -> ExchangeAnswer:
        """Ask the exchange once."""

    def clock(self) -> Clock: ...

    def processes(self) -> list[Process]: ...

    def journal(self) -> JournalState: ...

    def gaps(self) -> list[Outage] | None:
        """Give the times since the first start without a connection, oldest first; None when there never was one."""

    def dead_letters(self) -> tuple[int, str]:
        """Give their number and the newest one's reason."""

    def warehouse(self) -> Warehouse | None:
        """Give the warehouse, None when there is none yet."""

    def warehouse_problem(self) -> str | None:
        """Check the database file itself; empty when it is sound, None when there is none yet."""

    def registry(self) -> str | None:
        """Say which champions it holds, None when there is none yet."""

    def recordings(self) -> str:
        """Load each recording that the package ships, and name them."""


def checks(probes: Probes) -> Iterator[Check]:
    """Yield the checks in order, as they are done; one that cannot be made fails and does not stop the others."""
    yield from _guarded("python", DEADLINE_S, lambda: [health.python_check(*probes.python())])
    yield from _guarded("packages", DEADLINE_S, lambda: [health.packages_check(probes.packages())])
    yield from _guarded("home", DEADLINE_S, lambda: [health.home_check(*probes.home())])
    yield from _guarded("exchange", DEADLINE_S, lambda: _exchange(probes))
    yield from _guarded("processes", DEADLINE_S, lambda: [health.processes_check(probes.processes())])
    yield from _guarded("stream", DEADLINE_S, lambda: _collected(probes))
    yield from _guarded("gaps", DEADLINE_S, lambda: [_gaps(probes)])
    yield from _guarded("dead letters", DEADLINE_S, lambda: [health.dead_letters_check(*probes.dead_letters())])
    yield from _guarded("warehouse", LONG_DEADLINE_S, lambda: [_warehouse(probes)])
    yield from _guarded("ledger", LONG_DEADLINE_S, lambda: [_ledger(probes)])
    yield from _guarded("pipeline", LONG_DEADLINE_S, lambda: [_pipeline(probes)])
    yield from _guarded("registry", LONG_DEADLINE_S, lambda: [_registry(probes)])
    yield from _guarded("recordings", DEADLINE_S, lambda: [Check("recordings", Level.OK, probes.recordings())])


def _guarded(name: str, deadline_s: float, make: Callable[[], Sequence[Check]]) -> Sequence[Check]:
    """Make checks within a deadline. What hangs is left behind: the command ends its process without it."""
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"doctor-{name}")
    try:
        return pool.submit(make).result(deadline_s)
    except FutureTimeoutError:
        return [Check(name, Level.FAIL, f"no answer within {deadline_s:.0f} s", "see what holds it up, and ask again")]
    except TickloopError as exc:
        return [Check(name, Level.FAIL, str(exc), "the message says what would be valid")]
    finally:
        pool.shutdown(wait=False)


def _exchange(probes: Probes) -> list[Check]:
    answer = probes.exchange()
    return [health.exchange_check(answer, probes.markets), health.skew_check(answer)]


def _collected(probes: Probes) -> list[Check]:
    journal = probes.journal()
    if not journal.segments:
        return [*health.stream_checks(journal, (), 0, 0.0, is_collecting=False), health.journal_check(journal, 0, 0)]
    clock = probes.clock()
    now_ms, _, free = clock.now_ms(), *probes.home()[1:]
    collecting = _is_running(probes, "collector")
    streams = health.stream_checks(journal, probes.markets, now_ms, _speed(clock), is_collecting=collecting)
    return [*streams, health.journal_check(journal, free, now_ms)]


def _speed(clock: Clock) -> float:
    """Give market seconds per real second, 0 while the clock stands."""
    real_s = clock.real_seconds_until(clock.now_ms() + _SPEED_SPAN_MS)
    return _SPEED_SPAN_MS / 1000 / real_s if real_s > 0 else 0.0


def _is_running(probes: Probes, name: str) -> bool:
    return any(one.name == name and one.is_alive and one.state != "stopped" for one in probes.processes())


def _gaps(probes: Probes) -> Check:
    gaps = probes.gaps()
    if gaps is None:
        return Check("gaps", Level.SKIP, "there was no connection yet")
    return health.gaps_check(gaps, probes.clock().now_ms() if gaps else 0)


def _warehouse(probes: Probes) -> Check:
    problem = probes.warehouse_problem()
    if problem is None:
        return Check("warehouse", Level.SKIP, "there is none yet")
    if problem:
        return Check("warehouse", Level.FAIL, problem, "move it away; the lake and `tickloop run` make it anew")
    return Check("warehouse", Level.OK, "quick_check found no damage")


def _ledger(probes: Probes) -> Check:
    warehouse = probes.warehouse()
    if warehouse is None:
        return Check("ledger", Level.SKIP, "there is no warehouse yet")
    end_ms = probes.clock().now_ms() - _SETTLED_AFTER_MS
    end_ms -= end_ms % HOUR_MS
    window = Window(end_ms - _DAYS * DAY_MS, end_ms)
    unknown: dict[str, int] = {}
    minutes = 0
    for market in probes.markets:
        rows = warehouse.read(LEDGER, market, window)
        minutes += rows.height
        counts = rows.filter(pl.col("state") == MinuteState.UNKNOWN.value)["reason"].value_counts()
        for reason, count in counts.iter_rows():
            unknown[str(reason)] = unknown.get(str(reason), 0) + int(count)
    return health.ledger_check(unknown, minutes, f"{to_datetime(end_ms):%Y-%m-%dT%H:%M}Z")


def _pipeline(probes: Probes) -> Check:
    warehouse = probes.warehouse()
    if warehouse is None:
        return Check("pipeline", Level.SKIP, "there is no warehouse yet")
    now_ms = probes.clock().now_ms()
    start_ms = now_ms - _DAYS * DAY_MS
    window = Window(start_ms - start_ms % HOUR_MS, now_ms - now_ms % HOUR_MS + HOUR_MS)
    runs = {market: runs_over(warehouse, market, window) for market in probes.markets}
    return health.pipeline_check(
        _newest_ends(runs),
        Calendar(now_ms, 0, 1).closed_end_ms,
        [name for rows in runs.values() for name in _exhausted(rows)],
        is_running=_is_running(probes, "pipeline"),
    )


def _newest_ends(runs: Mapping[str, pl.DataFrame]) -> dict[str, int | None]:
    is_done = (pl.col("step") == "features") & (pl.col("state") == DONE)
    ends = {market: rows.filter(is_done)["window_end"].to_physical().max() for market, rows in runs.items()}
    return {market: None if end is None else int(end) for market, end in ends.items()}  # type: ignore[arg-type]


def _exhausted(runs: pl.DataFrame) -> list[str]:
    rows = runs.filter((pl.col("state") == FAILED) & (pl.col("attempts") >= MAX_ATTEMPTS))
    columns = rows.select("step", "market", "window_start", "window_end").rows()
    return [f"{step} {market} {Window(to_ms(start), to_ms(end))}" for step, market, start, end in columns]


def _registry(probes: Probes) -> Check:
    champions = probes.registry()
    if champions is None:
        return Check("registry", Level.SKIP, "there is none yet")
    return Check("registry", Level.OK, champions)
