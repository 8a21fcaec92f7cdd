"""Many byte strings in one buffer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import overload

import numpy as np
from numpy.typing import NDArray

HEAD_BYTES = 24


class Packed(Sequence[bytes]):
    """Byte strings that lie in one buffer and are cut out only when somebody takes one.

    Thousands of messages a second cost more to make into objects than to read; who can works on the buffer.

    Args:
        data: the buffer; between the strings there may be other bytes.
        starts, ends: where each string begins and ends, shape (n,), int64, rising.
        heads: the different beginnings of the strings, where they are known; each HEAD_BYTES long, or a whole string.
    """

    __slots__ = ("_heads", "data", "ends", "starts")

    def __init__(
        self,
        data: bytes,
        starts: NDArray[np.int64],
        ends: NDArray[np.int64],
        heads: frozenset[bytes] | None = None,
    ) -> None:
        self._heads = heads
        self.data = data
        self.starts = starts
        self.ends = ends

    @classmethod
    def of(cls, strings: Iterable[bytes]) -> Packed:
        """Pack byte strings, one after the other."""
        parts = list(strings)
        bounds = np.fromiter(accumulate(map(len, parts), initial=0), np.int64, len(parts) + 1)
        return cls(b"".join(parts), bounds[:-1], bounds[1:])

    @classmethod
    def joined(cls, parts: Sequence[Packed]) -> Packed:
        """Give the strings of all parts, in order."""
        if len(parts) == 1:
            return parts[0]
        offsets = list(accumulate((len(part.data) for part in parts), initial=0))
        starts = [part.starts + offset for part, offset in zip(parts, offsets, strict=False)]
        ends = [part.ends + offset for part, offset in zip(parts, offsets, strict=False)]
        heads = frozenset[bytes]().union(*(part.heads for part in parts))
        return cls(b"".join(part.data for part in parts), np.concatenate(starts), np.concatenate(ends), heads)

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, place: int) -> bytes: ...
    @overload
    def __getitem__(self, place: slice) -> Packed: ...
    def __getitem__(self, place: int | slice) -> bytes | Packed:
        if isinstance(place, slice):
            return Packed(self.data, self.starts[place], self.ends[place])
        return self.data[self.starts[place] : self.ends[place]]

    def __iter__(self) -> Iterator[bytes]:
        data = self.data
        return (data[start:end] for start, end in zip(self.starts.tolist(), self.ends.tolist(), strict=True))

    @property
    def heads(self) -> frozenset[bytes]:
        """Give the different beginnings of the strings, HEAD_BYTES of each as far as it has so many."""
        if self._heads is None:
            ends = np.minimum(self.ends, self.starts + HEAD_BYTES)
            self._heads = frozenset(Packed(self.data, self.starts, ends))
        return self._heads
