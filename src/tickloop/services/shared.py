"""A value with large arrays for many processes: its bytes lie in a file that each maps, not in the memory of each."""

from __future__ import annotations

import mmap
import pickle
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_ALIGN = 64
"""Compiled code is made for arrays that lie as numpy lays them."""


@contextmanager
def shared(value: Any) -> Iterator[Path]:
    """Give the folder that `opened` reads; it is removed at the end, also under processes that still have it open."""
    with tempfile.TemporaryDirectory(prefix="tickloop-") as name:
        folder = Path(name)
        buffers: list[pickle.PickleBuffer] = []
        head = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
        places = []
        with (folder / "arrays").open("wb") as file:
            for buffer in buffers:
                raw = buffer.raw()
                file.seek(-(-file.tell() // _ALIGN) * _ALIGN)
                places.append((file.tell(), raw.nbytes))
                file.write(raw)
            file.write(b"\0")  # an empty file cannot be mapped
        (folder / "head").write_bytes(pickle.dumps((head, places)))
        yield folder


def opened(folder: Path) -> Any:
    """Give the value; its arrays are read from the file as they are needed, and a change stays in this process."""
    head, places = pickle.loads((folder / "head").read_bytes())  # noqa: S301 (our own file, in a folder of ours only)
    with (folder / "arrays").open("rb") as file:
        whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    return pickle.loads(head, buffers=[whole[start : start + size] for start, size in places])  # noqa: S301 (the same)
