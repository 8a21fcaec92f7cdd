"""Training cut into units of work: plain values that go to another process or machine, each run by itself.

A scheduler fits the units in any order and number; the step `train` then finds every version there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tickloop.domain.window import Window
from tickloop.services.steps import StepPorts
from tickloop.services.train import fit_one


@dataclass(frozen=True)
class FitUnit:
    """One family to be fitted on one slot of one market."""

    market: str
    family: str
    slot: Window


def fit_units(ports: StepPorts, slots: Sequence[Window]) -> list[FitUnit]:
    """Give the units of all markets and families of the settings: slots in order of time, families as named."""
    return [
        FitUnit(market, family, slot)
        for slot in slots
        for market in ports.markets
        for family in ports.training.families
    ]


def run_fit_unit(ports: StepPorts, unit: FitUnit) -> dict[str, Any]:
    """Fit and register one unit; a unit that was run before changes nothing. See `fit_one`."""
    return fit_one(ports, unit.market, unit.slot, unit.family)
