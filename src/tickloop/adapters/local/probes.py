"""What `tickloop doctor` looks at. Nothing here writes on this machine, but for one probe file in the home."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from itertools import pairwise
from pathlib import Path

from tickloop.adapters.fluentd.config import DEAD_NAME
from tickloop.adapters.fluentd.state import dead_lines, given_up
from tickloop.adapters.local.dead_letter import DeadLetter
from tickloop.adapters.local.segments import list_segments, read_tail
from tickloop.adapters.local.sessions import FileSessionLog
from tickloop.adapters.local.status import StatusBoard
from tickloop.domain.data_health import JournalState, Outage
from tickloop.domain.health import ExchangeAnswer, Package, Process, Wiring
from tickloop.domain.universe import Span
from tickloop.domain.window import MINUTE_MS
from tickloop.errors import DataError
from tickloop.ports import Clock, Warehouse

_PROGRAM = "tickloop"
_TEST_EXTRA = "test"
_COLLECTOR = "collector"
_TAIL_BYTES = 8_000_000
_QUICK_CHECK_S = 50.0
_STEPS_BETWEEN_LOOKS = 1_000_000  # of SQLite's own machine: some tens of milliseconds

_NAME = re.compile(r"^[A-Za-z0-9._-]+")
_EXTRA = re.compile(r"""extra\s*==\s*["']([^"']+)["']""")
_MESSAGE = re.compile(rb'"ts_received":(\d+),[^\n]*"doc_id":"([a-z0-9.]+):([A-Z0-9-]+):[^\n]*\n')


@dataclass(frozen=True)
class ProbePaths:
    """Where a home keeps what is looked at.

    Attributes:
        warehouse: None where a server has it.
    """

    home: Path
    journal: Path
    dead_letters: Path
    warehouse: Path | None
    status: Path
    fluentd: Path
    constraints: Path


class HomeProbes:
    """Implements `services.doctor.Probes` on the files of a home.

    Args:
        ask: asks the exchange once.
        collected: gives the markets besides `markets` that are or were collected.
        servers: what tries each server, by its section of the settings.
        open_clock: gives the clock; called only where there is something to compare with it.
        open_warehouse: gives the warehouse, None when there is none yet.
        champions: names the champions of the registry, None when there is none yet.
        load_recordings: loads what the package ships and names it.
    """

    def __init__(
        self,
        paths: ProbePaths,
        markets: tuple[str, ...],
        *,
        wiring: Wiring,
        ask: Callable[[], ExchangeAnswer],
        collected: Callable[[], Mapping[str, Span]],
        open_clock: Callable[[], Clock],
        servers: Mapping[str, Callable[[], str]],
        open_warehouse: Callable[[], Warehouse | None],
        champions: Callable[[], str | None],
        load_recordings: Callable[[], str],
    ) -> None:
        self._paths = paths
        self.markets = markets
        self._wiring = wiring
        self._ask = ask
        self._collected = collected
        self._open_clock = open_clock
        self._servers = servers
        self._open_warehouse = open_warehouse
        self._champions = champions
        self._load_recordings = load_recordings

    def python(self) -> tuple[tuple[int, int, int], str]:
        return sys.version_info[:3], _supported()

    def packages(self) -> list[Package]:
        return list(_packages(self._paths.constraints))

    def home(self) -> tuple[str, str, int]:
        home = self._paths.home
        there = next(path for path in (home, *home.parents) if path.exists())
        return str(home), _write_problem(home, there), shutil.disk_usage(there).free

    def collected(self) -> Mapping[str, Span]:
        return self._collected()

    def wiring(self) -> Wiring:
        return self._wiring

    def exchange(self) -> ExchangeAnswer:
        return self._ask()

    def clock(self) -> Clock:
        return self._open_clock()

    def servers(self) -> Mapping[str, Callable[[], str]]:
        return self._servers

    def processes(self) -> list[Process]:
        found = StatusBoard(self._paths.status).read_all()
        return [Process(one.name, one.state, _is_alive(one.pid), one.message) for one in found]

    def journal(self) -> JournalState:
        folder = self._paths.journal
        segments = list_segments(folder)
        size = sum(segment.path.stat().st_size for segment in segments)
        oldest_ms = min((segment.start_ns for segment in segments), default=0) // 1_000_000
        return JournalState(len(segments), size, oldest_ms, _newest(read_tail(folder, _COLLECTOR, _TAIL_BYTES)))

    def gaps(self) -> list[Outage] | None:
        log = FileSessionLog(self._paths.journal / "sessions.log")
        found: list[Outage] = []
        was_connected = False
        for market in self.markets:
            sessions = log.sessions(market)
            was_connected = was_connected or bool(sessions)
            found += outages_between([(one.connected_at_ms, one.disconnected_at_ms, one.reason) for one in sessions])
        return joined(found) if was_connected else None

    def dead_letters(self) -> tuple[int, str]:
        folder = self._paths.dead_letters
        files = sorted(folder.glob("*.jsonl"), key=lambda path: path.stat().st_mtime) if folder.is_dir() else []
        found = [lines for path in files if (lines := DeadLetter(path).read())]
        reasons = [found[-1][-1].reason] if found else []
        if refused := dead_lines(folder, DEAD_NAME):
            reasons.append(f"{refused:,} of fluentd, its log says why")
        if chunks := len(given_up(self._paths.fluentd)):
            reasons.append(f"{chunks:,} chunks that fluentd gave up, in {self._paths.fluentd / 'backup'}")
        return sum(map(len, found)) + refused + chunks, "; ".join(reasons)

    def warehouse(self) -> Warehouse | None:
        return self._open_warehouse()

    def warehouse_problem(self) -> str | None:
        path = self._paths.warehouse
        return None if path is None or not path.exists() else quick_check(path)

    def registry(self) -> str | None:
        return self._champions()

    def recordings(self) -> str:
        return self._load_recordings()


def quick_check(path: Path, deadline_s: float = _QUICK_CHECK_S) -> str:
    """Let SQLite look over a file; empty when it is sound, else the first of what it found.

    Raises:
        DataError: it is no database, or could not be looked over in time.
    """
    ends_at = time.monotonic() + deadline_s
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1.0)
        try:
            connection.set_progress_handler(lambda: time.monotonic() > ends_at, _STEPS_BETWEEN_LOOKS)
            first = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        finally:
            connection.close()
    except sqlite3.Error as exc:
        raise DataError(f"{path} cannot be checked: {exc}") from exc
    return "" if first == "ok" else f"{path} is damaged: {first}"


def outages_between(sessions: Sequence[tuple[int, int | None, str | None]]) -> list[Outage]:
    """Give the times between the sessions of one market, each as (connected, disconnected or None, reason).

    Where an end was not recorded, the process was killed before the next session.
    """
    found: list[Outage] = []
    for (_, end, reason), (start, _, _) in pairwise(sorted(sessions, key=lambda one: one[0])):
        if end is None:
            found.append(Outage(None, start, "killed, or the machine stopped"))
        elif start > end:
            found.append(Outage(end, start, reason or "no reason was recorded"))
    return found


def joined(outages: Sequence[Outage]) -> list[Outage]:
    """Give the outages of several markets, oldest first; those that touch, or end within a minute, as one."""
    found: list[Outage] = []
    for one in sorted(outages, key=lambda one: (one.end_ms if one.start_ms is None else one.start_ms, one.end_ms)):
        last = found[-1] if found else None
        begins_ms = one.end_ms if one.start_ms is None else one.start_ms
        if last is None or begins_ms > last.end_ms + (MINUTE_MS if one.start_ms is None else 0):
            found.append(one)
        else:
            found[-1] = replace(last, end_ms=max(last.end_ms, one.end_ms))
    return found


def _newest(tail: bytes) -> dict[tuple[str, str], int]:
    newest: dict[tuple[str, str], int] = {}
    for ts_ns, kind, market in _MESSAGE.findall(tail):
        key = (kind.decode(), market.decode())
        newest[key] = max(newest.get(key, 0), int(ts_ns) // 1_000_000)
    return newest


def _supported() -> str:
    try:
        return str(metadata(_PROGRAM)["Requires-Python"])
    except PackageNotFoundError as exc:
        raise DataError("tickloop is not installed as a package, so what it needs is not known") from exc


def _packages(constraints: Path) -> Iterator[Package]:
    pinned = dict(_pins(constraints))
    _supported()
    for line in requires(_PROGRAM) or ():
        found, extra = _NAME.match(line), _EXTRA.search(line)
        if found is None or found[0] == _PROGRAM or (extra is not None and extra[1] == _TEST_EXTRA):
            continue
        name = found[0]
        yield Package(name, extra[1] if extra else "", _installed(name), pinned.get(_normal(name)))


def _pins(constraints: Path) -> Iterator[tuple[str, str]]:
    """Yield what was tested; an installation without the checkout does not tell."""
    for line in constraints.read_text(encoding="utf-8").splitlines() if constraints.is_file() else ():
        name, is_pinned, number = line.partition("==")
        if is_pinned:
            yield _normal(name), number.split(";")[0].strip()


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _write_problem(home: Path, there: Path) -> str:
    if not there.is_dir():
        return f"{there} is a file, not a folder"
    if there != home:
        return "" if os.access(there, os.W_OK) else f"{home} cannot be made: {there} is not writable"
    probe = home / f".probe-{os.getpid()}"
    try:
        probe.write_bytes(b"tickloop")
        probe.unlink()
    except OSError as exc:
        return f"{home} cannot be written: {exc.strerror}"
    return ""


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
