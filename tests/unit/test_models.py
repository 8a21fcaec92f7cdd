"""Ridge and persistence; what every family must hold is in the contract suite."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tickloop.domain.features import FEATURE_SETS
from tickloop.domain.models import CLIP, MODEL_FILE, ridge
from tickloop.errors import DataError, NotEnoughDataError

NAMES = FEATURE_SETS["bar"].names


def test_ridge_finds_a_line_that_is_there() -> None:
    """The target is 2e-4 times the first feature, which has spread 1, plus 1e-5."""
    features = np.random.default_rng(3).uniform(-1.7, 1.7, (4000, len(NAMES)))

    model = ridge.fit(features, 2e-4 * features[:, 0] + 1e-5, NAMES, "bar", seed=1)
    probe = np.zeros((2, len(NAMES)))
    probe[1, 0] = 1.0

    assert model.predict(probe) == pytest.approx([1e-5, 2.1e-4], abs=2e-6)


def test_ridge_shrinks_to_the_mean_where_there_is_nothing_to_learn() -> None:
    """The tail of the training rows chooses the strongest penalty for pure noise."""
    random = np.random.default_rng(4)
    features, target = random.normal(size=(600, len(NAMES))), random.normal(0, 4e-4, 600)

    model = ridge.fit(features, target, NAMES, "bar", seed=1)

    assert model.strength == 100_000.0
    assert np.abs(model.predict(features) - target.mean()).max() < 1e-5


def test_ridge_cuts_an_outlier_at_three_spreads() -> None:
    """A crash of a hundred spreads is forecast like one of three."""
    random = np.random.default_rng(5)
    features = random.normal(size=(2000, len(NAMES)))
    model = ridge.fit(features, 1e-4 * features[:, 0], NAMES, "bar", seed=1)
    probe = np.tile(model.mean, (2, 1))
    probe[0, 0] += CLIP * model.scale[0]
    probe[1, 0] += 100 * model.scale[0]

    at_cut, beyond = model.predict(probe)

    assert beyond == pytest.approx(at_cut, rel=1e-12)


def test_feature_that_never_changes_has_no_weight() -> None:
    """Its spread is 0: it must not divide."""
    features = np.random.default_rng(6).normal(size=(500, len(NAMES)))
    features[:, 4] = 1.0

    model = ridge.fit(features, 1e-4 * features[:, 0], NAMES, "bar", seed=1)

    assert model.weight[4] == 0.0
    assert np.isfinite(model.predict(features)).all()


def test_ridge_is_saved_with_twelve_digits_and_computes_with_them() -> None:
    """No number of the file is longer, and the model in memory holds the same numbers."""
    features = np.random.default_rng(7).normal(size=(500, len(NAMES)))
    model = ridge.fit(features, 1e-4 * features[:, 0], NAMES, "bar", seed=1)

    saved = json.loads(model.files()[MODEL_FILE])

    assert saved["weight"] == model.weight.tolist()
    assert all(float(f"{number:.12g}") == number for number in (*saved["weight"], *saved["mean"], saved["intercept"]))


def test_ridge_needs_rows() -> None:
    """Ten for each feature."""
    with pytest.raises(NotEnoughDataError, match="229 rows for 23 features; valid: 230 or more"):
        ridge.fit(np.zeros((229, 23)), np.zeros(229), NAMES, "bar", seed=1)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("weight", [1.0], r"weight = \[1.0\]; valid: 23 finite numbers"),
        ("intercept", "much", "intercept = 'much'; valid: a finite number"),
        ("scale", [0.0] * 23, "scale has a number that is not above 0"),
        ("names", ["return_1"], r"names = \['return_1'\]; valid for bar: return_1, return_2"),
        ("feature_set", "tick", "feature_set = 'tick'; valid: bar"),
    ],
)
def test_field_that_is_wrong_is_named(field: str, value: object, message: str) -> None:
    """A file that was edited, or one of another definition of the features."""
    features = np.random.default_rng(8).normal(size=(500, len(NAMES)))
    saved = json.loads(ridge.fit(features, 1e-4 * features[:, 0], NAMES, "bar", seed=1).files()[MODEL_FILE])

    with pytest.raises(DataError, match=f"model.json: {message}"):
        ridge.load({MODEL_FILE: json.dumps(saved | {field: value}).encode()})
