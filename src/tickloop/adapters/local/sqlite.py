"""SQLite files as we use them: write-ahead log, waits instead of failures, our errors instead of SQLite's."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tickloop.adapters.local.files import file_lock, not_writable, writing
from tickloop.errors import DataError, OperatorError, TickloopError

BUSY_S = 30
"""How long a write waits for the writers of other processes."""

_WAL_BYTES = 16_000_000  # to which the log is cut back after a large write
_NOT_WRITABLE = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}
_NOT_READABLE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def connect(path: Path) -> sqlite3.Connection:
    """Open a file, made when it is not there, in WAL and autocommit mode; any one thread at a time may use it.

    Two first openers could meet in the change to WAL, where SQLite fails at once instead of waiting: hold
    `opening(path)` around this.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = wal")
        connection.execute("PRAGMA synchronous = normal")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES:d}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


@contextmanager
def opening(path: Path) -> Iterator[None]:
    """Hold the file's own lock, `NAME.lock` beside it, across processes."""
    with file_lock(path.with_name(f"{path.name}.lock"), BUSY_S):
        yield


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours, by who must act: `HomeNotWritableError`, `DataError` or `OperatorError`."""
    try:
        yield
    except sqlite3.DatabaseError as exc:
        raise translate(path, exc) from exc


def translate(path: Path, error: sqlite3.DatabaseError) -> TickloopError:
    """Give our error for one of SQLite's."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # the rest is detail of the same cause
    if code in _NOT_WRITABLE:
        return not_writable(path, str(error))
    if code in _NOT_READABLE:
        return DataError(f"{path} is not a database of ours or is damaged: {error}; move it away and start again")
    if code == sqlite3.SQLITE_BUSY:
        return OperatorError(f"{path} was locked by another process for {BUSY_S} s; stop that process and try again")
    return OperatorError(f"{path}: {error}")
