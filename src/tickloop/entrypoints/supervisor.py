"""Starts the processes of one home, restarts those that fall, stops them in order, and leaves no orphan."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from tickloop.entrypoints.process import PARENT_VARIABLE, STOP_DEADLINE_S

MAX_RESTARTS = 5
"""In a row, each within `STEADY_S` of the last: then the whole home stops, with the reason."""

STEADY_S = 60.0
_BACKOFF_CAP_S = 5.0


@dataclass
class Child:
    """One supervised process: `tickloop ARGS`, its log file, and what became of it.

    Attributes:
        only_first: arguments of the first start alone, for what a restart must not do again.
    """

    name: str
    args: Sequence[str]
    only_first: Sequence[str] = ()
    process: asyncio.subprocess.Process | None = None
    restarts: int = 0
    started_at: float = 0.0


class Supervisor:
    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._children: dict[str, Child] = {}
        self._watchers: dict[str, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()
        self.failed = asyncio.Event()
        self.failure = ""
        self._log = structlog.get_logger(process="supervisor")

    async def start(self, child: Child) -> None:
        """Start a process and watch it."""
        self._logs.mkdir(parents=True, exist_ok=True)
        self._children[child.name] = child
        await self._spawn(child)
        self._watchers[child.name] = asyncio.create_task(self._watch(child))

    def is_running(self, name: str) -> bool:
        child = self._children.get(name)
        return child is not None and child.process is not None and child.process.returncode is None

    def log_tail(self, name: str, lines: int = 5) -> str:
        """Give the last lines that a process wrote, for the message about its fall."""
        path = self._logs / f"{name}.log"
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 8_192))
            return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-lines:])

    async def stop(self, names: Collection[str]) -> None:
        """Stop the named processes at once, and restart none from here on; each has a deadline, then is killed."""
        self._stopping.set()
        await self._end([child for child in self._children.values() if child.name in names])

    async def close(self) -> None:
        """Stop whatever still runs."""
        await self.stop(self._children)
        for watcher in self._watchers.values():
            watcher.cancel()
        await asyncio.gather(*self._watchers.values(), return_exceptions=True)

    async def _spawn(self, child: Child) -> None:
        environment = {**os.environ, PARENT_VARIABLE: str(os.getpid())}
        first = child.only_first if child.process is None else ()
        command = (sys.executable, "-m", "tickloop", *child.args, *first)
        with (self._logs / f"{child.name}.log").open("ab") as log:
            child.process = await asyncio.create_subprocess_exec(
                *command,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C on the terminal reaches the supervisor alone, which stops in order
            )
        child.started_at = asyncio.get_running_loop().time()

    async def _watch(self, child: Child) -> None:
        while not self._stopping.is_set():
            assert child.process is not None
            code = await child.process.wait()
            if self._stopping.is_set():
                return
            lasted = asyncio.get_running_loop().time() - child.started_at
            child.restarts = 1 if lasted > STEADY_S else child.restarts + 1
            self._log.warning("process ended", name=child.name, code=code, restarts=child.restarts)
            if child.restarts > MAX_RESTARTS:
                self.failure = (
                    f"{child.name} ended {child.restarts} times; its last words:\n{self.log_tail(child.name)}"
                )
                self.failed.set()
                return
            backoff_s = min(_BACKOFF_CAP_S, 0.2 * 2**child.restarts) * random.uniform(0.5, 1.0)  # noqa: S311
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), backoff_s)
            if not self._stopping.is_set():
                await self._spawn(child)

    async def _end(self, children: Sequence[Child]) -> None:
        running = [
            child.process for child in children if child.process is not None and child.process.returncode is None
        ]
        for process in running:
            process.send_signal(signal.SIGTERM)
        for process in running:
            try:
                await asyncio.wait_for(process.wait(), STOP_DEADLINE_S + 0.5)
            except TimeoutError:
                process.kill()
                await process.wait()
