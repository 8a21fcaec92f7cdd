"""One runner per step, market and hour on one machine, by locks of the kernel on ranges of a file."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tickloop.adapters.local.files import writing
from tickloop.domain.window import Window

_FLOCK = struct.Struct("@hhqqi0q")
"""`struct flock` of Linux: l_type, l_whence, l_start, l_len, l_pid. Source: fcntl(2), open file description locks."""


class FileWindowLock:
    """Each step and market has an empty file, in which a window is the range of its own milliseconds.

    So windows that share an instant exclude each other, and a range is taken whole or not at all. The kernel keeps
    ranges by open file: two holds in one process exclude each other too, and what a killed process held is free. The
    files stay; there are as many as steps and markets.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def hold(self, step: str, market: str, window: Window) -> Iterator[bool]:
        """Enter with True when the whole window was free, False when another runner has a part of it.

        Raises:
            HomeNotWritableError: the folder of locks cannot be written.
        """
        path = self._folder / f"{step}.{market}.lock"
        with writing(path):
            self._folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            yield _take(descriptor, window)
        finally:
            os.close(descriptor)  # frees the range


def _take(descriptor: int, window: Window) -> bool:
    wanted = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, window.start_ms, window.end_ms - window.start_ms, 0)
    with suppress(BlockingIOError):
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, wanted)
        return True
    return False
