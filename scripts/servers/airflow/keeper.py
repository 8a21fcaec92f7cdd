"""Run a command and leave nothing of it behind: keeper.py COMMAND...

`airflow standalone` starts processes that start others, and some outlive it. All of them become our children when their
parents end, so that they can be found and ended. SIGTERM ends the command, and after STOP_S whatever is left.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

STOP_S = 15.0
_LOOK_S = 0.1
_PR_SET_CHILD_SUBREAPER = 36


def main() -> int:
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    told: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: told.append(number))
    command = subprocess.Popen(sys.argv[1:])  # noqa: S603 (what the script beside it says)
    while command.poll() is None and not told:
        time.sleep(_LOOK_S)
    if command.poll() is None:
        command.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            command.wait(STOP_S)
    end_all()
    return 0


def end_all() -> None:
    """Kill our children, and those that thereby become ours, until there are none."""
    while True:
        for pid in children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def children() -> list[int]:
    own, found = str(os.getpid()), []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # pid (name) state ppid: the name may hold spaces and brackets.
            if stat.read_text().rpartition(")")[2].split()[1] == own:
                found.append(int(stat.parent.name))
    return found


if __name__ == "__main__":
    sys.exit(main())
