"""What every window lock does, then what the kernel does for the one of files."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fakes import START_MS
from tickloop.adapters.local.lock import FileWindowLock
from tickloop.domain.window import DAY_MS, HOUR_MS, Window, hour_of
from tickloop.errors import HomeNotWritableError
from tickloop.ports import WindowLock

HOUR = hour_of(START_MS)
MIDDLE = Window(HOUR.start_ms + 2 * HOUR_MS, HOUR.start_ms + 4 * HOUR_MS)
LONG = Window(HOUR.start_ms, HOUR.start_ms + 400 * DAY_MS)
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


@pytest.mark.parametrize(
    ("start_h", "end_h", "is_free"),
    [(1, 2, True), (4, 5, True), (1, 3, False), (3, 5, False), (2, 3, False), (3, 4, False), (0, 9, False)],
)
def test_windows_that_share_an_hour_exclude_each_other(
    window_lock: WindowLock, start_h: int, end_h: int, is_free: bool
) -> None:
    """Hours 2 and 3 are held: a range by hand and the scheduler's hour must not write the same rows at once."""
    other = Window(HOUR.start_ms + start_h * HOUR_MS, HOUR.start_ms + end_h * HOUR_MS)

    with window_lock.hold("bars", "KRW-BTC", MIDDLE), window_lock.hold("bars", "KRW-BTC", other) as found:
        assert found == is_free
    with window_lock.hold("bars", "KRW-BTC", other) as after:
        assert after


def test_refused_window_keeps_none_of_its_hours(window_lock: WindowLock) -> None:
    """All or nothing, also while the refused runner is still inside its block."""
    first = Window(HOUR.start_ms, HOUR.start_ms + 4 * HOUR_MS)

    with (
        window_lock.hold("bars", "KRW-BTC", MIDDLE),
        window_lock.hold("bars", "KRW-BTC", first) as refused,
        window_lock.hold("bars", "KRW-BTC", HOUR) as before_it,
    ):
        assert (refused, before_it) == (False, True)


def test_end_of_one_window_frees_no_other(window_lock: WindowLock) -> None:
    """Several hours of a step are held at a time; each is freed alone."""
    with window_lock.hold("bars", "KRW-BTC", MIDDLE):
        with window_lock.hold("bars", "KRW-BTC", HOUR):
            pass
        with window_lock.hold("bars", "KRW-BTC", MIDDLE) as again:
            assert not again


def test_window_of_a_long_history_is_one_lock_like_others(window_lock: WindowLock) -> None:
    """A back-fill holds up to 400 days, for several markets at once."""
    last = hour_of(LONG.end_ms - 1)

    with (
        window_lock.hold("backfill", "KRW-BTC", LONG) as first,
        window_lock.hold("backfill", "KRW-ETH", LONG) as other,
        window_lock.hold("backfill", "KRW-BTC", last) as inside,
    ):
        assert (first, other, inside) == (True, True, False)


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


def test_folder_has_one_empty_file_per_step_and_market(tmp_path: Path) -> None:
    """One file per window would fill the folder over the years."""
    for window in (HOUR, MIDDLE, LONG):
        with FileWindowLock(tmp_path).hold("bars", "KRW-BTC", window):
            pass

    assert [(path.name, path.stat().st_size) for path in tmp_path.iterdir()] == [("bars.KRW-BTC.lock", 0)]


def test_folder_of_locks_that_cannot_be_written_asks_the_operator(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "locks").write_text("")

    with (
        pytest.raises(HomeNotWritableError, match="cannot be written"),
        FileWindowLock(tmp_path / "locks").hold("bars", "KRW-BTC", HOUR),
    ):
        pass
