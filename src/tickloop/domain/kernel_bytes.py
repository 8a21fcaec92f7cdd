"""What compiled code can do with bytes that Python cannot say. For functions under `kernel.scanner` only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.cgutils import raw_memcpy
from numba.extending import intrinsic
from numpy.typing import NDArray

_copy_memory = cast("Callable[..., None]", raw_memcpy)


def _load_8(_context: Any, data: Any, at: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _address(context, builder, signature.args[0], arguments[0], arguments[1])
        word = ir.IntType(64)
        return builder.load(builder.bitcast(place, word.as_pointer()), align=1)

    return types.uint64(data, types.int64), generate


def _low_zeros(_context: Any, word: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


def _copy_bytes(_context: Any, to: Any, to_at: Any, data: Any, at: Any, size: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target = _address(context, builder, signature.args[0], arguments[0], arguments[1])
        source = _address(context, builder, signature.args[2], arguments[2], arguments[3])
        _copy_memory(builder, target, source, arguments[4], 1)
        return context.get_dummy_value()

    return types.void(to, types.int64, data, types.int64, types.int64), generate


def _address(context: Any, builder: Any, kind: Any, array: Any, at: Any) -> Any:
    return builder.gep(context.make_array(kind)(context, builder, array).data, [at])


load_8 = cast("Callable[[NDArray[np.uint8], int], np.uint64]", intrinsic(_load_8))
"""Give the eight bytes at a place of a byte array as a uint64, lowest first, whatever its alignment.

The caller sees to it that they are there.
"""

low_zeros = cast("Callable[[np.uint64], int]", intrinsic(_low_zeros))
"""Count the zero bits of a uint64 below its lowest one; 64 when it is 0."""

copy_bytes = cast("Callable[[NDArray[np.uint8], int, NDArray[np.uint8], int, int], None]", intrinsic(_copy_bytes))
"""Copy `size` bytes between two byte arrays that do not overlap: several times faster than a slice for few.

The caller sees to it that there is room.
"""
