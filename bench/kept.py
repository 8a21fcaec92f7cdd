"""What a collector has kept so far, read while it grows: every frame must be there once, in the order of sending."""

from __future__ import annotations

from pathlib import Path

from bench.frames import number_of

_BLOCK_BYTES = 16_000_000


class KeptLines:
    """Lines of the files of a folder, oldest name first.

    Args:
        is_removed: delete a file once it is read and a newer one is there, so that a long run needs little disk.
    """

    def __init__(self, folder: Path, pattern: str, *, is_removed: bool = False) -> None:
        self._folder = folder
        self._pattern = pattern
        self._is_removed = is_removed
        self._offsets: dict[Path, int] = {}
        self.count = 0

    def look(self) -> int:
        """Read what is new and check it; give the number of frames kept so far."""
        paths = sorted(self._folder.glob(self._pattern))
        for number, path in enumerate(paths):
            self._read(path)
            if self._is_removed and number < len(paths) - 1:
                self._read(path)  # what came before the newer file was there
                path.unlink()
        return self.count

    def _read(self, path: Path) -> None:
        with path.open("rb") as file:
            file.seek(self._offsets.get(path, 0))
            while data := file.read(_BLOCK_BYTES):
                whole = data[: data.rfind(b"\n") + 1]
                file.seek(self._offsets.get(path, 0) + len(whole))
                self._offsets[path] = file.tell()
                if not whole:
                    return
                for line in whole.splitlines():
                    number = number_of(line[line.index(b"{") :])
                    assert number == self.count, f"frame {number} was kept where frame {self.count} should be"
                    self.count += 1
