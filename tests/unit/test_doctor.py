"""`tickloop doctor`: all checks on an empty home and on one with data; nothing is changed, nothing hangs."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from test_journal_line import TICKER

from fakes import START_MS, FixedClock, MemoryWarehouse
from tickloop.adapters.local.dead_letter import DeadLetter, DeadLine
from tickloop.adapters.local.journal_line import line_of
from tickloop.adapters.local.probes import HomeProbes, ProbePaths, joined, outages_between, quick_check
from tickloop.adapters.local.segments import OpenSegment
from tickloop.adapters.local.sessions import FileSessionLog
from tickloop.adapters.local.status import StatusBoard
from tickloop.adapters.local.warehouse import SqliteWarehouse
from tickloop.adapters.upbit.parse import parse_frame
from tickloop.domain import health
from tickloop.domain.data_health import Outage
from tickloop.domain.health import Check, ExchangeAnswer, Wiring
from tickloop.domain.tables import LEDGER, RUN
from tickloop.domain.universe import Span
from tickloop.domain.window import HOUR_MS, MINUTE_MS, Window, to_datetime
from tickloop.errors import (
    DataError,
    ExchangeError,
    MissingExtraError,
    OperatorError,
    RetryableError,
    SchemaTooNewError,
    SettingsError,
    StoreAwayError,
    StoreError,
)
from tickloop.services import doctor
from tickloop.services.doctor import checks

MARKETS = ("KRW-BTC", "KRW-ETH")
NOW_MS = START_MS + 10 * HOUR_MS
WIRING = Wiring("https://api.upbit.com", is_simulated=False, clock="system")


def probes_of(home: Path, *, has_file: bool = True, **changed: Any) -> HomeProbes:
    file = home / "warehouse.sqlite"
    paths = ProbePaths(
        home=home,
        journal=home / "journal",
        dead_letters=home / "dead",
        warehouse=file if has_file else None,
        status=home / "run",
        fluentd=home / "ship" / "fluentd",
        constraints=home / "constraints.txt",
    )
    parts: dict[str, Any] = {
        "ask": lambda: ExchangeAnswer(NOW_MS, NOW_MS + 50, NOW_MS, MARKETS),
        "wiring": WIRING,
        "collected": dict,
        "open_clock": lambda: FixedClock(NOW_MS),
        "servers": {},
        "open_warehouse": lambda: SqliteWarehouse(file) if file.exists() else None,
        "champions": lambda: None,
        "load_recordings": lambda: "candles",
    }
    return HomeProbes(paths, MARKETS, **{**parts, **changed})


def found(home: Path, **changed: Any) -> dict[str, Check]:
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
    assert report["ledger"].detail == {"minutes": 60, "markets": 2, "unknown": {"excess": 1}}
    assert report["processes"].detail["collector"]["alive"] is True


def test_minutes_of_collected_markets_without_a_label_are_told(tmp_path: Path) -> None:
    """A market of `universe = "krw"` that nothing has verified must not look whole."""
    asyncio.run(filled(tmp_path))
    spans = {"KRW-XRP": Span(NOW_MS - 5 * HOUR_MS - 1), "KRW-NEW": Span(NOW_MS), "KRW-OLD": Span(1, 2)}

    check = found(tmp_path, collected=lambda: spans)["ledger"]

    assert check.state == "fail"
    assert check.detail == {"minutes": 240, "markets": 5, "unknown": {"excess": 1, "never verified": 180}}


def test_an_exchange_that_does_not_answer_fails_its_check_alone(tmp_path: Path) -> None:
    """The others are still made."""

    def refuse() -> ExchangeAnswer:
        raise RetryableError("no answer to GET /v1/market/all")

    report = found(tmp_path, ask=refuse)

    assert report["exchange"].state == "fail"
    assert "no answer" in report["exchange"].figure
    assert report["recordings"].state == "ok"


TOLD = {name: f"{name} writes and reads" for name in ("opensearch", "postgres", "s3", "mlflow")}


def on_servers(home: Path, tries: dict[str, Callable[[], str]], **changed: Any) -> dict[str, Check]:
    """Look a home over whose stores are servers; those not in `tries` are well."""
    well = {name: partial(str, text) for name, text in TOLD.items()}
    return found(home, has_file=False, servers=well | tries, **changed)


def test_each_server_is_tried_and_no_file_of_the_home_is_read(tmp_path: Path) -> None:
    """What stands in the home beside them is of a laptop: its warehouse is damaged, and nobody looks."""
    (tmp_path / "warehouse.sqlite").write_bytes(b"not a database at all, only text" * 100)

    report = on_servers(tmp_path, {}, champions=lambda: "KRW-BTC ridge-2", open_warehouse=MemoryWarehouse)

    assert {name: report[name].figure for name in TOLD} == TOLD
    assert {report[name].state for name in TOLD} == {"ok"}
    assert "warehouse" not in report
    assert report["ledger"].figure == "no minute of the last seven days is in the ledger"
    assert report["registry"].figure == "KRW-BTC ridge-2"
    assert {check.state for check in report.values()} <= {"ok", "skip"}


def failing(problem: Exception) -> Callable[[], str]:
    def try_it() -> str:
        raise problem

    return try_it


@pytest.mark.parametrize(
    ("name", "problem", "untold"),
    [
        ("opensearch", StoreError("opensearch.url: there is another server"), set()),
        ("postgres", StoreAwayError("postgres.host: it cannot be reached"), {"ledger", "pipeline"}),
        ("postgres", SchemaTooNewError("it has schema version 99"), {"ledger", "pipeline"}),
        ("s3", MissingExtraError("S3", "cluster"), set()),
        ("mlflow", DataError("the model registry refused a value"), {"registry"}),
    ],
)
def test_server_that_refuses_fails_once_in_its_own_words(
    tmp_path: Path, name: str, problem: Exception, untold: set[str]
) -> None:
    """The others are tried all the same, and what would be read there says where to look."""
    report = on_servers(tmp_path, {name: failing(problem)}, open_warehouse=MemoryWarehouse)

    assert {one for one, check in report.items() if check.state == "fail"} == {name}
    assert report[name].figure == str(problem)
    assert report[name].remedy == "do as the message says, and ask again"
    assert {
        one for one, check in report.items() if check.figure == f"cannot be told: see the check of {name}"
    } == untold


@pytest.mark.parametrize(("name", "setting"), list(health.SERVERS.items()))
def test_server_that_gives_no_answer_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, setting: str
) -> None:
    """Its setting is named."""
    monkeypatch.setattr(doctor, "SERVER_DEADLINE_S", 0.05)
    release = threading.Event()

    def hang() -> str:
        release.wait(30)
        return "too late"

    report = on_servers(tmp_path, {name: hang})
    release.set()

    assert report[name].state == "fail"
    assert "no answer within" in report[name].figure
    assert report[name].remedy.startswith(f"{setting}: ")


def test_pipeline_beside_servers_is_judged_without_a_process_of_ours(tmp_path: Path) -> None:
    """Airflow runs the steps: hours that stay away are a failure, not a pipeline that somebody stopped."""
    warehouse = MemoryWarehouse()
    hour = Window(NOW_MS - 9 * HOUR_MS, NOW_MS - 8 * HOUR_MS)
    now = to_datetime(NOW_MS)
    runs = [(market, "features", hour.start, hour.end, "done", 1, now, 1, "{}") for market in MARKETS]
    warehouse.upsert(RUN, pl.DataFrame(runs, schema=RUN.columns, orient="row"))

    check = on_servers(tmp_path, {}, open_warehouse=lambda: warehouse)["pipeline"]

    assert check.state == "fail"
    assert "Airflow" in check.remedy


SIMULATED = Wiring("http://127.0.0.1:9", is_simulated=True, clock="shared")


@pytest.mark.parametrize(
    ("problem", "wiring", "words"),
    [
        (RetryableError("no answer"), WIRING, "exchange.rest_url = 'https://api.upbit.com': see that this machine"),
        (RetryableError("no answer"), SIMULATED, "exchange.rest_url = 'http://127.0.0.1:9': start the simulator"),
        (ExchangeError("no markets"), WIRING, "valid: https://api.upbit.com"),
        (OperatorError("market clock clock.json is not there"), SIMULATED, "clock = 'shared': start the simulator"),
        (PermissionError(13, "Permission denied"), WIRING, "read and write all of the home"),
        (SettingsError("exchange.keys_file is open; valid: chmod 600"), WIRING, "do as the message says"),
    ],
)
def test_check_that_cannot_be_made_has_a_remedy_of_its_own(
    tmp_path: Path, problem: Exception, wiring: Wiring, words: str
) -> None:
    """It names the setting, its value and what to do; the program does not fall."""

    def refuse() -> ExchangeAnswer:
        raise problem

    check = found(tmp_path, ask=refuse, wiring=wiring)["exchange"]

    assert check.state == "fail"
    assert words in check.remedy


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


def test_dead_letters_of_fluentd_are_counted_too(tmp_path: Path) -> None:
    """Lines that were refused, and chunks that it gave up."""
    DeadLetter(tmp_path / "dead" / "a.jsonl").add([DeadLine("a", 1, "no JSON", b"")])
    (tmp_path / "dead" / "fluentd.log").write_text('{"unmatched_line":"x"}\n{"unmatched_line":"y"}\n')
    chunk = tmp_path / "ship" / "fluentd" / "backup" / "worker0" / "opensearch" / "61f.log"
    chunk.parent.mkdir(parents=True)
    chunk.touch()

    count, reason = probes_of(tmp_path).dead_letters()

    assert count == 4
    assert "no JSON" in reason
    assert "2 of fluentd" in reason
    assert "1 chunks" in reason
