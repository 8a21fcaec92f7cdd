"""`make bench`: run the benches and print one JSON line per figure. `make bench ARGS=bars` runs one."""

from __future__ import annotations

import importlib
import json
import signal
import sys

BENCHES = ("bars", "backtest", "store", "journal", "collector", "etl")


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        print(f"bench {unknown} does not exist; valid: {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    for name in names or BENCHES:
        for figure in importlib.import_module(f"bench.{name}").run():
            print(json.dumps(figure.as_dict()), flush=True)
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the processes of a bench end with it
    sys.exit(main(sys.argv[1:]))
