"""One runner per step, market and window on one machine, by `flock`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tickloop.adapters.local.files import try_lock, writing
from tickloop.domain.window import Window

_TRIES = 100  # each further try means that another runner let go in the same instant


class FileWindowLock:
    """A lock is a file that is there only while held, so that the folder does not grow by one file per window.

    Two holds in one process exclude each other too: each opens the file anew.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def hold(self, step: str, market: str, window: Window) -> Iterator[bool]:
        """Enter with True when the lock was free, False when another runner has it.

        Raises:
            HomeNotWritableError: the folder of locks cannot be written.
        """
        path = self._folder / f"{step}.{market}.{window.start_ms}-{window.end_ms}.lock"
        with writing(path):
            self._folder.mkdir(parents=True, exist_ok=True)
            descriptor = _take(path)
        if descriptor is None:
            yield False
            return
        try:
            yield True
        finally:
            # Removed while still held: whoever opened it meanwhile sees in `_take` that its file is gone.
            path.unlink(missing_ok=True)
            os.close(descriptor)


def _take(path: Path) -> int | None:
    for _ in range(_TRIES):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        if not try_lock(descriptor):
            os.close(descriptor)
            return None
        if _is_at(path, descriptor):
            return descriptor
        os.close(descriptor)
    return None


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
