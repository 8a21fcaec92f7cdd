"""The one door to numba, so that compiled rules keep their types for the reader and for mypy."""

from __future__ import annotations

import builtins
import hashlib
import re
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from types import FunctionType
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba.core import config, types
from numba.core.caching import FunctionCache, IndexDataCacheFile, InTreeCacheLocator, UserWideCacheLocator
from numba.core.errors import NumbaError
from numba.core.registry import CPUDispatcher

F = TypeVar("F", bound=Callable[..., Any])

RULES = Path(__file__).parent

ADAPTERS = RULES.parent / "adapters"
"""Their kernels hold some of each other's, across folders."""

_NUMBERS = frozenset(("int", "float", "bool", "None", "tuple"))

_njit = cast("Callable[..., Any]", numba.njit)  # its stubs leave out some of its options
_unliteral: Callable[[Any], Any] = types.unliteral


class _Kernel(CPUDispatcher):
    """A function that Python calls; compiled code that names it calls `inner`, which Python cannot call.

    What takes arguments from Python is a third of the compilation of a small function.
    """

    inner: Any

    @property
    def _numba_type_(self) -> Any:
        return types.Dispatcher(self.inner)


def kernel(function: F) -> F:
    """Compile a pure function over scalars and arrays; the machine code is cached beside the source.

    No fastmath: sums must give the same bits in training, serving, back-test and bot. One that makes no array counts
    no references to those it takes: counting is atomic, and around small functions it takes longer than they do.
    """
    compiled = _cached(function)
    code, variables = function.__code__, (function.__defaults__, function.__closure__)
    inner = FunctionType(code, function.__globals__, f"{function.__name__}_inner", *variables)
    inner.__qualname__, inner.__annotations__ = inner.__name__, function.__annotations__
    compiled.inner = _cached(inner, no_cpython_wrapper=True, no_cfunc_wrapper=True)
    compiled.__class__ = _Kernel
    return cast("F", compiled)


def _cached(function: Callable[..., Any], **options: Any) -> Any:
    _set_cache()
    compiled = cast("Any", _njit(error_model="numpy", _nrt=_is_counting(function), **options)(function))
    compiled._cache = _LastingTypes(function)  # what cache=True does, with a cache of our own
    compiled.compile = _compiler(compiled)
    return compiled


def _is_counting(function: Callable[..., Any]) -> bool:
    """Tell whether a function gives or may make arrays, as far as its text tells: it then counts references.

    Whoever gets an array counts it down, so only what is known to give numbers is left uncounted.
    """
    names = [name for name in function.__code__.co_names if not hasattr(builtins, name)]
    named = [function.__globals__[name] for name in names if name in function.__globals__]
    of_numpy = [getattr(np, name, None) for name in names if name not in function.__globals__]
    return (
        not _gives_numbers(function)
        or not all(_gives_numbers(plain(one)) for one in named if hasattr(one, "py_func"))
        or any(callable(one) and not isinstance(one, (np.ufunc, type)) for one in of_numpy)
    )


def _gives_numbers(function: Callable[..., Any]) -> bool:
    return _is_of_numbers(str(function.__annotations__.get("return", "?")), function.__globals__)


def _is_of_numbers(annotation: str, names: Mapping[str, Any]) -> bool:
    """Tell whether a type is a number, nothing, or a tuple of such, a NamedTuple included, however deep."""
    return all(word in _NUMBERS or _is_record(names.get(word)) for word in re.findall(r"\w+|\?", annotation))


def _is_record(found: Any) -> bool:
    if not (isinstance(found, type) and hasattr(found, "_fields")):
        return False
    names = vars(sys.modules[found.__module__])
    fields = found.__annotations__.values()
    return all(_is_of_numbers(str(getattr(field, "__forward_arg__", field)), names) for field in fields)


