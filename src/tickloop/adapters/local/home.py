"""The folder that holds all state: made, checked, held by one instance, and emptied on request."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tickloop.errors import HomeBusyError, HomeNotWritableError

MARKER = ".tickloop-home"
"""Lies in every home: `--fresh` empties a folder only where it finds this file."""

OURS = (MARKER, "tickloop.toml")
"""A folder with one of these is taken for a home, even when it holds other files too."""

NEEDED_BYTES = 200_000_000


def prepare_home(home: Path, needed_bytes: int = NEEDED_BYTES) -> None:
    """Make the folder and check that it takes our files.

    Args:
        needed_bytes: free space to ask for; 0 lets a full disk pass too, for who can wait for room.

    Raises:
        HomeNotWritableError: read-only, not a folder, not ours, or with less than 200 MB free.
    """
    probe = home / f".probe-{os.getpid()}"
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not (home / MARKER).exists():
            if any(home.iterdir()) and not any((home / name).exists() for name in OURS):
                raise HomeNotWritableError(
                    f"home {home} holds files that are not Tickloop's; valid: an empty or new folder (--home)"
                )
            (home / MARKER).touch()
        probe.write_bytes(b"tickloop")
        probe.unlink()
    except OSError as exc:
        if exc.errno == errno.ENOSPC and not needed_bytes:
            probe.unlink(missing_ok=True)
            return
        raise HomeNotWritableError(f"home {home} cannot be written: {exc.strerror}; valid: --home FOLDER") from exc
    free = shutil.disk_usage(home).free
    if free < needed_bytes:
        raise HomeNotWritableError(f"home {home} has {free // 1_000_000} MB free; valid: at least 200 MB")


def empty_home(home: Path) -> None:
    """Remove all state below a home that is ours, its marker and lock kept."""
    if not (home / MARKER).exists():
        return
    for path in home.iterdir():
        if path.name in (MARKER, ".lock"):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


@contextmanager
def hold_home(home: Path) -> Iterator[None]:
    """Hold the home for this process; the kernel frees it when the process dies.

    Raises:
        HomeBusyError: another instance runs on it.
    """
    descriptor = os.open(home / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            if exc.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            owner = os.pread(descriptor, 32, 0).decode().strip() or "unknown"
            raise HomeBusyError(
                f"home {home} is in use by process {owner}; stop it, or give this one another --home"
            ) from exc
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
