"""The one door to numba, so that compiled rules keep their types for the reader and for mypy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile a pure function over scalars and arrays; the machine code is cached beside the source.

    No fastmath: sums must give the same bits in training, serving, back-test and bot.
    """
    return cast("F", numba.njit(cache=True, error_model="numpy")(function))
