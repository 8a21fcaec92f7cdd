"""Every check of an installation and its data, each probe under a deadline.

None of them changes anything, but that to each server something is written that is deleted again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Protocol

import polars as pl

from tickloop.domain import data_health, health
from tickloop.domain.data_health import JournalState, Outage
from tickloop.domain.health import Check, ExchangeAnswer, Level, Package, Process, Wiring
from tickloop.domain.ledger_report import NEVER_VERIFIED
from tickloop.domain.market import MinuteState
from tickloop.domain.schedule import DONE, FAILED, MAX_ATTEMPTS, Calendar
from tickloop.domain.tables import LEDGER
from tickloop.domain.universe import Span
from tickloop.domain.window import DAY_MS, HOUR_MS, MINUTE_MS, Window, hour_of, to_datetime, to_ms
from tickloop.errors import (
    ExchangeError,
    MissingExtraError,
    OperatorError,
    RetryableError,
    SchemaTooNewError,
    SettingsError,
    StoreError,
    TickloopError,
)
from tickloop.ports import Clock, Warehouse
from tickloop.services.chain import COLLECTED_STEPS
from tickloop.services.run_ledger import runs_over

DEADLINE_S = 10.0
LONG_DEADLINE_S = 60.0
"""For what reads a whole database or loads the registry's client."""

SERVER_DEADLINE_S = 60.0
"""Its own time-outs (30 s by default) end before and say more."""

_DAYS = 7
_SETTLED_AFTER_MS = 3 * HOUR_MS
"""An hour closes an hour after its end; then verify has had two hours, its repair included."""

_SPEED_SPAN_MS = HOUR_MS


_CLOCKED = ("exchange", "stream", "gaps", "ledger", "pipeline")

_REMEDIES = {
    "python": "install tickloop as a package: make setup in its checkout",
    "packages": "install tickloop as a package: make setup in its checkout",
    "processes": "stop what runs, remove the file named from the folder `run`, and start again: tickloop up",
    "warehouse": "stop what uses it and move it away; tickloop backfill and tickloop run all make it anew",
    "ledger": "see the check of the warehouse",
    "pipeline": "see the check of the warehouse",
    "registry": "stop what uses it and move mlflow.sqlite away; the next trainings fill a new one",
    **dict.fromkeys(health.SERVERS, "do as the message says, and ask again"),
    "recordings": "install tickloop again: a file that it ships is damaged",
}
"""What to do where a check itself could not be made."""

_OTHER_REMEDY = "see that this user can read and write all of the home, and ask again"

_NEEDS = {"ledger": "postgres", "pipeline": "postgres", "registry": "mlflow"}
"""Check -> the server that it reads where there is one: what is wrong with that is told once."""

_SAY_IT_THEMSELVES = (SettingsError, SchemaTooNewError, MissingExtraError, StoreError)
"""Their messages name the setting or the command."""


class Probes(Protocol):
    """What can be found out of a home without changing it. Each raises a `TickloopError` when it cannot be told."""

    @property
    def markets(self) -> tuple[str, ...]: ...

    def collected(self) -> Mapping[str, Span]:
        """Give the markets besides `markets` that are or were collected."""

    def python(self) -> tuple[tuple[int, int, int], str]:
        """Give the interpreter's version and the versions that are supported, as `>=3.11,<3.15`."""

    def packages(self) -> list[Package]: ...

    def home(self) -> tuple[str, str, int]:
        """Give the folder, why it cannot be written (empty when it can), and the free bytes of its disk."""

    def wiring(self) -> Wiring:
        """Tell which exchange and which clock the settings name."""

    def exchange(self) -> ExchangeAnswer:
        """Ask the exchange once."""

    def clock(self) -> Clock: ...

    def processes(self) -> list[Process]: ...

    def servers(self) -> Mapping[str, Callable[[], str]]:
        """Give by section of the settings what writes to that server, reads back and deletes; none on a laptop."""

    def journal(self) -> JournalState: ...

    def gaps(self) -> list[Outage] | None:
        """Give the times since the first start without a connection, oldest first; None when there never was one."""

    def dead_letters(self) -> tuple[int, str]:
        """Give their number and the newest one's reason."""

    def warehouse(self) -> Warehouse | None:
        """Give the warehouse, None when there is none yet."""

    def warehouse_problem(self) -> str | None:
        """Check the database file itself; empty when it is sound, None when there is none (yet)."""

    def registry(self) -> str | None:
        """Say which champions it holds, None when there is none yet."""

    def recordings(self) -> str:
        """Load each recording that the package ships, and name them."""


