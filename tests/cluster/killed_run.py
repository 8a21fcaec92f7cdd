"""Run the command line with a trap at one function: at its n-th call the process is killed, or waits to be let go.

    python killed_run.py before|after|hold MODULE:NAME NUMBER ARGUMENTS...

`before` and `after` the call the process sends itself signal 9, as a power cut would end it. `hold` writes a line to
stdout before the call, and goes on when it reads one. Nothing of this stands in the product.
"""

from __future__ import annotations

import importlib
import itertools
import os
import signal
import sys
from collections.abc import Callable
from typing import Any


def set_trap(when: str, target: str, number: int) -> None:
    """Put the trap around `MODULE:NAME`, a function or `Class.method`."""
    module, _, path = target.partition(":")
    owner: Any = importlib.import_module(module)
    *owners, name = path.split(".")
    for one in owners:
        owner = getattr(owner, one)
    setattr(owner, name, _trapped(getattr(owner, name), when, number))


def _trapped(real: Callable[..., Any], when: str, number: int) -> Callable[..., Any]:
    calls = itertools.count(1)

    def call(*args: Any, **kwargs: Any) -> Any:
        is_it = next(calls) == number
        if is_it and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        if is_it and when == "hold":
            os.write(1, b"held\n")
            os.read(0, 1)
        answer = real(*args, **kwargs)
        if is_it and when == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    return call


if __name__ == "__main__":
    set_trap(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    sys.argv = ["tickloop", *sys.argv[4:]]
    from tickloop.entrypoints.cli import main

    main()
