"""The demo: start everything on a held clock, let the market run, show it, stop it in order."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Callable

from tickloop.adapters.local.home import empty_home, hold_home, prepare_home
from tickloop.adapters.local.status import StatusBoard
from tickloop.bootstrap import open_app
from tickloop.entrypoints.commands.options import print_json
from tickloop.entrypoints.demo.control import SimulatorControl
from tickloop.entrypoints.demo.plan import DemoOptions, Ports, children, free_port, write_settings
from tickloop.entrypoints.demo.round import RoundReport, check_api, is_round_done, report_round
from tickloop.entrypoints.demo.screen import Screen
from tickloop.entrypoints.process import configure_logging
from tickloop.entrypoints.supervisor import Supervisor
from tickloop.entrypoints.up import COMMANDS
from tickloop.errors import CheckFailedError, OperatorError
from tickloop.settings import HomePaths, load_settings

READY_DEADLINE_S = 90.0
ROUND_DEADLINE_S = 170.0
_POLL_S = 0.2
_NEEDED_BEFORE_START = ("pipeline", "collector", "api", "bot")


def run_demo(options: DemoOptions) -> None:
    """Run the demo until it is done or stopped.

    Raises:
        OperatorError: the home is busy or not writable, or a process fell for good.
        CheckFailedError: one round is done and its counts do not agree.
    """
    configure_logging()  # to stderr: stdout is for the one JSON object
    prepare_home(options.home)
    with hold_home(options.home):
        if options.is_fresh:
            empty_home(options.home)
        asyncio.run(_Demo(options).run())


class _Demo:
    def __init__(self, options: DemoOptions) -> None:
        self._options = options
        self._paths = HomePaths(options.home)
        self._board = StatusBoard(self._paths.status)
        self._supervisor = Supervisor(self._paths.logs)
        self._stop = asyncio.Event()
        self._ports = Ports(free_port(0), free_port(8000), free_port(options.dashboard_port))
        self._screen = Screen(options, self._ports, self._board, sys.stderr)
        self._started = time.monotonic()
        self._seconds: dict[str, float] = {}

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop.set)
        self._board.clear()
        write_settings(self._options, self._ports)
        report: RoundReport | None = None
        try:
            report = await self._live()
        finally:
            await self._end()
        if report is not None:
            self._show(report)

    async def _live(self) -> RoundReport | None:
        simulator, others = children(self._options, self._ports)
        with self._screen:
            await self._supervisor.start(simulator)
            await self._until("the simulator", lambda: self._is_ready("simulator"), READY_DEADLINE_S)
            for child in others:
                await self._supervisor.start(child)
            await self._until(
                "a subscribed collector, API and bot and a finished back-fill",
                lambda: all(self._is_ready(name) for name in _NEEDED_BEFORE_START),
                READY_DEADLINE_S,
            )
            async with self._simulator() as control:
                if self._stop.is_set():
                    return None
                await control.run_clock(run=True)
                self._mark("market_running")
                await self._until("the dashboard", lambda: self._is_ready("dashboard"), READY_DEADLINE_S)
                self._mark("dashboard_ready")
                if self._options.is_once:
                    return await self._one_round(control)
                await self._until("an end", lambda: False, float("inf"))
        return None

    async def _one_round(self, control: SimulatorControl) -> RoundReport | None:
        app = open_app(load_settings(self._options.home))
        try:
            await self._until(
                "one round", lambda: is_round_done(app, self._board, self._options.round_window), ROUND_DEADLINE_S
            )
            if self._stop.is_set():
                return None
            self._mark("round_done")
            url = f"http://127.0.0.1:{self._ports.api}"
            api = await check_api(url, app.settings.markets, is_fresh=self._options.recording.is_continuous)
            bot = self._board.read("bot")  # before it stops, and says no more than that
            await control.run_clock(run=False)
            await self._supervisor.stop(COMMANDS)
            window = self._options.round_window
            truth, status = await control.truth(window), await control.status()
            return report_round(app, bot, window, truth, status, api, self._seconds)
        finally:
            app.close()

    async def _end(self) -> None:
        began = time.monotonic()
        self._screen.say("stopping")
        try:
            if self._supervisor.is_running("simulator"):
                async with self._simulator() as control:
                    await asyncio.wait_for(control.run_clock(run=False), 1.0)
        except (OperatorError, TimeoutError):
            self._screen.say("the simulator did not hold its clock; its lease ends it")
        await self._supervisor.stop(COMMANDS)
        await self._supervisor.close()
        self._screen.say(f"stopped in {time.monotonic() - began:.1f} s; state is in {self._options.home}")

    def _simulator(self) -> SimulatorControl:
        return SimulatorControl(f"http://127.0.0.1:{self._ports.simulator}")

    def _is_ready(self, name: str) -> bool:
        status = self._board.read(name)
        return status is not None and status.state == "ready"

    def _mark(self, name: str) -> None:
        self._seconds[name] = round(time.monotonic() - self._started, 1)

    async def _until(self, what: str, condition: Callable[[], bool], deadline_s: float) -> None:
        deadline = time.monotonic() + deadline_s
        while not self._stop.is_set():
            if self._supervisor.failed.is_set():
                raise OperatorError(self._supervisor.failure)
            if await asyncio.to_thread(condition):
                return
            if time.monotonic() > deadline:
                raise OperatorError(f"waited {deadline_s:.0f} s for {what}; logs are in {self._paths.logs}")
            self._screen.refresh()
            await asyncio.sleep(_POLL_S)

    def _show(self, report: RoundReport) -> None:
        if self._options.as_json:
            print_json(report.as_dict())
        else:
            self._screen.show_report(report.as_dict())
        if report.problems:
            raise CheckFailedError("the round does not add up: " + "; ".join(report.problems))
