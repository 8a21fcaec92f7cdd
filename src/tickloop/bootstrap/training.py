"""Training on several processes: each opens its own adapters of the home and fits the units that it is given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tickloop.bootstrap import App, open_app
from tickloop.services.pool import Pool
from tickloop.services.work import FitUnit, run_fit_unit
from tickloop.settings import Settings

_apps: list[App] = []


def fit_on_processes(
    settings: Settings, units: Sequence[FitUnit], workers: int
) -> Iterator[tuple[FitUnit, dict[str, Any]]]:
    """Yield each unit with its counts as it is fitted and registered; versions are numbered as they come.

    The bytes of a version do not depend on the number of processes; a unit that was fitted before changes nothing.

    Raises:
        WorkerDiedError: if a process was ended; what was registered stands.
        TickloopError: as `services.work.run_fit_unit`.
    """
    with Pool(_fit, min(workers, max(len(units), 1)), _open, settings) as pool:
        yield from pool.each(units)
    while _apps:  # with one worker it was this process
        _apps.pop().close()


def _open(settings: Settings) -> None:
    _apps.append(open_app(settings))


def _fit(unit: FitUnit) -> dict[str, Any]:
    return run_fit_unit(_apps[-1], unit)
