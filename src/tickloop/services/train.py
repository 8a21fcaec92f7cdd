"""Train the candidates of a slot, score them on its gate and register them with all that made them."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import polars as pl

from tickloop.domain.features import FeatureSet, feature_set_named
from tickloop.domain.tables import BAR_1M
from tickloop.domain.training import Pairs, SlotWindows, slot_windows, training_pairs
from tickloop.domain.window import Window, to_datetime
from tickloop.errors import NotEnoughDataError, WindowBusyError
from tickloop.ports import ModelFamily, ModelVersion
from tickloop.services.families import family_named
from tickloop.services.promote import ensure_champion, is_of_slot
from tickloop.services.scoring import actuals, features_over, model_forecasts, score_forecasts
from tickloop.services.steps import StepPorts

_LIBRARIES = ("tickloop", "numpy", "numba", "polars", "lightgbm")


def train(ports: StepPorts, market: str, window: Window) -> dict[str, Any]:
    """Fit each family of the settings on the slot's training window and register it.

    Families that have a version for this slot are left alone, so a slot gives the same versions however often it is
    run, also where `fit_one` has fitted some of them. The gate's minutes are used for the metrics only.

    Args:
        window: the slot.

    Returns:
        `candidates` (count) and `versions` (names); `pairs` and, with 0 candidates for want of data, `reason`.

    Raises:
        UsageError: if a family or the feature set of the settings is not known.
        MissingExtraError: if a family's library is not installed.
        WindowBusyError: if another runner is fitting a family that is missing.
    """
    ensure_champion(ports.registry, market, ports.clock)
    families = [family_named(name) for name in ports.training.families]
    there = _of_slot(ports, market, window)
    missing = [family for family in families if family.name not in {one.family for one in there}]
    if not missing:
        return {"candidates": len(there), "versions": [one.name for one in there]}
    try:
        data = _slot_data(ports, market, window)
        made = [_fit(ports, data, family) for family in missing]
    except NotEnoughDataError as exc:
        return {"candidates": len(there), "versions": [one.name for one in there], "reason": str(exc)}
    names = [one.name for one in (*there, *made)]
    return {"candidates": len(names), "versions": names, "pairs": len(data.pairs.target)}


def fit_one(ports: StepPorts, market: str, window: Window, family_name: str) -> dict[str, Any]:
    """Fit one family on a slot and register it, as `train` does for all: a unit of work for many runners.

    Returns:
        `version` (name, None for want of data) and, where there was nothing to fit, `reason`.

    Raises:
        UsageError, MissingExtraError, WindowBusyError: as `train`.
    """
    ensure_champion(ports.registry, market, ports.clock)
    family = family_named(family_name)
    for one in _of_slot(ports, market, window):
        if one.family == family.name:
            return {"version": one.name, "reason": "it was fitted before"}
    try:
        data = _slot_data(ports, market, window)
        made = _fit(ports, data, family)
    except NotEnoughDataError as exc:
        return {"version": None, "reason": str(exc)}
    return {"version": made.name, "pairs": len(data.pairs.target)}


@dataclass(frozen=True)
class _SlotData:
    """What every family is fitted on and scored against."""

    market: str
    slot: Window
    windows: SlotWindows
    features: FeatureSet
    pairs: Pairs
    actual: pl.DataFrame


def _slot_data(ports: StepPorts, market: str, slot: Window) -> _SlotData:
    windows = slot_windows(slot, ports.training.training_hours, ports.training.gate_hours)
    features = feature_set_named(ports.training.feature_set)
    pairs = _pairs(ports, market, windows, features)
    return _SlotData(market, slot, windows, features, pairs, actuals(ports, market, windows.gate))


def _fit(ports: StepPorts, data: _SlotData, family: ModelFamily) -> ModelVersion:
    market, slot, features, pairs = data.market, data.slot, data.features, data.pairs
    with ports.lock.hold(f"fit-{family.name}", market, slot) as is_ours:
        if not is_ours:
            raise WindowBusyError(f"{family.name} of {market} is being fitted for slot {slot} by another runner")
        fitted = family.fit(pairs.features, pairs.target, features.names, features.name, ports.training.seed)
        files = fitted.files()
        # What is scored is what is stored: the files, read again.
        forecasts = model_forecasts(ports, market, family.load(files), family.name, data.windows.gate)
        return ports.registry.register(
            market,
            family.name,
            files,
            params=_params(slot, data.windows, features, family.name, ports.training.seed, len(pairs.target)),
            metrics=score_forecasts(forecasts, data.actual),
            lineage=_lineage(market, pairs, features, ports.training.seed),
            slot=slot,
        )


def _of_slot(ports: StepPorts, market: str, slot: Window) -> list[ModelVersion]:
    return [one for one in ports.registry.versions(market) if is_of_slot(one, slot)]


def _pairs(ports: StepPorts, market: str, windows: SlotWindows, features: FeatureSet) -> Pairs:
    bars = ports.warehouse.read(BAR_1M, market, windows.train)
    opens, rows = features_over(ports, market, features.name, windows.train, bars)
    return training_pairs(bars, opens, rows, windows.gate.start_ms)


def _params(
    slot: Window, windows: SlotWindows, features: FeatureSet, family: str, seed: int, pairs: int
) -> dict[str, Any]:
    return {
        "family": family,
        "feature_set": features.name,
        "seed": seed,
        "pairs": pairs,
        "slot_start_ms": slot.start_ms,
        "train_start_ms": windows.train.start_ms,
        "train_end_ms": windows.train.end_ms,
        "gate_start_ms": windows.gate.start_ms,
        "gate_end_ms": windows.gate.end_ms,
    }


def _lineage(market: str, pairs: Pairs, features: FeatureSet, seed: int) -> dict[str, str]:
    digest = hashlib.sha256("\n".join((market, features.name, *features.names)).encode())
    for array, dtype in ((pairs.minute_ms, "<i8"), (pairs.features, "<f8"), (pairs.target, "<f8")):
        digest.update(np.ascontiguousarray(array, dtype=dtype).tobytes())
    return {
        "data_first_minute": to_datetime(int(pairs.minute_ms[0])).isoformat(),
        "data_last_minute": to_datetime(int(pairs.minute_ms[-1])).isoformat(),
        "data_sha256": digest.hexdigest(),
        "feature_set": features.name,
        "seed": str(seed),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        **{name: found for name in _LIBRARIES if (found := _version_of(name)) is not None},
    }


def _version_of(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None
