"""Work units on several processes: each is given one at a time, and a worker that dies is named.

Workers are spawned, never forked: threads of numpy, polars and the stores do not survive a fork. What they all need is
handed over once, by `start`; large arrays through a file that all map (`services.shared`).
"""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from tickloop.errors import WorkerDiedError

U = TypeVar("U")
R = TypeVar("R")

_STOP_S = 5.0
"""How long a worker may still take for the unit that it is at, once nobody waits for it."""


@dataclass(frozen=True)
class _Worker:
    process: BaseProcess
    pipe: Connection


class Pool(Generic[U, R]):
    """Processes that call one function; with one worker it is called in this process.

    Args:
        call: (unit) -> result; a function of a module, as are `start` and what it takes: they are pickled.
        start: called once in each process before its first unit.

    Raises:
        WorkerDiedError: from `each`, when a process ended without an answer.
    """

    def __init__(
        self, call: Callable[[U], R], workers: int, start: Callable[..., None] | None = None, *args: Any
    ) -> None:
        self._call, self._start, self._args = call, start, args
        self._count = workers
        self._workers: list[_Worker] = []

    def __enter__(self) -> Self:
        if self._count == 1:
            if self._start is not None:
                self._start(*self._args)
            return self
        context = get_context("spawn")
        for _ in range(self._count):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_work, args=(theirs, self._call, self._start, self._args), daemon=True, name="tickloop worker"
            )
            process.start()
            theirs.close()  # so that the pipe ends when the worker does
            self._workers.append(_Worker(process, ours))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.pipe.close()
            if kind is not None:
                worker.process.terminate()
        for worker in self._workers:
            worker.process.join(_STOP_S)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
        self._workers.clear()

    @property
    def pids(self) -> list[int]:
        return [worker.process.pid for worker in self._workers if worker.process.pid is not None]

    def each(self, units: Iterable[U]) -> Iterator[tuple[U, R]]:
        """Yield each unit with its result, as they come: no more are under way than there are workers.

        After an error no unit is begun, and those under way still come before it is raised.

        Raises:
            WorkerDiedError: a process ended on its way.
            Exception: what `call` raised for a unit, with the worker's traceback as a note.
        """
        if self._count == 1:
            for unit in units:
                yield unit, self._call(unit)
            return
        waiting = iter(units)
        busy: dict[Connection, tuple[_Worker, U]] = {}
        for worker in self._workers:
            _hand_on(worker, waiting, busy)
        failure: Exception | None = None
        while busy:
            for pipe in wait(list(busy)):
                assert isinstance(pipe, Connection)
                worker, unit = busy.pop(pipe)
                try:
                    result = _answer(worker)
                except Exception as exc:  # raised below, once the units that are under way have come
                    failure = failure or exc
                    continue
                if failure is None:
                    _hand_on(worker, waiting, busy)
                yield unit, result
        if failure is not None:
            raise failure


def _hand_on(worker: _Worker, waiting: Iterator[U], busy: dict[Connection, tuple[_Worker, U]]) -> None:
    for unit in waiting:
        with suppress(BrokenPipeError):  # the answer that does not come says that it died
            worker.pipe.send(unit)
        busy[worker.pipe] = worker, unit
        return


def _answer(worker: _Worker) -> Any:
    try:
        is_good, value = worker.pipe.recv()
    except (EOFError, ConnectionResetError) as exc:
        worker.process.join(_STOP_S)
        code = worker.process.exitcode
        how = f"was ended by {signal.Signals(-code).name}" if code is not None and code < 0 else f"ended with {code}"
        raise WorkerDiedError(
            f"worker process {worker.process.pid} {how}; valid: memory enough for every worker, or fewer (--workers)"
        ) from exc
    if not is_good:
        raise value
    return value


def _work(
    pipe: Connection, call: Callable[[Any], Any], start: Callable[..., None] | None, args: tuple[Any, ...]
) -> None:
    """Answer units until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; our parent ends us
    threading.Thread(target=_follow_parent, daemon=True).start()
    problem: Exception | None = None
    try:
        if start is not None:
            start(*args)
    except Exception as exc:  # the top of this process: the parent raises it
        problem = exc
    while True:
        try:
            unit = pipe.recv()
        except (EOFError, ConnectionResetError):
            return
        try:
            if problem is not None:
                raise problem
            answer = True, call(unit)
        except Exception as exc:  # as above
            exc.add_note(f"in a worker process:\n{traceback.format_exc()}")
            answer = False, exc
        with suppress(BrokenPipeError):
            pipe.send(answer)


def _follow_parent() -> None:
    """End this process with its parent, however that ends: nobody waits for the unit any more."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