def checks(probes: Probes) -> Iterator[Check]:
    """Yield the checks in order, as they are done; one that cannot be made fails and does not stop the others."""
    yield from _guarded(probes, "python", DEADLINE_S, lambda: [health.python_check(*probes.python())])
    yield from _guarded(probes, "packages", DEADLINE_S, lambda: [health.packages_check(probes.packages())])
    yield from _guarded(probes, "home", DEADLINE_S, lambda: [health.home_check(*probes.home())])
    yield from _guarded(probes, "exchange", DEADLINE_S, lambda: _exchange(probes))
    tried: list[Check] = []
    for name in probes.servers():
        tried += _server(probes, name)
        yield tried[-1]
    yield from _guarded(probes, "processes", DEADLINE_S, lambda: [health.processes_check(probes.processes())])
    yield from _guarded(probes, "stream", DEADLINE_S, lambda: _collected(probes))
    yield from _guarded(probes, "gaps", DEADLINE_S, lambda: [_gaps(probes)])
    yield from _guarded(
        probes, "dead letters", DEADLINE_S, lambda: [data_health.dead_letters_check(*probes.dead_letters())]
    )
    if not tried:
        yield from _guarded(probes, "warehouse", LONG_DEADLINE_S, lambda: [_warehouse(probes)])
    broken = {check.name for check in tried if check.state is Level.FAIL}
    for name, look in (("ledger", _ledger), ("pipeline", _pipeline), ("registry", _registry)):
        yield from _behind_server(probes, name, look, broken)
    yield from _guarded(probes, "recordings", DEADLINE_S, lambda: [Check("recordings", Level.OK, probes.recordings())])


def _server(probes: Probes, name: str) -> Sequence[Check]:
    try_it = probes.servers()[name]
    return _guarded(probes, name, SERVER_DEADLINE_S, lambda: [Check(name, Level.OK, try_it())])


def _behind_server(
    probes: Probes, name: str, look: Callable[[Probes], Check], broken: Collection[str]
) -> Sequence[Check]:
    if _NEEDS[name] in broken:
        return [Check(name, Level.SKIP, f"cannot be told: see the check of {_NEEDS[name]}")]
    return _guarded(probes, name, LONG_DEADLINE_S, lambda: [look(probes)])


def _guarded(probes: Probes, name: str, deadline_s: float, make: Callable[[], Sequence[Check]]) -> Sequence[Check]:
    """Make checks within a deadline. What hangs is left behind: the command ends its process without it."""
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"doctor-{name}")
    try:
        return pool.submit(make).result(deadline_s)
    except FutureTimeoutError:
        return [Check(name, Level.FAIL, f"no answer within {deadline_s:.0f} s", health.hung_remedy(name))]
    except (TickloopError, OSError) as exc:
        return [Check(name, Level.FAIL, str(exc), _remedy(name, exc, probes.wiring()))]
    finally:
        pool.shutdown(wait=False)


def _remedy(name: str, problem: Exception, wiring: Wiring) -> str:
    """Say what to do about a problem that kept a check from being made."""
    if isinstance(problem, _SAY_IT_THEMSELVES):
        return "do as the message says, and ask again"
    if isinstance(problem, ExchangeError):
        return health.exchange_remedy(wiring, is_away=isinstance(problem, RetryableError))
    if name in _CLOCKED and isinstance(problem, OperatorError) and wiring.clock != "system":
        return health.clock_remedy(wiring)
    return _REMEDIES.get(name, _OTHER_REMEDY)


def _exchange(probes: Probes) -> list[Check]:
    answer = probes.exchange()
    return [health.exchange_check(answer, probes.markets), health.skew_check(answer, probes.wiring())]


