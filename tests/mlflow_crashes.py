"""A place of the registry whose client does something at one of its writes: fails, dies, or lets another writer in."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tickloop.adapters.mlflow.place import Place

WRITES = ("create_", "log_", "set_", "delete_")


class Crash(BaseException):
    """Not an error that anything below a process's top may catch."""


class WatchedPlace:
    """The place given, with `at_write(number, name, call)` in the place of each write of its client."""

    def __init__(self, place: Place, at_write: Callable[[int, str, Callable[[], Any]], Any]) -> None:
        self._place = place
        self._at_write = at_write
        self.writes: list[str] = []

    @property
    def artifacts(self) -> str | None:
        return self._place.artifacts

    def open(self) -> Any:
        return _WatchedClient(self._place.open(), self)

    def translated(self) -> AbstractContextManager[None]:
        return self._place.translated()

    def writing(self) -> AbstractContextManager[object]:
        return self._place.writing()

    def write(self, name: str, call: Callable[[], Any]) -> Any:
        self.writes.append(name)
        return self._at_write(len(self.writes), name, call)


class _WatchedClient:
    def __init__(self, client: Any, place: WatchedPlace) -> None:
        self._client = client
        self._place = place

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if not name.startswith(WRITES):
            return method
        return lambda *args, **kwargs: self._place.write(name, lambda: method(*args, **kwargs))

    def log_artifacts(self, run_id: str, folder: str, path: str) -> None:
        """Count each file as a write of its own."""
        for file in sorted(Path(folder).iterdir()):
            self._place.write(f"put {file.name}", lambda file=file: self._put(run_id, file, path))

    def _put(self, run_id: str, file: Path, path: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(file, folder)
            self._client.log_artifacts(run_id, folder, path)


def crash_before(number: int) -> Callable[[int, str, Callable[[], Any]], Any]:
    """Die with the write not sent."""

    def at_write(at: int, name: str, call: Callable[[], Any]) -> Any:
        if at == number:
            raise Crash(name)
        return call()

    return at_write


def crash_after(number: int) -> Callable[[int, str, Callable[[], Any]], Any]:
    """Die with the write done and its answer unread."""

    def at_write(at: int, name: str, call: Callable[[], Any]) -> Any:
        answer = call()
        if at == number:
            raise Crash(name)
        return answer

    return at_write


def kill_before(method: str) -> Callable[[int, str, Callable[[], Any]], Any]:
    """Kill this process, as `kill -9` does, at the first call of a method."""

    def at_write(at: int, name: str, call: Callable[[], Any]) -> Any:
        if name == method:
            os.kill(os.getpid(), signal.SIGKILL)
        return call()

    return at_write
