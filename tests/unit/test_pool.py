"""Units on several processes, and the arrays that these share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pool_calls
from tickloop.errors import DataError, WorkerDiedError
from tickloop.services.pool import Pool
from tickloop.services.shared import opened, shared


def counted(limit: int, taken: list[int]) -> Iterator[int]:
    for number in range(limit):
        taken.append(number)
        yield number


@pytest.mark.parametrize("workers", [1, 2])
def test_each_unit_comes_back_with_its_result(workers: int) -> None:
    """Whatever the order."""
    with Pool(pool_calls.doubled, workers) as pool:
        assert sorted(pool.each(range(9))) == [(number, 2 * number) for number in range(9)]
        assert sorted(pool.each([5])) == [(5, 10)]
        assert list(pool.each([])) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_no_more_units_are_taken_than_there_are_workers(workers: int) -> None:
    """A long list of units waits where it is made."""
    taken: list[int] = []
    with Pool(pool_calls.doubled, workers) as pool:
        results = pool.each(counted(100, taken))
        for done in range(1, 20):
            next(results)
            assert len(taken) <= done + workers


@pytest.mark.parametrize("workers", [1, 2])
def test_error_of_a_unit_is_raised_here(workers: int) -> None:
    """As it is, with the place in the worker as a note."""
    with Pool(pool_calls.failing, workers) as pool, pytest.raises(DataError, match="unit 3 is wrong") as caught:
        list(pool.each(range(9)))

    notes = "".join(getattr(caught.value, "__notes__", []))
    assert workers == 1 or "pool_calls.py" in notes


@pytest.mark.parametrize(
    ("call", "how"), [(pool_calls.dying, "was ended by SIGKILL"), (pool_calls.leaving, "ended with 7")]
)
def test_worker_that_dies_is_named(call: Any, how: str) -> None:
    """And what came before it has come back."""
    found = []
    with Pool(call, 2) as pool:
        pids = pool.pids
        with pytest.raises(WorkerDiedError, match=how) as caught:
            found.extend(pool.each(range(50)))

    assert sorted(number for number, _ in found if number < 3) == [0, 1, 2]
    assert any(str(pid) in str(caught.value) for pid in pids)


def test_workers_are_gone_with_the_pool() -> None:
    """Also when an error ended it."""
    with Pool(pool_calls.failing, 2) as pool:
        pids = pool.pids
        with pytest.raises(DataError):
            list(pool.each(range(9)))

    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_start_that_fails_is_the_error_of_the_first_unit() -> None:
    """Not a pool that hangs."""
    with Pool(pool_calls.doubled, 2, pool_calls.refuse) as pool, pytest.raises(DataError, match="no start"):
        list(pool.each([1]))


def test_units_of_training_run_in_the_pool_too() -> None:
    """Its units are plain values and its call is a function: nothing of a search is in it."""
    units = [("KRW-BTC", "ridge"), ("KRW-ETH", "ridge"), ("KRW-BTC", "lightgbm")]
    with Pool(pool_calls.register, 2) as pool:
        assert dict(pool.each(units)) == dict(zip(units, ("ridge-1", "ridge-1", "lightgbm-1"), strict=True))


@dataclass(frozen=True)
class Holder:
    name: str
    many: np.ndarray[Any, Any]
    none: np.ndarray[Any, Any]


def test_shared_value_comes_back_with_its_arrays() -> None:
    """Types, shapes, empty ones, and one array that stands in two places."""
    times, flags = np.arange(1_000), np.array([True, False, True])
    value = {"holder": Holder("x", times, np.empty(0)), "flags": flags, "again": times, "text": "y"}

    with shared(value) as folder:
        found = opened(folder)
    assert not folder.exists()

    assert found["holder"].name == "x"
    assert found["text"] == "y"
    np.testing.assert_array_equal(found["holder"].many, times)
    np.testing.assert_array_equal(found["flags"], flags)
    assert found["holder"].none.shape == (0,)
    assert found["again"] is found["holder"].many


def test_workers_read_the_arrays_from_one_file() -> None:
    """As numpy lays them, mapped and not copied; what one writes stays with it."""
    value = {"flag": np.array([True]), "a": np.ones(100_000)}
    with shared(value) as folder:
        size = (folder / "arrays").stat().st_size
        before = (folder / "arrays").read_bytes()
        with Pool(pool_calls.memory_of, 2, pool_calls.hold, folder) as pool:
            found = [result for _, result in pool.each(range(4))]
        with Pool(pool_calls.total, 2, pool_calls.hold, folder) as pool:
            assert [result for _, result in pool.each([3])] == [300_000.0]
        assert (folder / "arrays").read_bytes() == before

    assert size < 800_000 + 1_000
    assert {tuple(one[:3]) for one in found} == {(True, True, False)}
    assert os.getpid() not in {one[3] for one in found}


def test_folder_of_a_shared_value_is_of_this_user_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read back there is run."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    with shared({"a": np.ones(3)}) as folder:
        assert folder.parent == tmp_path
        assert folder.stat().st_mode & 0o077 == 0
