"""What every window lock does, then what the kernel does for the one of files."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fakes import START_MS
from tickloop.adapters.local.lock import FileWindowLock
from tickloop.domain.window import hour_of
from tickloop.errors import HomeNotWritableError
from tickloop.ports import WindowLock

HOUR = hour_of(START_MS)
HOLDER = """
import sys
from pathlib import Path
from tickloop.adapters.local.lock import FileWindowLock
from tickloop.domain.window import hour_of

with FileWindowLock(Path(sys.argv[1])).hold("bars", "KRW-BTC", hour_of(int(sys.argv[2]))) as is_mine:
    print(is_mine, flush=True)
    sys.stdin.read()
"""


def test_second_runner_of_the_same_window_is_told_no(window_lock: WindowLock) -> None:
    """It gets False and may go on; nothing is raised."""
    with window_lock.hold("bars", "KRW-BTC", HOUR) as first, window_lock.hold("bars", "KRW-BTC", HOUR) as second:
        assert (first, second) == (True, False)


def test_refused_runner_does_not_free_the_lock_when_it_leaves(window_lock: WindowLock) -> None:
    """Only the holder's end frees it."""
    with window_lock.hold("bars", "KRW-BTC", HOUR):
        with window_lock.hold("bars", "KRW-BTC", HOUR) as second:
            assert not second
        with window_lock.hold("bars", "KRW-BTC", HOUR) as third:
            assert not third


def test_lock_is_free_again_after_the_holder_fails(window_lock: WindowLock) -> None:
    """An error inside the block frees it as well."""
    with pytest.raises(ZeroDivisionError), window_lock.hold("bars", "KRW-BTC", HOUR):
        raise ZeroDivisionError

    with window_lock.hold("bars", "KRW-BTC", HOUR) as again:
        assert again


def test_other_step_market_or_window_is_another_lock(window_lock: WindowLock) -> None:
    """Work on different windows never waits."""
    with (
        window_lock.hold("bars", "KRW-BTC", HOUR),
        window_lock.hold("features", "KRW-BTC", HOUR) as other_step,
        window_lock.hold("bars", "KRW-ETH", HOUR) as other_market,
        window_lock.hold("bars", "KRW-BTC", hour_of(HOUR.end_ms)) as other_window,
    ):
        assert (other_step, other_market, other_window) == (True, True, True)


def test_lock_of_a_killed_process_is_free(tmp_path: Path, start_python: Callable[..., subprocess.Popen[str]]) -> None:
    """SIGKILL gives no chance to clean up: the kernel frees the lock."""
    lock = FileWindowLock(tmp_path)
    holder = start_python(HOLDER, tmp_path, START_MS)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "True\n"
    with lock.hold("bars", "KRW-BTC", HOUR) as while_held:
        assert not while_held

    holder.kill()
    holder.wait(timeout=30)

    with lock.hold("bars", "KRW-BTC", HOUR) as after:
        assert after


def test_folder_is_empty_when_nothing_is_held(tmp_path: Path) -> None:
    """One file per window would fill the folder over the years."""
    with FileWindowLock(tmp_path).hold("bars", "KRW-BTC", HOUR):
        pass

    assert list(tmp_path.iterdir()) == []


def test_folder_of_locks_that_cannot_be_written_asks_the_operator(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "locks").write_text("")

    with (
        pytest.raises(HomeNotWritableError, match="cannot be written"),
        FileWindowLock(tmp_path / "locks").hold("bars", "KRW-BTC", HOUR),
    ):
        pass
