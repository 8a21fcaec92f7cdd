"""What the processes of a pool call in tests: functions of a module, since they are pickled by name."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np

from tickloop.errors import DataError
from tickloop.services.shared import opened

_held: dict[str, Any] = {}


def hold(folder: Path) -> None:
    _held["value"] = opened(folder)


def refuse() -> None:
    raise DataError("no start")


def total(factor: int) -> float:
    return float(np.sum(_held["value"]["a"]) * factor)


def memory_of(_unit: int) -> list[Any]:
    """Tell how the array lies, and write into it."""
    array = _held["value"]["a"]
    found = [array.flags.writeable, array.flags.aligned, array.flags.owndata, os.getpid()]
    array[0] = -1.0
    return found


def doubled(unit: int) -> int:
    return 2 * unit


def failing(unit: int) -> int:
    if unit == 3:
        raise DataError(f"unit {unit} is wrong")
    return unit


def dying(unit: int) -> int:
    if unit == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return unit


def leaving(unit: int) -> int:
    if unit == 3:
        os._exit(7)
    return unit


def register(unit: tuple[str, str]) -> str:
    """Fit a unit of training as a scheduler's task would: with ports of its own."""
    from fakes import FixedClock, MemoryRegistry

    market, family = unit
    registry = MemoryRegistry(FixedClock())
    return registry.register(market, family, {}, params={}, metrics={}, lineage={}).name
