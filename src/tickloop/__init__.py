"""Upbit's KRW markets from tick to trade. The map of the package is in ARCHITECTURE.md.

`tickloop.backtest(...)` is the interface for notebooks; it is loaded on first use, so that `import tickloop` costs
nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = ["Result", "__version__", "backtest"]

if TYPE_CHECKING:
    from tickloop.entrypoints.notebook.api import backtest
    from tickloop.entrypoints.notebook.result import Result


def __getattr__(name: str) -> Any:
    if name == "backtest":
        from tickloop.entrypoints.notebook.api import backtest

        return backtest
    if name == "Result":
        from tickloop.entrypoints.notebook.result import Result

        return Result
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
