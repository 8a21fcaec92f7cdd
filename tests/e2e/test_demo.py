"""The one command, for real: every process, from the made trades to orders and a dashboard."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tickloop.adapters.local.status import StatusBoard
from tickloop.bootstrap import open_app
from tickloop.settings import HomePaths, load_settings

ROUND_TIMEOUT_S = 240
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 5.0
SLOT_MS = 1_705_838_400_000  # 2024-01-21T12:00Z


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "tickloop", "demo", *args]


def program(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tickloop", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=ROUND_TIMEOUT_S, check=False)


@pytest.fixture(scope="module")
def round_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("round") / "home"


@pytest.fixture(scope="module")
def report(round_home: Path) -> dict[str, Any]:
    done = subprocess.run(
        command("--once", "--json", "--home", str(round_home)), capture_output=True, text=True, timeout=ROUND_TIMEOUT_S
    )
    assert done.returncode == 0, done.stderr[-4000:] + done.stdout[-4000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_round_agrees_along_the_chain(report: dict[str, Any]) -> None:
    """made = journal + withheld, journal = lake = warehouse = trades of the bars and of the other minutes."""
    assert report["ok"] is True
    assert report["problems"] == []
    for counts in report["markets"]:
        assert counts["made"] > 500
        assert counts["made"] == counts["journal"] + counts["withheld"]
        assert counts["journal"] == counts["lake"] == counts["warehouse"]
        assert counts["warehouse"] == counts["bar_trades"] + sum(counts["trades_in_other_minutes"].values())
        assert sum(counts["ledger"].values()) == 120


def test_round_shows_a_repaired_gap_and_one_that_could_not_be_repaired(report: dict[str, Any]) -> None:
    """The injected gaps of 90 s are in the ledger, each with its label."""
    states = [counts["ledger"] for counts in report["markets"]]

    assert sum(state.get("repaired", 0) for state in states) >= 1
    assert sum(state.get("candle", 0) for state in states) >= 1
    assert sum(state.get("unknown", 0) for state in states) == 0


def test_round_trains_scores_and_explains_its_champions(report: dict[str, Any]) -> None:
    """Every market has candidates with metrics, and a champion with a reason."""
    families = {(row["market"], row["name"].rsplit("-", 1)[0]) for row in report["candidates"]}

    for market in ("KRW-BTC", "KRW-ETH"):
        assert {(market, family) for family in ("persistence", "ridge", "lightgbm")} <= families
        assert report["champions"][market]["reason"]
        assert report["findings"][market].startswith("A round trip costs 10 bp")
    assert all(row["metrics"]["mae_bp"] > 0 for row in report["candidates"] if not row["name"].startswith("persist"))


def test_round_ends_in_orders_and_answers(report: dict[str, Any]) -> None:
    """The bot has bought and sold, forecasts were stored, the API answered all that was asked."""
    assert report["bot"]["filled"] >= 1
    assert report["bot"]["minutes"] >= 60
    assert sum(report["forecasts_stored"].values()) > 100
    assert report["api"]["problems"] == []


def test_session_of_the_rounds_bot_is_decided_again_order_by_order(report: dict[str, Any], round_home: Path) -> None:
    """`backtest --replay last`: from its frames, bars, purse and forecasts alone."""
    done = program("backtest", "--replay", "last", "--json", "--home", str(round_home))

    replayed = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr[-2000:]
    assert replayed["equal"] is True
    assert replayed["orders"] == report["bot"]["by_state"]["closed"] > 0


def test_back_test_of_the_rounds_history_says_first_whether_it_is_luck(
    report: dict[str, Any], round_home: Path
) -> None:
    """Two days of bars that no model of the round has seen."""
    assert report["ok"]
    span = ("--market", "KRW-BTC", "--window", "2024-01-20T00..2024-01-22T00")

    done = program("backtest", *span, "--home", str(round_home))

    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("This result ")
    assert "2,865 minutes with a price" in done.stdout


def test_models_fitted_on_two_processes_are_those_of_one_to_the_byte(
    report: dict[str, Any], round_home: Path, tmp_path: Path
) -> None:
    """A slot that the round did not train, every market and family as a unit of work."""
    assert report["ok"]
    made = []
    for workers in ("1", "2"):
        home = shutil.copytree(round_home, tmp_path / workers)
        done = program("run", "train", "--window", "2024-01-21T12..T18", "--workers", workers, "--home", str(home))
        assert done.returncode == 0, done.stderr[-2000:]
        with open_app(load_settings(home)) as app:
            made.append(
                {
                    (market, version.family): app.registry.files(version)
                    for market in app.markets
                    for version in app.registry.versions(market)
                    if version.params.get("slot_start_ms") == str(SLOT_MS)
                }
            )

    assert set(made[0]) == {(m, f) for m in ("KRW-BTC", "KRW-ETH") for f in ("ridge", "lightgbm")}
    assert made[1] == made[0]


def test_round_leaves_no_process_behind(report: dict[str, Any], round_home: Path) -> None:
    """Every process that wrote a status has ended."""
    assert report["ok"]

    alive = [status.name for status in StatusBoard(HomePaths(round_home).status).read_all() if is_alive(status.pid)]

    assert alive == []


def test_round_agrees_though_every_process_is_killed_once(tmp_path: Path) -> None:
    """kill -9, one after the other: nothing is lost, nothing is ordered twice, what was missed is repaired."""
    paths, output = HomePaths(tmp_path / "home"), tmp_path / "report.json"
    board = StatusBoard(paths.status)
    with output.open("wb") as stdout:
        demo = subprocess.Popen(
            command("--once", "--json", "--speed", "240", "--port", "8599", "--home", str(paths.home)),
            stdout=stdout,
            stderr=subprocess.DEVNULL,
        )
    try:
        wait_for_all(paths)
        wait_until(lambda: orders_of(board) > 0, START_TIMEOUT_S, "the bot's first order")
        for name in ("collector", "bot", "pipeline", "simulator", "api"):
            old = board.read(name)
            assert old is not None
            os.kill(old.pid, signal.SIGKILL)
            wait_until(lambda name=name, old=old: is_back(board, name, old.pid), START_TIMEOUT_S, f"a new {name}")
        code = demo.wait(timeout=ROUND_TIMEOUT_S)
    finally:
        demo.kill()
        demo.wait()

    report = json.loads(output.read_bytes())
    assert report["problems"] == []
    assert code == 0
    assert report["collector_breaks"] >= 2
    assert report["simulator"]["account"]["orders"] == report["bot"]["by_state"]["closed"]


def orders_of(board: StatusBoard) -> int:
    bot = board.read("bot")
    return int(bot.detail.get("orders", 0)) if bot is not None else 0


def is_back(board: StatusBoard, name: str, old_pid: int) -> bool:
    status = board.read(name)
    return status is not None and status.pid != old_pid and status.state == "ready"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], HomePaths]]:
    home = tmp_path / "home"
    demo = subprocess.Popen(
        command("--home", str(home), "--port", "8599"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield demo, HomePaths(home)
    finally:
        demo.kill()
        demo.wait()


def test_ctrl_c_stops_everything_and_the_next_start_goes_on(
    running: tuple[subprocess.Popen[bytes], HomePaths], tmp_path: Path
) -> None:
    """No orphan, the market clock stands while the demo is down, and the second start resumes it."""
    demo, paths = running
    pids = wait_for_all(paths)
    first = market_ms(paths)

    began = time.monotonic()
    demo.send_signal(signal.SIGINT)
    demo.wait(timeout=STOP_TIMEOUT_S + 5)
    took = time.monotonic() - began

    assert took < STOP_TIMEOUT_S
    assert [pid for pid in pids if is_alive(pid)] == []
    stood_at = json.loads(paths.clock.read_bytes())["market_ns"] // 1_000_000
    assert stood_at >= first
    again = subprocess.Popen(
        command("--home", str(paths.home), "--port", "8599"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for_all(paths)
        assert market_ms(paths) >= stood_at
    finally:
        again.send_signal(signal.SIGINT)
        again.wait(timeout=STOP_TIMEOUT_S + 5)


def test_killed_supervisor_takes_its_processes_along(
    running: tuple[subprocess.Popen[bytes], HomePaths],
) -> None:
    """kill -9 of the demo leaves nothing that trades on."""
    demo, paths = running
    pids = wait_for_all(paths)

    demo.kill()
    demo.wait()

    wait_until(lambda: not any(is_alive(pid) for pid in pids), STOP_TIMEOUT_S + 5, "the processes to end")


def wait_for_all(paths: HomePaths) -> list[int]:
    board = StatusBoard(paths.status)
    names = ("simulator", "collector", "pipeline", "api", "dashboard", "bot")

    def is_ready() -> bool:
        found = [board.read(name) for name in names]
        return all(status is not None and status.state == "ready" and is_alive(status.pid) for status in found)

    wait_until(is_ready, START_TIMEOUT_S, "six processes to be ready")
    return [status.pid for status in board.read_all()]


def market_ms(paths: HomePaths) -> int:
    status = StatusBoard(paths.status).read("simulator")
    assert status is not None
    return int(httpx.get(f"{status.detail['url']}/control/clock", trust_env=False).json()["market_ms"])


def wait_until(condition: Any, deadline_s: float, what: str) -> None:
    deadline = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {deadline_s} s for {what}"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z" and os.getpid() != pid
