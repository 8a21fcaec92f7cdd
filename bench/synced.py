"""`python -m bench.synced HOME LOG`: `tickloop collect`, which also notes when which bytes of a segment were synced.

LOG gets a line per sync: time (epoch ns), size of the segment, its path.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tickloop.adapters.local.segments import OpenSegment
from tickloop.entrypoints.mains import collector, start


def main(home: Path, log: Path) -> int:
    sync = OpenSegment.sync
    with log.open("w", buffering=1) as file:  # a line at a time: the process may end without tidying up

        def noted(segment: OpenSegment) -> None:
            sync(segment)
            print(time.time_ns(), segment.size, segment.path, file=file)

        OpenSegment.sync = noted  # type: ignore[method-assign]
        return collector(start("collector", home))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
