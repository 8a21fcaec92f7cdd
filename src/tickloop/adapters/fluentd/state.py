"""What fluentd leaves on the volume: how far it has read, what was refused, what it gave up."""

from __future__ import annotations

import re
from hashlib import blake2b
from pathlib import Path, PurePosixPath

_ENTRY = re.compile(r"^([^\t]+)\t([0-9a-fA-F]+)\t([0-9a-fA-F]+)$")
_UNWATCHED = 0xFFFF_FFFF_FFFF_FFFF


def read_offsets(positions: Path) -> dict[str, int] | None:
    """Give segment -> offset up to which fluentd has read into its buffer; None where it never ran.

    A segment is known by its name: fluentd may see the folder at another place than we do.
    """
    try:
        text = positions.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    found: dict[str, int] = {}
    for line in text.splitlines():
        entry = _ENTRY.match(line)
        if entry is not None and int(entry[2], 16) != _UNWATCHED:
            found[PurePosixPath(entry[1]).name] = int(entry[2], 16)
    return found


def dead_lines(folder: Path, name: str) -> int:
    """Count the lines in fluentd's dead letters, each once: a chunk that is sent again writes its own anew."""
    found: set[bytes] = set()
    for path in sorted(folder.glob(f"{name}*.log")) if folder.is_dir() else ():
        with path.open("rb") as file:
            found.update(blake2b(line, digest_size=16).digest() for line in file)
    return len(found)


def given_up(state: Path) -> list[Path]:
    """Give the chunks that fluentd moved away because it saw no use in sending them again."""
    return sorted(state.glob("backup/**/*.log"))
