"""The model families that need nothing but arithmetic: `persistence` and `ridge`. Others are adapters.

A model is saved as JSON that says all it needs; loading runs no code of the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.features import FEATURE_SETS
from tickloop.domain.kernel import kernel
from tickloop.errors import DataError, NotEnoughDataError

MODEL_FILE = "model.json"

DIGITS = 12
"""Significant digits of saved numbers; a fitted model computes with the rounded ones, so saved and fitted agree."""

STRENGTHS = (30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0, 30_000.0, 100_000.0)
"""Ridge penalties tried, in rows: a standardised feature's own sum of squares is the number of rows."""

TAIL_SHARE = 0.2
"""Last part of the training rows, by time, on which the penalty is chosen."""

CLIP = 3.0
"""Standardised features are cut here: one-minute returns have tails that a straight line would follow."""


@dataclass(frozen=True)
class Persistence:
    """Says that the price stays where it is: the baseline of every report."""

    feature_set: str
    family: str = "persistence"

    def predict(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.zeros(len(features))

    def files(self) -> dict[str, bytes]:
        return {MODEL_FILE: to_json({"family": self.family, "feature_set": self.feature_set})}


@dataclass(frozen=True)
class PersistenceFamily:
    name: str = "persistence"

    def fit(
        self,
        features: NDArray[np.float64],  # noqa: ARG002 (nothing is learnt)
        target: NDArray[np.float64],  # noqa: ARG002
        names: Sequence[str],  # noqa: ARG002
        feature_set: str,
        seed: int,  # noqa: ARG002
    ) -> Persistence:
        return Persistence(feature_set)

    def load(self, files: Mapping[str, bytes]) -> Persistence:
        return Persistence(read_model(files, self.name)["feature_set"])


@dataclass(frozen=True)
class Ridge:
    """A linear model of standardised, clipped features.

    Attributes:
        mean, scale: of each feature in training, both (f,).
        weight: log return per standardised feature, (f,).
        intercept: log return.
        strength: the penalty that was chosen.
    """

    feature_set: str
    names: tuple[str, ...]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    weight: NDArray[np.float64]
    intercept: float
    clip: float
    strength: float
    family: str = "ridge"

    def predict(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        out = np.empty(len(features))
        _predict(np.array(features), self.mean, self.scale, self.weight, self.intercept, self.clip, out)
        return out

    def files(self) -> dict[str, bytes]:
        saved = {
            "family": self.family,
            "feature_set": self.feature_set,
            "names": list(self.names),
            "mean": self.mean.tolist(),
            "scale": self.scale.tolist(),
            "weight": self.weight.tolist(),
            "intercept": self.intercept,
            "clip": self.clip,
            "strength": self.strength,
        }
        return {MODEL_FILE: to_json(saved)}


@dataclass(frozen=True)
class RidgeFamily:
    name: str = "ridge"

    def fit(
        self,
        features: NDArray[np.float64],
        target: NDArray[np.float64],
        names: Sequence[str],
        feature_set: str,
        seed: int,  # noqa: ARG002 (the solution is closed)
    ) -> Ridge:
        """Fit on rows in order of time.

        The penalty with the least mean absolute error on the last `TAIL_SHARE` of the rows, fitted on those before,
        is taken for a fit on all rows.

        Raises:
            NotEnoughDataError: with fewer than ten rows a feature.
        """
        if len(target) < 10 * len(names):
            raise NotEnoughDataError(
                f"ridge has {len(target)} rows for {len(names)} features; valid: {10 * len(names)} or more"
            )
        head = len(target) - int(len(target) * TAIL_SHARE)
        tries = _fits(features[:head], target[:head], names, feature_set)
        errors = [float(np.abs(one.predict(features[head:]) - target[head:]).mean()) for one in tries]
        return _fits(features, target, names, feature_set)[int(np.argmin(errors))]

    def load(self, files: Mapping[str, bytes]) -> Ridge:
        """Rebuild a model; `DataError` names the file and the field that is wrong."""
        saved = read_model(files, self.name)
        names = read_names(saved)
        mean, scale, weight = (_numbers(saved, name, (len(names),)) for name in ("mean", "scale", "weight"))
        if (scale <= 0).any():
            raise DataError(f"{MODEL_FILE}: scale has a number that is not above 0; valid: numbers above 0")
        intercept, clip, strength = (float(_numbers(saved, name, ())) for name in ("intercept", "clip", "strength"))
        return Ridge(saved["feature_set"], names, mean, scale, weight, intercept, clip, strength)


persistence = PersistenceFamily()
ridge = RidgeFamily()


def _fits(
    features: NDArray[np.float64], target: NDArray[np.float64], names: Sequence[str], feature_set: str
) -> list[Ridge]:
    """Fit one model for each of STRENGTHS."""
    mean = _rounded(features.mean(axis=0))
    spread = features.std(axis=0)
    scale = _rounded(np.where(spread > 0, spread, 1.0))
    gram, moment, clipped_mean = _moments(np.array(features), np.array(target), mean, scale, CLIP)
    fits = []
    for strength in STRENGTHS:
        weight = _rounded(np.linalg.solve(gram + strength * np.eye(len(mean)), moment))
        intercept = _round(float(target.mean() - (weight * clipped_mean).sum()))
        fits.append(Ridge(feature_set, tuple(names), mean, scale, weight, intercept, CLIP, strength))
    return fits


@kernel
def _moments(
    features: NDArray[np.float64],
    target: NDArray[np.float64],
    mean: NDArray[np.float64],
    scale: NDArray[np.float64],
    clip: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Give Z'Z, Z'y (both centred) and the mean of Z, summed row by row: a matrix product's order varies by machine."""
    rows, cols = features.shape
    z = np.empty(cols)
    gram, moment, total = np.zeros((cols, cols)), np.zeros(cols), np.zeros(cols)
    target_sum = 0.0
    for row in range(rows):
        for col in range(cols):
            z[col] = min(max((features[row, col] - mean[col]) / scale[col], -clip), clip)
            total[col] += z[col]
            moment[col] += z[col] * target[row]
        for col in range(cols):
            for other in range(col + 1):
                gram[col, other] += z[col] * z[other]
        target_sum += target[row]
    for col in range(cols):
        moment[col] -= total[col] * target_sum / rows
        for other in range(col + 1):
            gram[col, other] -= total[col] * total[other] / rows
            gram[other, col] = gram[col, other]
    return gram, moment, total / rows


@kernel
def _predict(
    features: NDArray[np.float64],
    mean: NDArray[np.float64],
    scale: NDArray[np.float64],
    weight: NDArray[np.float64],
    intercept: float,
    clip: float,
    out: NDArray[np.float64],
) -> None:
    """Sum in the order of the features, so that a row has the same bits alone and in a batch."""
    for row in range(len(out)):
        total = intercept
        for col in range(len(weight)):
            total += weight[col] * min(max((features[row, col] - mean[col]) / scale[col], -clip), clip)
        out[row] = total


def to_json(saved: Mapping[str, Any]) -> bytes:
    """Write a model's fields, one form for one content."""
    return (json.dumps(saved, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def read_model(files: Mapping[str, bytes], family: str) -> dict[str, Any]:
    """Read `model.json` of a family; `DataError` names the file and the field that is wrong."""
    if MODEL_FILE not in files:
        raise DataError(f"a saved {family} model has files {sorted(files)}; valid: with {MODEL_FILE}")
    try:
        saved = json.loads(files[MODEL_FILE])
    except ValueError as exc:
        raise DataError(f"{MODEL_FILE} is not JSON: {exc}") from exc
    if not isinstance(saved, dict) or saved.get("family") != family:
        found = saved.get("family") if isinstance(saved, dict) else saved
        raise DataError(f"{MODEL_FILE}: family = {found!r}; valid: {family!r}")
    if saved.get("feature_set") not in FEATURE_SETS:
        raise DataError(f"{MODEL_FILE}: feature_set = {saved.get('feature_set')!r}; valid: {', '.join(FEATURE_SETS)}")
    return saved


def read_names(saved: Mapping[str, Any]) -> tuple[str, ...]:
    """Give the features that a saved model wants; `DataError` when the feature set no longer has exactly these."""
    wanted = FEATURE_SETS[saved["feature_set"]].names
    names = saved.get("names")
    if names != list(wanted):
        raise DataError(f"{MODEL_FILE}: names = {names!r}; valid for {saved['feature_set']}: {', '.join(wanted)}")
    return wanted


def _numbers(saved: Mapping[str, Any], field: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    try:
        numbers = np.array(saved.get(field), dtype=np.float64)
    except (TypeError, ValueError):
        numbers = np.array(np.nan)
    if numbers.shape != shape or not np.isfinite(numbers).all():
        valid = f"{shape[0]} finite numbers" if shape else "a finite number"
        raise DataError(f"{MODEL_FILE}: {field} = {saved.get(field)!r}; valid: {valid}")
    return numbers


def _rounded(numbers: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    return np.array([_round(float(number)) for number in numbers])


def _round(number: float) -> float:
    return float(f"{number:.{DIGITS}g}")
