"""Compiled code is never older than the rules that it holds."""

import gc
import pickle
import sys
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np
import pytest

from tickloop.adapters.local import line_kernel
from tickloop.domain import backtest_merge, backtest_shelf, strategy
from tickloop.domain.figures import Floats
from tickloop.domain.kernel import ADAPTERS, RULES, kernel, rebound, stamp_of


def test_stamp_of_compiled_code_changes_with_any_rule(tmp_path: Path) -> None:
    """A kernel holds kernels of other modules, so an edit in any of them counts."""
    (tmp_path / "a.py").write_text("x = 1\n", encoding="utf-8")
    (tmp_path / "b.py").write_text("y = 1\n", encoding="utf-8")
    before = stamp_of.__wrapped__(tmp_path)

    (tmp_path / "b.py").write_text("y = 2\n", encoding="utf-8")

    assert stamp_of.__wrapped__(tmp_path) != before


def test_every_kernel_is_cached_under_the_stamp_of_all_rules() -> None:
    """The door sets the locator, so no kernel can be cached by its own file alone."""
    stamp = strategy.decide._cache._impl.locator.get_source_stamp()  # type: ignore[attr-defined]

    assert stamp == (stamp_of(RULES), stamp_of(RULES))


def test_kernel_of_an_adapter_is_cached_under_the_stamp_of_all_adapters() -> None:
    """The lines of the journal hold the scan of messages, which stands in another folder."""
    stamp = line_kernel._make._cache._impl.locator.get_source_stamp()  # type: ignore[attr-defined]

    assert stamp == (stamp_of(RULES), stamp_of(ADAPTERS))


def test_kernel_that_gives_arrays_counts_references_also_in_a_named_tuple() -> None:
    """Its caller counts down what it gets: uncounted, memory would be given back while it is in use."""
    assert backtest_shelf.book_of.targetoptions["_nrt"]  # type: ignore[attr-defined]
    assert backtest_merge.ladders_of.targetoptions["_nrt"]  # type: ignore[attr-defined]
    assert not backtest_shelf.share.targetoptions["_nrt"]  # type: ignore[attr-defined]
    assert not strategy.wake.targetoptions["_nrt"]  # type: ignore[attr-defined]


def _same(row: Floats) -> Floats:
    return row


def _first(row: Floats):  # type: ignore[no-untyped-def]
    return row[0]


def _sum_of_same(row: Floats) -> float:
    return _same_kernel(row)[0]  # type: ignore[no-any-return]


_same_kernel = kernel(_same)


def test_kernel_counts_references_unless_its_text_says_that_it_gives_numbers_alone() -> None:
    """An alias of an array type, no annotation at all, and one that calls such a kernel are counted."""
    compiled = [kernel(rebound(one, f"{one.__name__}_counted")) for one in (_same, _first, _sum_of_same)]

    assert all(one.targetoptions["_nrt"] for one in compiled)


def test_arrays_that_kernels_hand_on_stay_alive_as_long_as_python_holds_them() -> None:
    """Handed through a thousand times and given back once: the count ends where it began."""
    row = np.arange(5.0)
    before = sys.getrefcount(row)
    kept = [_same_kernel(row) for _ in range(1_000)]

    del kept
    gc.collect()

    assert sys.getrefcount(row) == before
    assert row.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]


def _steps(until: int) -> int:
    """Ask `_one_more` with a counter that begins as a literal."""
    count = 0
    while count < until:
        count = _one_more(count)
    return count


@kernel
def _one_more(count: int) -> int:
    return count + 1


def test_kernel_that_compiled_code_calls_is_compiled_once_and_can_be_called_from_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A literal is taken for its type; the copy without Python's door is another one than Python calls."""
    steps = kernel(_steps)
    # Taken from the cache of an earlier run it would call nothing while it is compiled.
    monkeypatch.setattr(steps._cache._cache_file, "_cache_path", str(tmp_path))  # type: ignore[attr-defined]
    monkeypatch.setattr(steps._cache._cache_file, "_index_path", str(tmp_path / "x.nbi"))  # type: ignore[attr-defined]

    assert steps(3) == 3
    assert len(_one_more.inner.signatures) == 1  # type: ignore[attr-defined]
    assert _one_more.signatures == []  # type: ignore[attr-defined]

    assert _one_more(1) == 2
    assert len(_one_more.signatures) == 1  # type: ignore[attr-defined]


class _OutsideParams(NamedTuple):
    order_krw: float = 6_000.0
    fee_rate: float = 0.0005


def _stored(folder: Path) -> list[str]:
    return sorted(path.suffix for path in folder.iterdir() if path.suffix in (".nbi", ".nbc"))


def _payable(params: NamedTuple, cash: float) -> bool:
    return cash >= params.order_krw + params.order_krw * params.fee_rate  # type: ignore[attr-defined]


def test_code_for_types_from_outside_the_package_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process could not read the index: it would have to import the file of a user's strategy."""
    compiled = kernel(rebound(_payable, "_payable_outside"))
    monkeypatch.setattr(compiled._cache._impl.locator, "_cache_path", str(tmp_path))  # type: ignore[attr-defined]
    compiled._cache._cache_file._cache_path = str(tmp_path)  # type: ignore[attr-defined]
    compiled._cache._cache_file._index_path = str(tmp_path / "payable.nbi")  # type: ignore[attr-defined]

    assert compiled(_OutsideParams(), 6_003.0)
    assert _stored(tmp_path) == []

    assert compiled(strategy.Params(), 6_003.0)
    assert _stored(tmp_path) == [".nbc", ".nbi"]


def test_index_that_names_a_type_which_is_gone_counts_as_empty(tmp_path: Path) -> None:
    """A release that renames a NamedTuple must not stop at what the one before it has cached."""
    index = kernel(rebound(_payable, "_payable_gone"))._cache._cache_file  # type: ignore[attr-defined]
    index._index_path = str(tmp_path / "gone.nbi")
    gone = b"ctickloop.domain.gone\nGoneParams\n."
    Path(index._index_path).write_bytes(pickle.dumps(numba.__version__) + gone)

    assert index._load_index() == {}
