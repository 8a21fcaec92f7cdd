"""The status file: replaced whole, and still written when the disk is full."""

import errno
import os
from pathlib import Path

import pytest

from tickloop.adapters.local.status import StatusBoard
from tickloop.errors import HomeNotWritableError


def refuse(code: int) -> object:
    def write_bytes(_self: Path, _data: bytes) -> int:
        raise OSError(code, os.strerror(code))

    return write_bytes


def test_status_is_written_over_the_last_one_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that waits for room must be able to say so; the room of its last words is enough."""
    board = StatusBoard(tmp_path / "run")
    board.write("collector", "ready", "a long message about all that was collected so far", trades=5)
    monkeypatch.setattr(Path, "write_bytes", refuse(errno.ENOSPC))

    board.write("collector", "blocked", "full")
    board.write("pipeline", "ready", "never written before, so there is no room")

    found = board.read("collector")
    assert found is not None
    assert (found.state, found.message, found.detail) == ("blocked", "full", {})
    assert board.read("pipeline") is None


def test_status_on_a_read_only_home_is_our_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting does not help there."""
    monkeypatch.setattr(Path, "write_bytes", refuse(errno.EROFS))

    with pytest.raises(HomeNotWritableError, match="Read-only file system"):
        StatusBoard(tmp_path / "run").write("collector", "ready")


def test_status_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    """A torn file is no reason to fall."""
    board = StatusBoard(tmp_path)
    (tmp_path / "collector.json").write_bytes(b'{"name":')

    assert board.read("collector") is None
    assert board.read_all() == []
