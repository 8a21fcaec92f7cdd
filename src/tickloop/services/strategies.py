"""Strategies by name: shipped, of another package by the entry-point group, or from a file of the user's."""

from __future__ import annotations

import hashlib
import sys
from importlib.metadata import entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from tickloop.domain.replay import PLUG_IN_RAISES
from tickloop.domain.strategies.shipped import SHIPPED
from tickloop.domain.strategy import Strategy
from tickloop.errors import StrategyError

GROUP = "tickloop.strategies"

_COSTS = ("order_krw", "fee_rate", "min_total")


def strategy_named(text: str) -> Strategy:
    """Give a strategy: `NAME` of a shipped or installed one, or `PATH.py:NAME` of an object in a file.

    Raises:
        StrategyError: if there is none, its file cannot be read or run, or it is no Strategy that can be run.
    """
    path, colon, name = text.rpartition(":")
    if colon:
        return checked(_from_file(Path(path), name), text)
    if text in SHIPPED:
        return SHIPPED[text]
    found = entry_points(group=GROUP)
    if text not in found.names:
        known = ", ".join(sorted({*SHIPPED, *found.names}))
        raise StrategyError(f"strategy {text!r} is not known; valid: {known}, or PATH.py:NAME")
    try:
        return checked(found[text].load(), text)
    except (ImportError, *PLUG_IN_RAISES) as exc:
        raise StrategyError(f"strategy {text!r} is installed and cannot be loaded: {exc}") from exc


def _from_file(path: Path, name: str) -> Any:
    if not path.is_file():
        raise StrategyError(f"strategy file {path} does not exist; valid: PATH.py:NAME with the path of a file")
    if path.suffix != ".py" or not name:
        raise StrategyError(f"strategy {path}:{name} has no Python file or no name; valid: PATH.py:NAME")
    module = _loaded(path)
    if not hasattr(module, name):
        there = ", ".join(key for key, value in vars(module).items() if isinstance(value, Strategy))
        raise StrategyError(f"strategy file {path} has no {name!r}; valid: {there or 'none, it defines no Strategy'}")
    return getattr(module, name)


def _loaded(path: Path) -> ModuleType:
    """Run a file as a module of its own name, so that two files called alike do not meet."""
    name = f"tickloop_strategy_{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise StrategyError(f"strategy file {path} cannot be loaded as Python; valid: a file ending in .py")
    module = module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and NamedTuples look their module up
    try:
        spec.loader.exec_module(module)
    except SyntaxError as exc:
        raise StrategyError(f"strategy file {path}, line {exc.lineno}, is not Python: {exc.msg}") from exc
    except (ImportError, OSError, *PLUG_IN_RAISES) as exc:
        raise StrategyError(f"strategy file {path} cannot be run: {type(exc).__name__}: {exc}") from exc
    return module


def checked(found: Any, text: str) -> Strategy:
    """Pass what is a Strategy that can be run.

    Args:
        text: how it was asked for, for the message.

    Raises:
        StrategyError: if it is none, one of its functions cannot be called, or its parameters lack a field.
    """
    if not isinstance(found, Strategy):
        raise StrategyError(f"{text} is a {type(found).__name__}; valid: a tickloop.domain.strategy.Strategy")
    functions = {"decide": found.decide, "wake": found.wake, "leaves": found.leaves, "signal": found.signal}
    if wrong := [
        key for key, value in functions.items() if not (callable(value) or (value is None and key != "decide"))
    ]:
        raise StrategyError(f"{text}: {', '.join(wrong)} cannot be called; valid: functions over plain values")
    if "default" not in found.presets:
        raise StrategyError(f"{text} has no preset 'default'; valid: presets with one of that name")
    for preset, params in found.presets.items():
        _check_fields(params, found, f"{text}: preset {preset!r}")
    return found


def _check_fields(params: Any, strategy: Strategy, owner: str) -> None:
    fields = getattr(params, "_fields", ())
    if missing := [field for field in (*_COSTS, *strategy.space) if field not in fields]:
        raise StrategyError(
            f"{owner} has no field {', '.join(missing)}; valid: a NamedTuple with {', '.join(_COSTS)} and what "
            "`space` names"
        )
