"""The one door to numba, so that compiled rules keep their types for the reader and for mypy."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core import config
from numba.core.caching import InTreeCacheLocator, UserWideCacheLocator

F = TypeVar("F", bound=Callable[..., Any])

RULES = Path(__file__).parent

ADAPTERS = RULES.parent / "adapters"
"""Their kernels hold some of each other's, across folders."""

_njit = cast("Callable[..., Any]", numba.njit)  # its stubs leave out some of its options


def kernel(function: F) -> F:
    """Compile a pure function over scalars and arrays; the machine code is cached beside the source.

    No fastmath: sums must give the same bits in training, serving, back-test and bot.
    """
    _set_cache()
    return cast("F", numba.njit(cache=True, error_model="numpy")(function))


def _set_cache() -> None:
    setattr(config, "CACHE_LOCATOR_CLASSES", f"{__name__}.BesideSource,{__name__}.InUserFolder")  # noqa: B010 (untyped)


def scanner(function: F) -> F:
    """Compile as `kernel` does, without counting references to arrays: such a function can make no array.

    The counting is atomic and done around every call that hands on an array: for functions that look at a few bytes
    each it takes several times as long as they do.
    """
    _set_cache()
    return cast("F", _njit(cache=True, error_model="numpy", _nrt=False)(function))


def inlined(function: F) -> F:
    """Compile as part of each `scanner` that calls it."""
    return cast("F", _njit(error_model="numpy", _nrt=False, forceinline=True)(function))


@lru_cache(maxsize=8)
def stamp_of(folder: Path) -> str:
    """Give the hash of every source in a folder and below.

    A compiled kernel holds those that it calls from other modules. numba looks at its own file only, so after an
    edit of `strategy.py` the compiled replay would go on with the old `decide`, and the bot would not.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


class _Stamped:
    """Makes cached code out of date when any rule has changed, or any module beside it (of an adapter: any adapter)."""

    _py_file: str

    def get_source_stamp(self) -> tuple[str, str]:
        folder = Path(self._py_file).parent
        return stamp_of(RULES), stamp_of(ADAPTERS if ADAPTERS in folder.parents else folder)


class BesideSource(_Stamped, InTreeCacheLocator):
    """Cache in `__pycache__`."""


class InUserFolder(_Stamped, UserWideCacheLocator):
    """Cache in the user's folder where the package cannot be written."""
