"""Gradient-boosted trees by LightGBM, saved as the booster's own text beside a small JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.models import MODEL_FILE, read_model, read_names, to_json
from tickloop.errors import DataError, MissingExtraError, NotEnoughDataError

BOOSTER_FILE = "booster.txt"

TREES = 150
PARAMS: Mapping[str, Any] = {
    "objective": "l1",  # the gate's default is a mean absolute error
    "learning_rate": 0.05,
    "num_leaves": 15,
    "min_data_in_leaf": 200,
    "feature_fraction": 0.8,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    # Part of the model, never taken from the machine: the saved text holds them.
    "num_threads": 1,
    "deterministic": True,
    "force_col_wise": True,
    "verbosity": -1,
}
BASIS_POINT = 1e-4
"""Unit of the booster's target: log returns of a minute are too small for LightGBM's own thresholds."""


@dataclass(frozen=True)
class LightGbm:
    feature_set: str
    text: str
    booster: Any = field(repr=False, compare=False)
    family: str = "lightgbm"

    def predict(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        if len(features) == 0:
            return np.empty(0)
        scaled = self.booster.predict(np.ascontiguousarray(features), num_threads=1)
        return np.asarray(scaled, dtype=np.float64) * BASIS_POINT

    def files(self) -> dict[str, bytes]:
        text = self.text.encode()
        saved = {
            "family": self.family,
            "feature_set": self.feature_set,
            "names": self.booster.feature_name(),
            "booster_sha256": hashlib.sha256(text).hexdigest(),
        }
        return {MODEL_FILE: to_json(saved), BOOSTER_FILE: text}


@dataclass(frozen=True)
class LightGbmFamily:
    name: str = "lightgbm"

    def fit(
        self,
        features: NDArray[np.float64],
        target: NDArray[np.float64],
        names: Sequence[str],
        feature_set: str,
        seed: int,
    ) -> LightGbm:
        """Fit `TREES` trees by `PARAMS`.

        Raises:
            MissingExtraError: if LightGBM is not installed.
            NotEnoughDataError: with fewer rows than two leaves need.
        """
        lightgbm = _lightgbm()
        least = 2 * PARAMS["min_data_in_leaf"]
        if len(target) < least:
            raise NotEnoughDataError(f"lightgbm has {len(target)} rows to learn from; valid: {least} or more")
        params = {**PARAMS, "seed": seed}
        data = lightgbm.Dataset(features, target / BASIS_POINT, feature_name=list(names), params=params)
        text = lightgbm.train(params, data, TREES).model_to_string()
        # Predictions come from the text, so that a fitted model is the loaded one.
        return LightGbm(feature_set, text, lightgbm.Booster(model_str=text))

    def load(self, files: Mapping[str, bytes]) -> LightGbm:
        """Rebuild a model; `DataError` names the file and the field that is wrong.

        Raises:
            MissingExtraError: if LightGBM is not installed.
        """
        saved = read_model(files, self.name)
        read_names(saved)
        if BOOSTER_FILE not in files:
            raise DataError(f"a saved lightgbm model has files {sorted(files)}; valid: with {BOOSTER_FILE}")
        found = hashlib.sha256(files[BOOSTER_FILE]).hexdigest()
        # Checked before LightGBM sees it: its native parser ends the process on some broken texts.
        if found != saved.get("booster_sha256"):
            raise DataError(f"{BOOSTER_FILE} has sha256 {found}; valid: {saved.get('booster_sha256')!r}")
        text = files[BOOSTER_FILE].decode()
        return LightGbm(saved["feature_set"], text, _lightgbm().Booster(model_str=text))


lightgbm = LightGbmFamily()


def _lightgbm() -> Any:
    try:
        import lightgbm
    except ImportError as exc:
        raise MissingExtraError("the model family lightgbm", "models") from exc
    return lightgbm
