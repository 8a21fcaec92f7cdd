"""The processes of a home against the exchange of its settings: the demo's, less the simulator."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress

from tickloop.adapters.local.home import hold_home, prepare_home
from tickloop.adapters.local.status import StatusBoard
from tickloop.entrypoints.mains import is_simulated
from tickloop.entrypoints.process import configure_logging
from tickloop.entrypoints.supervisor import Child, Supervisor
from tickloop.errors import OperatorError
from tickloop.settings import Settings

_LOOK_EVERY_S = 0.5

COMMANDS = {"pipeline": "pipeline", "collector": "collect", "api": "serve", "dashboard": "dashboard", "bot": "trade"}
"""Process -> its command, in the order of their start."""


def processes(home: str, *, with_bot: bool) -> list[Child]:
    """Give the processes of a home, ready to be started."""
    names = [name for name in COMMANDS if with_bot or name != "bot"]
    return [Child(name, (COMMANDS[name], "--home", home)) for name in names]


def run_up(settings: Settings, say: Callable[[str], None]) -> None:
    """Run until asked to stop; say what changes.

    The bot runs on a simulated exchange only: live trading comes with an opt-in of its own.

    Raises:
        HomeBusyError, HomeNotWritableError: the home cannot be used.
        OperatorError: a process fell for good.
    """
    configure_logging()
    prepare_home(settings.paths.home)
    with hold_home(settings.paths.home):
        asyncio.run(_run(settings, say))


async def _run(settings: Settings, say: Callable[[str], None]) -> None:
    paths, stop = settings.paths, asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    board, supervisor = StatusBoard(paths.status), Supervisor(paths.logs)
    started = processes(str(paths.home), with_bot=is_simulated(settings))
    names = [child.name for child in started]
    for name in names:
        board.remove(name)
    said: dict[str, str] = {}
    say(f"home {paths.home}, exchange {settings.exchange.rest_url}; Ctrl-C stops all")
    if "bot" not in names:
        say("no bot: orders go to a simulated exchange only so far")
    try:
        for child in started:
            await supervisor.start(child)
        while not stop.is_set() and not supervisor.failed.is_set():
            _say_changes(board, names, said, say)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _LOOK_EVERY_S)
    finally:
        await supervisor.close()
    if supervisor.failed.is_set():
        raise OperatorError(supervisor.failure)
    say("stopped")


def _say_changes(board: StatusBoard, names: list[str], said: dict[str, str], say: Callable[[str], None]) -> None:
    for name in names:
        status = board.read(name)
        if status is not None and said.get(name) != status.state:
            said[name] = status.state
            say(f"{name} {status.state} {status.message}".rstrip())