def _collected(probes: Probes) -> list[Check]:
    journal = probes.journal()
    if not journal.segments:
        return [
            *data_health.stream_checks(journal, (), 0, 0.0, is_collecting=False),
            data_health.journal_check(journal, 0, 0),
        ]
    clock = probes.clock()
    now_ms, _, free = clock.now_ms(), *probes.home()[1:]
    collecting = _is_running(probes, "collector")
    streams = data_health.stream_checks(journal, probes.markets, now_ms, _speed(clock), is_collecting=collecting)
    return [*streams, data_health.journal_check(journal, free, now_ms)]


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
    return data_health.gaps_check(gaps, probes.clock().now_ms() if gaps else 0)


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
    others = probes.collected()
    markets = (*probes.markets, *others)
    for market in markets:
        rows = warehouse.read(LEDGER, market, window)
        minutes += rows.height
        absent = 0 if market not in others else _minutes_collected(others[market], window) - rows.height
        if absent > 0:
            minutes += absent
            unknown[NEVER_VERIFIED] = unknown.get(NEVER_VERIFIED, 0) + absent
        counts = rows.filter(pl.col("state") == MinuteState.UNKNOWN.value)["reason"].value_counts()
        for reason, count in counts.iter_rows():
            unknown[str(reason)] = unknown.get(str(reason), 0) + int(count)
    return data_health.ledger_check(unknown, minutes, len(markets), f"{to_datetime(end_ms):%Y-%m-%dT%H:%M}Z")


def _minutes_collected(span: Span, window: Window) -> int:
    """Give the minutes of a window that lie in the hours of a span."""
    start_ms = max(window.start_ms, span.since_ms - span.since_ms % HOUR_MS)
    end_ms = window.end_ms if span.until_ms is None else min(window.end_ms, hour_of(span.until_ms).end_ms)
    return max(0, end_ms - start_ms) // MINUTE_MS


def _pipeline(probes: Probes) -> Check:
    warehouse = probes.warehouse()
    if warehouse is None:
        return Check("pipeline", Level.SKIP, "there is no warehouse yet")
    now_ms = probes.clock().now_ms()
    start_ms = now_ms - _DAYS * DAY_MS
    window = Window(start_ms - start_ms % HOUR_MS, now_ms - now_ms % HOUR_MS + HOUR_MS)
    spans = probes.collected()
    runs = {market: runs_over(warehouse, market, window) for market in (*probes.markets, *spans)}
    followed = {market: COLLECTED_STEPS[-1].name for market, span in spans.items() if span.until_ms is None}
    return data_health.pipeline_check(
        _newest_ends(runs, {**dict.fromkeys(probes.markets, "features"), **followed}),
        Calendar(now_ms, 0, 1).closed_end_ms,
        [name for rows in runs.values() for name in _exhausted(rows)],
        is_running=bool(probes.servers()) or _is_running(probes, "pipeline"),  # beside servers Airflow runs the steps
    )


def _newest_ends(runs: Mapping[str, pl.DataFrame], last_steps: Mapping[str, str]) -> dict[str, int | None]:
    """Give per market the end of the newest hour whose last step is done."""
    found: dict[str, int | None] = {}
    for market, step in last_steps.items():
        done = runs[market].filter((pl.col("step") == step) & (pl.col("state") == DONE))
        found[market] = int(done["window_end"].to_physical().max()) if done.height else None  # type: ignore[arg-type]
    return found


def _exhausted(runs: pl.DataFrame) -> list[str]:
    rows = runs.filter((pl.col("state") == FAILED) & (pl.col("attempts") >= MAX_ATTEMPTS))
    columns = rows.select("step", "market", "window_start", "window_end").rows()
    return [f"{step} {market} {Window(to_ms(start), to_ms(end))}" for step, market, start, end in columns]


def _registry(probes: Probes) -> Check:
    champions = probes.registry()
    if champions is None:
        return Check("registry", Level.SKIP, "there is none yet")
    return Check("registry", Level.OK, champions)