def _compiler(compiled: Any) -> Callable[..., Any]:
    """Give a `compile` that takes a literal for its type: the counter of a loop is a literal until it has moved on.

    A function that cannot be compiled without counts is compiled with them.
    """
    compile_ = compiled.compile

    def call(signature: Any) -> Any:
        if isinstance(signature, tuple):
            signature = tuple(_unliteral(argument) for argument in signature)
        try:
            return compile_(signature)
        except (NumbaError, AssertionError):
            if compiled.targetoptions["_nrt"]:
                raise
            compiled.targetoptions["_nrt"] = True
            return compile_(signature)

    return call


def _set_cache() -> None:
    setattr(config, "CACHE_LOCATOR_CLASSES", f"{__name__}.BesideSource,{__name__}.InUserFolder")  # noqa: B010 (untyped)


def scanner(function: F) -> F:
    """Compile as `kernel` does, without counting references to arrays: such a function can make no array.

    The counting is atomic and done around every call that hands on an array: for functions that look at a few bytes
    each it takes several times as long as they do.
    """
    _set_cache()
    return cast("F", _njit(cache=True, error_model="numpy", _nrt=False)(function))


def threaded(function: F) -> F:
    """Compile as `scanner` does, to run beside other threads; none may change an array that another one has."""
    _set_cache()
    return cast("F", _njit(cache=True, error_model="numpy", nogil=True, _nrt=False)(function))


def uncounted(function: F, **others: Any) -> F:
    """Give a kernel once more as a `scanner`: threads that count references to one array wait for each other.

    Args:
        others: what is to stand in the place of kernels that it calls, by name.
    """
    source = plain(function)
    return scanner(rebound(source, f"{source.__name__}_uncounted", **others))


def inlined(function: F) -> F:
    """Compile as part of each `scanner` that calls it."""
    return cast("F", _njit(error_model="numpy", _nrt=False, forceinline=True)(function))


def rebound(function: F, name: str, **others: Any) -> F:
    """Give a plain function once more, with others in the place of some of its globals.

    Args:
        name: one for each choice of others: machine code is cached under it.
    """
    copy = FunctionType(function.__code__, {**function.__globals__, **others}, name)
    copy.__qualname__ = name
    return cast("F", copy)


def uncached(function: F) -> F:
    """Compile as `kernel` does, anew in each process: for code whose changes no stamp covers."""
    return cast("F", numba.njit(error_model="numpy")(function))


def plain(function: F) -> F:
    """Give the function that a kernel was compiled from; one that is none is given as it is."""
    return cast("F", getattr(function, "py_func", function))


def compiled_or(compiled: F, fallback: F) -> F:
    """Give a function that runs compiled, or, when numba says that it cannot be, as the fallback.

    Compilation comes before the first instruction, so nothing is done twice.
    """
    is_refused = False

    def call(*args: Any) -> Any:
        nonlocal is_refused
        if not is_refused:
            try:
                return compiled(*args)
            except NumbaError:
                is_refused = True
        return fallback(*args)

    return cast("F", call)


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


class _Index(IndexDataCacheFile):
    """An index that is empty when it cannot be read: it names types, and one of them may be gone or have moved."""

    def _load_index(self) -> Any:
        try:
            return super()._load_index()  # type: ignore[no-untyped-call]
        except (AttributeError, ImportError):
            return {}


class _LastingTypes(FunctionCache):
    """Keeps no code for arguments of a type from outside the package, such as the parameters of a user's strategy.

    One index file serves a function in every process, and reading it imports the types of all that was kept: after a
    run of a strategy from a file, no other process could call a kernel that the two share.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)  # type: ignore[no-untyped-call]
        locator = self._impl.locator
        place = (locator.get_cache_path(), self._impl.filename_base, locator.get_source_stamp())
        self._cache_file = _Index(*place)  # type: ignore[no-untyped-call]

    def save_overload(self, sig: Any, data: Any) -> None:
        if all(_is_lasting(argument) for argument in data.signature.args):
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]


def _is_lasting(numba_type: Any) -> bool:
    owner = getattr(numba_type, "instance_class", None)
    if owner is not None and not owner.__module__.startswith("tickloop."):
        return False
    return all(_is_lasting(part) for part in getattr(numba_type, "types", ()))
