"""The processes of a chaos run: a simulator, and a collector that is killed and started again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from plan import MARKETS

from tickloop.adapters.local.clock import SharedClock
from tickloop.adapters.local.sessions import FileSessionLog
from tickloop.adapters.local.status import StatusBoard

COMMANDS = {"simulator": "sim", "collector": "collect"}

DEADLINE_S = 60.0
IDLE_MARKET_S = 240.0
"""Silence after which the collector gives a connection up: real seconds by its nature, so few of them at high speed."""

_LOOK_S = 0.01


class World:
    """A simulator and a collector on one home, as `tickloop sim` and `tickloop collect` start them."""

    def __init__(self, home: Path, start_ms: int, speed: float, seed: int) -> None:
        self.home = home
        self._logs = home.with_name(f"{home.name}-log")  # a home holds what is Tickloop's and nothing else
        self._start_ms = start_ms
        self._speed = speed
        self._seed = seed
        self._board = StatusBoard(home / "run")
        self._simulator: subprocess.Popen[bytes] | None = None
        self._collector: subprocess.Popen[bytes] | None = None
        self.kills = 0

    def __enter__(self) -> Self:
        try:
            return self._begun()
        except BaseException:
            self._end()
            raise

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._end()

    def _begun(self) -> Self:
        self._logs.mkdir(parents=True, exist_ok=True)
        options = ("--start-ms", self._start_ms, "--speed", self._speed, "--seed", self._seed, "--port", 0, "--hold")
        self._simulator = self._start("simulator", *map(str, options))
        self.url = str(self._until_ready("simulator", self._simulator).detail["url"])
        write_settings(self.home, self.url, IDLE_MARKET_S / self._speed)
        self.clock = SharedClock(self.home / "sim" / "clock.json")
        self._collector = self._start("collector")
        self._until_ready("collector", self._collector)
        self.control("POST", "/control/clock", run=True)
        return self

    def _end(self) -> None:
        for process in (self._collector, self._simulator):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait(DEADLINE_S)

    def until(self, market_ms: int) -> None:
        """Wait until the market clock shows a time."""
        deadline = time.monotonic() + 10 * DEADLINE_S
        while (left_s := self.clock.real_seconds_until(market_ms)) > 0:
            assert time.monotonic() < deadline, f"the market clock did not reach {market_ms}"
            time.sleep(min(left_s, _LOOK_S * 10))

    def kill_collector(self) -> None:
        """Kill the collector as a power cut would, and start it again."""
        assert self._collector is not None
        self._collector.send_signal(signal.SIGKILL)
        self._collector.wait(DEADLINE_S)
        self.kills += 1
        self._board.remove("collector")
        self._collector = self._start("collector")
        self._until_ready("collector", self._collector)

    def stop_collector(self) -> None:
        """Ask the collector to stop, as a supervisor does."""
        assert self._collector is not None
        self._collector.send_signal(signal.SIGTERM)
        assert self._collector.wait(DEADLINE_S) == 0, self._log("collector")

    def silences(self) -> int:
        """Count the connections that the collector gave up because nothing came."""
        sessions = FileSessionLog(self.home / "journal" / "sessions.log").sessions(MARKETS[0])
        return sum((session.reason or "").startswith("no message") for session in sessions)

    def control(self, method: str, path: str, /, **body: Any) -> Any:
        data = json.dumps(body).encode() if body else None
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
            return json.load(answer)

    def _start(self, name: str, *options: str) -> subprocess.Popen[bytes]:
        arguments = [sys.executable, "-m", "tickloop", COMMANDS[name], "--home", str(self.home), *options]
        with (self._logs / name).open("ab") as log:
            return subprocess.Popen(arguments, stdout=log, stderr=log)

    def _until_ready(self, name: str, process: subprocess.Popen[bytes]) -> Any:
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            status = self._board.read(name)
            if status is not None and status.pid == process.pid and status.state == "ready":
                return status
            assert process.poll() is None, f"{name} ended: {self._log(name)}"
            time.sleep(_LOOK_S)
        raise AssertionError(f"{name} was not ready within {DEADLINE_S:.0f} s: {self._log(name)}")

    def _log(self, name: str) -> str:
        return (self._logs / name).read_text(errors="replace")[-2_000:]


def write_settings(home: Path, url: str, idle_s: float) -> None:
    """Point a home at the simulator of a run."""
    (home / "tickloop.toml").write_text(
        f"""clock = "shared"

[exchange]
rest_url = "{url}"
websocket_url = "{url.replace("http", "ws", 1)}/websocket/v1"

[collect]
idle_s = {idle_s}
""",
        encoding="utf-8",
    )
