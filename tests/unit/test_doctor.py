"""`tickloop doctor`: all checks on an empty home and on one with data; nothing is changed, nothing hangs."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from test_journal_line import TICKER

from fakes import START_MS, FixedClock
from tickloop.adapters.local.dead_letter import DeadLetter, DeadLine
from tickloop.adapters.local.journal_line import line_of
from tickloop.adapters.local.probes import HomeProbes, ProbePaths, joined, outages_between, quick_check
from tickloop.adapters.local.segments import OpenSegment
from tickloop.adapters.local.sessions import FileSessionLog
from tickloop.adapters.local.status import StatusBoard
from tickloop.adapters.local.warehouse import SqliteWarehouse
from tickloop.adapters.upbit.parse import parse_frame
from tickloop.domain.health import Check, ExchangeAnswer, Outage
from tickloop.domain.tables import LEDGER
from tickloop.domain.window import HOUR_MS, MINUTE_MS
from tickloop.errors import DataError, RetryableError
from tickloop.services import doctor
from tickloop.services.doctor import checks

MARKETS = ("KRW-BTC", "KRW-ETH")
NOW_MS = START_MS + 10 * HOUR_MS


def probes_of(home: Path, **changed: Callable[[], Any]) -> HomeProbes:
    paths = ProbePaths(
        home=home,
        journal=home / "journal",
        dead_letters=home / "dead",
        warehouse=home / "warehouse.sqlite",
        registry=home / "mlflow.sqlite",
        status=home / "run",
        constraints=home / "constraints.txt",
    )
    parts: dict[str, Callable[[], Any]] = {
        "ask": lambda: ExchangeAnswer(NOW_MS, NOW_MS + 50, NOW_MS, MARKETS),
        "open_clock": lambda: FixedClock(NOW_MS),
        "open_warehouse": lambda: SqliteWarehouse(paths.warehouse),
        "champions": lambda: "KRW-BTC ridge-2",
        "load_recordings": lambda: "candles",
    }
    return HomeProbes(paths, MARKETS, **{**parts, **changed})


def found(home: Path, **changed: Callable[[], Any]) -> dict[str, Check]:
    return {check.name: check for check in checks(probes_of(home, **changed))}


def test_an_empty_home_is_looked_over_without_being_made(tmp_path: Path) -> None:
    """What is not there yet is left out, with a reason; nothing fails."""
    home = tmp_path / "not" / "there"

    report = found(home)

    assert {name for name, check in report.items() if check.state == "fail"} == set()
    skipped = {name for name, check in report.items() if check.state == "skip"}
    assert skipped == {"processes", "stream", "journal", "gaps", "warehouse", "ledger", "pipeline", "registry"}
    assert not home.parent.exists()


async def filled(home: Path) -> None:
    """Give a home on which a collector ran, was cut off once, and runs."""
    received_ns = (NOW_MS - 1_500) * 1_000_000
    segment = OpenSegment(home / "journal", "collector", received_ns)
    for number, market in enumerate(MARKETS):
        raw = TICKER.replace(b"KRW-ETH", market.encode())
        segment.write(line_of(raw, parse_frame(raw), received_ns, number))
    segment.sync()
    segment.close()
    DeadLetter(home / "dead" / "collector.jsonl").add([DeadLine("feed", received_ns, "it is no JSON", b"{broken")])
    log = FileSessionLog(home / "journal" / "sessions.log")
    await log.connected(NOW_MS - HOUR_MS)
    await log.disconnected(NOW_MS - HOUR_MS // 2, "closed by the peer")
    await log.connected(NOW_MS - HOUR_MS // 2 + 7_000)
    StatusBoard(home / "run").write("collector", "ready", "2 ticker")
    ledger = [
        (MARKETS[0], START_MS + minute * MINUTE_MS, "verified", None, 1.0, 1.0, 3, False) for minute in range(1, 60)
    ]
    ledger.append((MARKETS[0], START_MS, "unknown", "excess", 2.0, 1.0, 3, False))
    warehouse = SqliteWarehouse(home / "warehouse.sqlite")
    warehouse.upsert(LEDGER, pl.DataFrame(ledger, schema=LEDGER.columns, orient="row"))
    warehouse.close()


def test_a_home_with_data_is_told_as_it_is(tmp_path: Path) -> None:
    """A gap, a dead letter, an unknown minute; a running collector with a fresh stream."""
    asyncio.run(filled(tmp_path))

    report = found(tmp_path)

    states = {name: check.state.value for name, check in report.items() if check.state != "ok"}
    assert states == {"gaps": "warn", "dead letters": "warn", "ledger": "fail", "pipeline": "skip", "registry": "skip"}
    assert report["stream ticker"].detail == {"age_s": {"KRW-BTC": 1.5, "KRW-ETH": 1.5}}
    assert report["gaps"].detail == {"gaps": 1, "seconds": 7.0, "since_start": 1}
    assert report["dead letters"].detail == {"count": 1}
    assert report["ledger"].detail == {"minutes": 60, "unknown": {"excess": 1}}
    assert report["processes"].detail["collector"]["alive"] is True


def test_an_exchange_that_does_not_answer_fails_its_check_alone(tmp_path: Path) -> None:
    """The others are still made."""

    def refuse() -> ExchangeAnswer:
        raise RetryableError("no answer to GET /v1/market/all")

    report = found(tmp_path, ask=refuse)

    assert report["exchange"].state == "fail"
    assert "no answer" in report["exchange"].figure
    assert report["recordings"].state == "ok"


def test_a_probe_that_hangs_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has a deadline."""
    monkeypatch.setattr(doctor, "DEADLINE_S", 0.05)
    release = threading.Event()

    def hang() -> ExchangeAnswer:
        release.wait(30)
        raise RetryableError("too late")

    report = found(tmp_path, ask=hang)
    release.set()

    assert report["exchange"].state == "fail"
    assert "no answer within" in report["exchange"].figure


