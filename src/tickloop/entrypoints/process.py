"""What every long-running process of Tickloop shares: signals, logs, status, and an end without orphans."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import NoReturn

import structlog

from tickloop.adapters.local.status import StatusBoard
from tickloop.errors import TickloopError

PARENT_VARIABLE = "TICKLOOP_PARENT_PID"
"""Set by the supervisor: the process ends with that parent, however the parent ends."""

STOP_DEADLINE_S = 3.0
"""A process that has not stopped this long after it was asked to is ended: better than an orphan."""

_PR_SET_PDEATHSIG = 1


def configure_logging(level: int = logging.INFO) -> None:
    """Send structured log lines to stderr, for people."""
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer(colors=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )


def die_with_parent() -> None:
    """Ask the kernel for a SIGTERM when the supervisor dies; do nothing without a supervisor."""
    parent = os.environ.get(PARENT_VARIABLE)
    if parent is None or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != int(parent):
        os._exit(1)


def run_async(name: str, board: StatusBoard, main: Callable[[asyncio.Event], Awaitable[None]]) -> int:
    """Run an asyncio process until it ends or is asked to stop; give its exit code."""

    async def body() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, _ask_to_stop, loop, stop)
        await main(stop)

    return _guarded(name, board, lambda: asyncio.run(body()))


def run_threaded(name: str, board: StatusBoard, main: Callable[[threading.Event], None]) -> int:
    """Run a synchronous process until it ends or is asked to stop; give its exit code."""
    stop = threading.Event()

    def on_signal(_number: int, _frame: object) -> None:
        _end_by_deadline()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    return _guarded(name, board, lambda: main(stop))


def leave(code: int) -> NoReturn:
    """End this process at once.

    All that matters is closed by now. The interpreter's own tear-down of the numeric libraries and MLflow takes a
    second or two on a busy machine, and a person who pressed Ctrl-C would wait for it.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _guarded(name: str, board: StatusBoard, run: Callable[[], None]) -> int:
    log = structlog.get_logger(process=name)
    try:
        run()
    except TickloopError as exc:
        log.error("stopped", reason=str(exc))
        board.write(name, "failed", str(exc))
        return exc.exit_code
    except Exception as exc:
        log.exception("crashed")
        board.write(name, "failed", f"{type(exc).__name__}: {exc}")
        return 1
    board.write(name, "stopped")
    return 0


def _ask_to_stop(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    _end_by_deadline()
    loop.call_soon(stop.set)


def _end_by_deadline() -> None:
    timer = threading.Timer(STOP_DEADLINE_S, os._exit, args=(1,))
    timer.daemon = True
    timer.start()
