"""A simulator and a collector as processes of their own, on homes of their own, for tests of what survives."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fakes import START_MS, read_whole
from tickloop.adapters.local.clock import SharedClock
from tickloop.adapters.local.journal import JournalStore
from tickloop.adapters.local.status import StatusBoard, StatusFile
from tickloop.domain.window import HOUR_MS, MINUTE_MS, Window

MARKETS = ("KRW-BTC", "KRW-ETH")
DEADLINE_S = 60.0

_LOOK_S = 0.01


class Collecting:
    """Starts the simulator with a clock that is held; the collector's home may lie on another disk."""

    def __init__(
        self,
        folder: Path,
        home: Path,
        settings: str = "",
        *,
        speed: float = 600.0,
        exchange: Sequence[str] = (),
        markets: Sequence[str] = MARKETS,
    ) -> None:
        self.home = home
        self._exchange = exchange
        self._markets = markets
        self._folder = folder
        self._settings = settings
        self._speed = speed
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.board = StatusBoard(home / "run")

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End whatever still runs."""
        for process in self._processes.values():
            if process.poll() is None:
                process.kill()
                process.wait(DEADLINE_S)

    def _open(self) -> None:
        exchange = self._folder / "exchange"
        options = ("--start-ms", START_MS, "--speed", self._speed, "--port", 0, "--hold", *self._exchange)
        self._start("simulator", "sim", "--home", exchange, *options)
        status = self._until_ready("simulator", StatusBoard(exchange / "run"))
        self.url = str(status.detail["url"])
        self.clock = SharedClock(exchange / "sim" / "clock.json")
        self.home.mkdir(exist_ok=True)
        (self.home / "sim").symlink_to(exchange / "sim")  # the clock is the simulator's; the rest is ours
        (self.home / "tickloop.toml").write_text(
            f"""clock = "shared"
[exchange]
rest_url = "{self.url}"
websocket_url = "{self.url.replace("http", "ws", 1)}/websocket/v1"
{self._settings}"""
        )
        self.start_collector()

    def start_collector(self) -> None:
        self.board.remove("collector")
        self._start("collector", "collect", "--home", self.home)
        self._until_ready("collector", self.board)

    def kill_collector(self) -> None:
        """End it as a loss of power would."""
        self._processes["collector"].send_signal(signal.SIGKILL)
        self._processes["collector"].wait(DEADLINE_S)

    def stop_collector(self) -> None:
        self._processes["collector"].send_signal(signal.SIGTERM)
        assert self._processes["collector"].wait(DEADLINE_S) == 0, self.log("collector")

    def run_to(self, minute: float) -> None:
        """Let market time run until so many minutes after the start; it runs on."""
        self.control("POST", "/control/clock", run=True)
        at_ms = START_MS + minute * MINUTE_MS
        takes_s = max(0.0, at_ms - self.clock.now_ms()) / 1_000 / self._speed
        self.until(lambda: self.clock.now_ms() >= at_ms, f"minute {minute}", takes_s + DEADLINE_S)

    def hold(self) -> None:
        self.control("POST", "/control/clock", run=False)

    def control(self, method: str, path: str, /, **body: Any) -> Any:
        data = json.dumps(body).encode() if body else None
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
            return json.load(answer)

    def until(self, holds: Callable[[], bool], what: str, within_s: float = DEADLINE_S) -> None:
        deadline = time.monotonic() + within_s
        while not holds():
            assert time.monotonic() < deadline, f"{what} was not reached: {self.status()}; {self.log('collector')}"
            time.sleep(_LOOK_S)

    def status(self) -> StatusFile | None:
        return self.board.read("collector")

    def figure(self, name: str) -> Any:
        status = self.status()
        return None if status is None else status.detail.get(name)

    def made(self) -> set[tuple[str, int]]:
        """Give market and id of every trade that the exchange has made so far."""
        end_ms = START_MS + HOUR_MS
        rows = {
            market: self.control("GET", f"/control/tape?market={market}&start={START_MS}&end={end_ms}")["trades"]
            for market in self._markets
        }
        now_ms = self.clock.now_ms()
        return {(market, row["id"]) for market in self._markets for row in rows[market] if row["ts"] <= now_ms}

    def kept(self) -> set[tuple[str, int]]:
        """Give market and id of every trade in the journal."""
        store = JournalStore(self.home / "journal", self._folder / "dead", self.clock)
        hour = Window(START_MS, START_MS + HOUR_MS)
        return {
            (market, number)
            for market in self._markets
            for number in read_whole(store, market, hour).trades["trade_id"]
        }

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tickloop", *arguments, "--home", str(self.home)]
        return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)

    def log(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text(errors="replace")[-2_000:]

    def _start(self, name: str, *arguments: object) -> None:
        command = [sys.executable, "-m", "tickloop", *map(str, arguments)]
        with (self._folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(command, stdout=log, stderr=log)

    def _until_ready(self, name: str, board: StatusBoard) -> StatusFile:
        process, found = self._processes[name], list[StatusFile]()

        def is_ready() -> bool:
            assert process.poll() is None, f"{name} ended: {self.log(name)}"
            status = board.read(name)
            if status is not None and status.pid == process.pid and status.state in ("ready", "blocked"):
                found.append(status)
            return bool(found)

        deadline = time.monotonic() + DEADLINE_S
        while not is_ready():
            assert time.monotonic() < deadline, f"{name} was not ready: {self.log(name)}"
            time.sleep(_LOOK_S)
        return found[0]