def test_a_killed_process_is_seen_by_its_id(tmp_path: Path) -> None:
    """Its last word was `ready`."""
    board = StatusBoard(tmp_path / "run")
    board.write("api", "ready", "http://127.0.0.1:8000")
    path = tmp_path / "run" / "api.json"
    no_process = b'"pid":4194304'  # one more than the kernel ever gives
    path.write_bytes(path.read_bytes().replace(f'"pid":{os.getpid()}'.encode(), no_process))

    check = found(tmp_path)["processes"]

    assert (check.state, check.detail["api"]["alive"]) == ("fail", False)


def test_a_damaged_database_is_found(tmp_path: Path) -> None:
    """A page in its middle was overwritten."""
    path = tmp_path / "warehouse.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("create table t (x text)")
        connection.executemany("insert into t values (?)", [("y" * 500,)] * 200)
    connection.close()
    assert quick_check(path) == ""
    damaged = bytearray(path.read_bytes())
    damaged[8192:8300] = b"\xff" * 108
    path.write_bytes(damaged)

    assert "is damaged" in quick_check(path)


def test_a_file_that_is_no_database_is_an_error(tmp_path: Path) -> None:
    """With its path."""
    path = tmp_path / "warehouse.sqlite"
    path.write_bytes(b"not a database at all, only text" * 100)

    with pytest.raises(DataError, match=r"warehouse\.sqlite"):
        quick_check(path)


def test_pinned_versions_are_read_from_the_constraints(tmp_path: Path) -> None:
    """Names are compared as installers do."""
    (tmp_path / "constraints.txt").write_text("PyDantic.Settings==0.0.1\nnumpy==0.0.2 ; python_version > '3'\n")

    packages = {one.name: one for one in probes_of(tmp_path).packages()}

    assert packages["pydantic-settings"].pinned == "0.0.1"
    assert packages["numpy"].pinned == "0.0.2"
    assert packages["httpx"].pinned is None
    assert "pytest" not in packages
    assert "tickloop" not in packages


@pytest.mark.parametrize(
    ("sessions", "outages"),
    [
        ([], []),
        ([(10, None, None)], []),
        ([(10, 20, "stopped"), (30, None, None)], [Outage(20, 30, "stopped")]),
        ([(10, 20, "a"), (20, 40, "b"), (50, 60, "c")], [Outage(40, 50, "b")]),
        ([(10, None, None), (30, 40, "stopped")], [Outage(None, 30, "killed, or the machine stopped")]),
    ],
)
def test_outages_lie_between_sessions(
    sessions: list[tuple[int, int | None, str | None]], outages: list[Outage]
) -> None:
    """The end of a session that was killed is not known."""
    assert outages_between(sessions) == outages


def test_outages_of_several_markets_are_one_where_they_touch() -> None:
    """Two connections were cut off at about the same time, later one process with both of them was killed."""
    outages = [
        Outage(1_000, 5_000, "closed"),
        Outage(1_200, 5_500, "closed"),
        Outage(9_000, 9_500, "closed"),
        Outage(None, 200_000, "killed"),
        Outage(None, 200_300, "killed"),
    ]

    assert joined(outages) == [
        Outage(1_000, 5_500, "closed"),
        Outage(9_000, 9_500, "closed"),
        Outage(None, 200_300, "killed"),
    ]


def test_dead_letters_are_counted_over_all_files(tmp_path: Path) -> None:
    """The newest file's last reason is shown."""
    for name, count in (("a", 2), ("b", 3)):
        lines = [DeadLine(name, number, f"{name}{number}", b"") for number in range(count)]
        DeadLetter(tmp_path / "dead" / f"{name}.jsonl").add(lines)
        os.utime(tmp_path / "dead" / f"{name}.jsonl", (ord(name), ord(name)))

    assert probes_of(tmp_path).dead_letters() == (5, "b2")
