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
from typing import BinaryIO

from tickloop.errors import DiskFullError, HomeNotWritableError, OperatorError

_NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}
_FULL = {errno.ENOSPC, errno.EDQUOT}
_LOCK_LOOK_S = 0.02  # flock cannot be waited for with a deadline, so a busy lock is looked at again


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the system's refusal to write below `path` into `HomeNotWritableError`, for want of room `DiskFullError`."""
    try:
        yield
    except OSError as exc:
        if exc.errno in _FULL:
            raise DiskFullError(_refusal(path, exc.strerror or str(exc))) from exc
        if exc.errno in _NOT_WRITABLE:
            raise not_writable(path, exc.strerror or str(exc)) from exc
        raise


def not_writable(path: Path, why: str) -> HomeNotWritableError:
    return HomeNotWritableError(_refusal(path, why))


def _refusal(path: Path, why: str) -> str:
    return f"{path} cannot be written: {why}; free space or give a home that is writable (--home)"


def free_bytes(folder: Path) -> int:
    """Give the bytes that this user may still write below a folder; `HomeNotWritableError` when it is not there."""
    with writing(folder):
        usage = os.statvfs(folder)
    return usage.f_bavail * usage.f_frsize


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that readers, and a machine that loses power, see the old one or the new one.

    Raises:
        HomeNotWritableError: the folder is read-only, not a folder, or full; the old file stands.
    """
    with replacing(path) as file:
        file.write(content)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write to that takes the place of another as a whole when the block is done, synced.

    Raises:
        HomeNotWritableError: the folder is read-only, not a folder, or full. The old file stands, as it does when the
            block raises anything.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.part")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise
    sync_folder(path.parent)


def append_whole(path: Path, lines: bytes) -> None:
    """Append whole lines and sync them, or leave the file as it was.

    A line that an earlier process left half written is closed by a line break first. One writer at a time.

    Raises:
        DiskFullError: there is no room; nothing of `lines` stays.
        HomeNotWritableError: read-only, or not a place for a file.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            size = os.fstat(descriptor).st_size
            is_torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            try:
                write_all(descriptor, b"\n" * is_torn + lines)
                os.fdatasync(descriptor)
            except OSError:
                os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write bytes to an open file however many calls it takes; what was taken before an error stays."""
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


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
