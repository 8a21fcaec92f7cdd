"""The session of a bot on a real disk that fills up: its reason finds room, and the replay refuses with it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes import FixedClock
from tickloop.adapters.local.bot_session import BotSessionWriter
from tickloop.adapters.local.bot_session_read import BotSessionFiles
from tickloop.domain.bot_session import Aged
from tickloop.errors import DataError
from trading_fakes import at, message, trade, until


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a folder on a file system of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mount.returncode != 0:
        pytest.skip(f"no small file system can be mounted here: {mount.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


async def test_full_disk_leaves_the_reason_behind(small_disk: Path) -> None:
    """With not a byte left; what was written before stays."""
    session = BotSessionWriter(small_disk / "sessions", FixedClock(), interval_s=0.002, min_free_bytes=0)
    session.note(Aged(is_stale=False))
    session.frame(message(trade(at(0), 5e7)))
    await until(lambda: not session.waiting)
    fill(small_disk)

    for number in range(1, 2_000):
        session.frame(message(trade(at(0, number), 5e7)))
    await until(lambda: bool(session.problem))
    await session.close()

    assert os.statvfs(small_disk).f_bavail == 0
    with pytest.raises(DataError, match=r"is incomplete and cannot be replayed: .*No space left on device"):
        BotSessionFiles(session.folder).steps()


def fill(folder: Path) -> None:
    """Take all the room that is left."""
    descriptor = os.open(folder / "filler", os.O_WRONLY | os.O_CREAT)
    try:
        for size in (100_000, 4_096):
            try:
                while True:
                    os.write(descriptor, b"x" * size)
            except OSError:
                continue
    finally:
        os.close(descriptor)
