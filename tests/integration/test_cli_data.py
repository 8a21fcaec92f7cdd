"""Back-fill, ledger and doctor as commands, against a simulator in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tickloop.adapters.local.status import StatusBoard

DEADLINE_S = 60.0
_LOOK = threading.Event()

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("TICKLOOP_")}


def command(home: Path, *args: str) -> list[str]:
    return [sys.executable, "-m", "tickloop", *args, "--home", str(home)]


def tickloop(home: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(home, *args), capture_output=True, text=True, timeout=DEADLINE_S * 2, env=ENVIRONMENT, check=False
    )


def answer(home: Path, *args: str, code: int = 0) -> Any:
    done = tickloop(home, *args, "--json")
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give the folder of a simulator that holds its clock at 2024-01-22T00:00Z."""
    folder = tmp_path_factory.mktemp("exchange")
    home, log = folder / "home", folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command(home, "sim", "--hold", "--port", "0"), stdout=out, stderr=out, env=ENVIRONMENT
        )
    try:
        board, deadline = StatusBoard(home / "run"), time.monotonic() + DEADLINE_S
        while (status := board.read("simulator")) is None or status.state != "ready":
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            _LOOK.wait(0.02)
        (folder / "url").write_text(str(status.detail["url"]))
        yield folder
    finally:
        process.kill()
        process.wait(DEADLINE_S)


@pytest.fixture
def home(simulator: Path, tmp_path: Path) -> Path:
    """Give a fresh home on the simulator's clock."""
    url = (simulator / "url").read_text()
    folder = tmp_path / "home"
    (folder / "sim").mkdir(parents=True)
    (folder / "sim" / "clock.json").symlink_to(simulator / "home" / "sim" / "clock.json")
    (folder / "tickloop.toml").write_text(
        f'clock = "shared"\n[exchange]\nrest_url = "{url}"\n'
        f'websocket_url = "{url.replace("http", "ws", 1)}/websocket/v1"\n',
        encoding="utf-8",
    )
    return folder


def counts(ledger: dict[str, Any], market: str = "KRW-BTC") -> dict[str, int]:
    return {f"{one['state']} {one['reason']}": one["minutes"] for one in ledger[market]["counts"]}


def test_candles_first_then_their_trades_then_nothing_more(home: Path) -> None:
    """A day by candles; its last hours settled by trades; the ledger tells both, and what was never looked at."""
    day = ("--from", "2024-01-21", "--to", "2024-01-22", "--market", "KRW-BTC")
    last_hours = ("--from", "2024-01-21T21:00", "--to", "2024-01-22", "--market", "KRW-BTC")

    by_candles = answer(home, "backfill", *day)["KRW-BTC"]
    by_trades = answer(home, "backfill", *last_hours, "--trades")["KRW-BTC"]
    again = answer(home, "backfill", *last_hours, "--trades")["KRW-BTC"]

    assert by_candles["minutes"] == 1440
    assert by_candles["bars"] > 1400
    assert by_trades["hours"] == 3
    assert by_trades["trades"] > 0
    assert (again["minutes"], again["hours"], again["trades"]) == (0, 0, 0)
    ledger = answer(home, "ledger", *day, "--minutes")
    told = counts(ledger)
    assert sum(told.values()) == 1440 == len(ledger["KRW-BTC"]["rows"])
    assert 170 <= told["repaired None"] <= 180
    assert told["candle backfill"] == by_candles["bars"] - told["repaired None"]
    for part in ledger["KRW-BTC"]["stretches"]:
        assert part["state"] != "repaired" or part["our_volume"] == part["candle_volume"]
    wider = answer(home, "ledger", "--from", "2024-01-20T23", "--to", "2024-01-22", "--market", "KRW-BTC", code=3)
    assert counts(wider)["unknown never verified"] == 60


