"""`tickloop up`: the processes of a home that is not a demo, against an exchange that runs already."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tickloop.adapters.local.status import StatusBoard
from tickloop.settings import HomePaths

DEADLINE_S = 60.0


def tickloop(*args: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tickloop", *args], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[tuple[HomePaths, str]]:
    """A simulator with a held clock, and a home whose settings name it."""
    port, api, pages = free_ports(3)
    url = f"http://127.0.0.1:{port}"
    (tmp_path / "tickloop.toml").write_text(
        f"""clock = "shared"
[exchange]
rest_url = "{url}"
websocket_url = "ws://127.0.0.1:{port}/websocket/v1"
access_key = "a"
secret_key = "b"
[history]
backfill_days = 1
[serve]
port = {api}
[dashboard]
port = {pages}
""",
        encoding="utf-8",
    )
    simulator = tickloop("sim", "--home", str(tmp_path), "--port", str(port), "--hold")
    paths = HomePaths(tmp_path)
    wait_for(paths, ["simulator"])
    try:
        yield paths, url
    finally:
        simulator.send_signal(signal.SIGTERM)
        simulator.wait(DEADLINE_S)


def wait_for(paths: HomePaths, names: list[str]) -> None:
    board, deadline = StatusBoard(paths.status), time.monotonic() + DEADLINE_S
    while not all((status := board.read(name)) is not None and status.state == "ready" for name in names):
        assert time.monotonic() < deadline, f"waited {DEADLINE_S} s for {names}: {board.read_all()}"
        time.sleep(0.05)


def test_up_runs_the_home_against_its_exchange_and_stops_when_asked(exchange: tuple[HomePaths, str]) -> None:
    """All five become ready, the simulator sees their subscriptions, and Ctrl-C ends them."""
    paths, url = exchange
    up = tickloop("up", "--home", str(paths.home))
    try:
        wait_for(paths, ["pipeline", "collector", "api", "dashboard", "bot"])
        subscribers = httpx.get(f"{url}/control/status", trust_env=False).json()["subscribers"]
    finally:
        up.send_signal(signal.SIGINT)
        code = up.wait(DEADLINE_S)

    board = StatusBoard(paths.status)
    stopped = {name: board.read(name).state for name in ("pipeline", "collector", "api", "bot")}  # type: ignore[union-attr]
    assert code == 0
    assert len(subscribers) == 3
    assert set(stopped.values()) == {"stopped"}
