"""Files that are there whole or not at all, and locks that the kernel frees when their holder dies."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tickloop.errors import HomeNotWritableError, OperatorError

_NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR, errno.EEXIST}
_LOCK_LOOK_S = 0.02  # flock cannot be waited for with a deadline, so a busy lock is looked at again


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the system's refusal to write below `path` into `HomeNotWritableError`."""
    try:
        yield
    except OSError as exc:
        if exc.errno in _NOT_WRITABLE:
            raise not_writable(path, exc.strerror or str(exc)) from exc
        raise


def not_writable(path: Path, why: str) -> HomeNotWritableError:
    return HomeNotWritableError(f"{path} cannot be written: {why}; free space or give a home that is writable (--home)")


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that readers, and a machine that loses power, see the old one or the new one.

    Raises:
        HomeNotWritableError: the folder is read-only, not a folder, or full; the old file stands.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.part")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except OSError:
            part.unlink(missing_ok=True)
            raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make new names in a folder survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def file_lock(path: Path, timeout_s: float) -> Iterator[None]:
    """Hold the one lock of a path across threads and processes; the file stays afterwards.

    Raises:
        OperatorError: another process held it for the whole of `timeout_s`.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        deadline = time.monotonic() + timeout_s
        while not try_lock(descriptor):
            if time.monotonic() > deadline:
                raise OperatorError(f"{path} was held by another process for {timeout_s:.0f} s; stop it and try again")
            threading.Event().wait(_LOCK_LOOK_S)
        yield
    finally:
        os.close(descriptor)  # closing frees the lock


def try_lock(descriptor: int) -> bool:
    """Take the lock of an open file if nobody has it."""
    with suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