def test_a_back_fill_that_is_interrupted_goes_on_where_it_stopped(home: Path) -> None:
    """Ctrl-C once: a message, exit code 1, a consistent home; the same command again ends it."""
    days = ("--from", "2024-01-12", "--to", "2024-01-22")
    process = subprocess.Popen(
        command(home, "backfill", *days), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    warehouse, deadline = home / "warehouse.sqlite", time.monotonic() + DEADLINE_S
    while not warehouse.exists() and process.poll() is None:
        assert time.monotonic() < deadline
        _LOOK.wait(0.005)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=DEADLINE_S)
    assert "Traceback" not in error
    assert process.returncode in (0, 1), error  # 0: it was faster than the signal
    assert process.returncode == 0 or "goes on from there" in error

    rest = answer(home, "backfill", *days)

    assert all(one["minutes"] + one["skipped"] == 14_400 for one in rest.values())
    ledger = answer(home, "ledger", *days)
    assert all(one["minutes"] == 14_400 and one["unknown"] == 0 for one in ledger.values())


def test_the_ledger_for_people_has_a_line_for_each_stretch(home: Path) -> None:
    """With times, verdict and volumes."""
    answer(home, "backfill", "--window", "2024-01-21T20..T22", "--market", "KRW-ETH")

    done = tickloop(home, "ledger", "--market", "KRW-ETH")

    assert done.returncode == 0, done.stderr
    head, *lines = done.stdout.splitlines()
    assert head.startswith("KRW-ETH 2024-01-21T20..2024-01-21T22: ")
    assert len(lines) == 1
    assert "candle (backfill)" in lines[0]


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("backfill",), 2, "no range was given"),
        (("backfill", "--from", "2024-01-21T00:30"), 2, "2024-01-21T00:30"),
        (("backfill", "--window", "2024-01-21T00", "--from", "2024-01-21"), 2, "one or the other"),
        (("backfill", "--to", "2024-01-21"), 2, "without --from"),
        (("backfill", "--from", "2024-01-21", "--to", "2024-01-23"), 2, "is not over"),
        (("backfill", "--from", "2024-01-21", "--market", "KRW-NONE"), 2, "KRW-NONE"),
        (("ledger", "--from", "2024-01-23", "--to", "2024-01-22"), 2, "is empty"),
    ],
)
def test_a_range_that_cannot_be_is_refused(home: Path, args: tuple[str, ...], code: int, words: str) -> None:
    """Wrong use, said in its own words."""
    done = tickloop(home, *args)

    assert (done.returncode, "Traceback" in done.stderr) == (code, False)
    assert words in done.stderr


def test_doctor_passes_on_a_simulated_home_and_fails_without_its_exchange(home: Path) -> None:
    """Exit code 0, then 3; every check has a name, a state and a figure."""
    answer(home, "backfill", "--window", "2024-01-21T18..T20", "--market", "KRW-BTC")

    healthy = {one["name"]: one for one in answer(home, "doctor")["checks"]}

    assert {one["state"] for one in healthy.values()} <= {"ok", "warn", "skip"}
    assert healthy["exchange"]["state"] == healthy["clock skew"]["state"] == healthy["ledger"]["state"] == "ok"
    settings = home / "tickloop.toml"
    lines = settings.read_text().splitlines()
    settings.write_text("\n".join("rest_url = 'http://127.0.0.1:9'" if "rest_url" in line else line for line in lines))
    broken = {one["name"]: one for one in answer(home, "doctor", code=3)["checks"]}
    assert broken["exchange"]["state"] == "fail"
    assert broken["exchange"]["remedy"]


def test_doctor_names_a_wrong_setting(tmp_path: Path) -> None:
    """The first check, since all others follow from the settings."""
    (tmp_path / "tickloop.toml").write_text("[collect]\nqueue_frame = 1\n")

    done = tickloop(tmp_path, "doctor")

    assert done.returncode == 3
    assert "collect.queue_frame" in done.stdout
