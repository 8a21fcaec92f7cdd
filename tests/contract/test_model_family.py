"""What every model family must hold: saved bytes, loading without code, the same answer alone and in a batch."""

from __future__ import annotations

import numpy as np
import pytest

from fakes import START_MS
from slot_world import bouncing_bars
from tickloop.domain.features import FEATURE_SETS, compute_features
from tickloop.errors import DataError, UsageError
from tickloop.ports import Model, ModelFamily
from tickloop.services.families import family_named

NAMES = FEATURE_SETS["bar"].names


@pytest.fixture(params=["persistence", "ridge", "lightgbm"])
def family(request: pytest.FixtureRequest) -> ModelFamily:
    return family_named(request.param)


def lesson() -> tuple[np.ndarray, np.ndarray]:
    """Features of 1,141 made bars, and the next minute's vwap against the close."""
    bars = bouncing_bars(START_MS, 1200)
    _, features = compute_features(bars, "bar")
    close, vwap = bars["close"].to_numpy()[59:], bars["vwap"].to_numpy()[59:]
    return features[:-1], np.log(vwap[1:] / close[:-1])


def fitted(family: ModelFamily, seed: int = 11) -> Model:
    return family.fit(*lesson(), NAMES, "bar", seed)


def test_loaded_model_is_the_fitted_one(family: ModelFamily) -> None:
    """Same names, same files, same bits of every forecast."""
    features, _ = lesson()
    model = fitted(family)

    loaded = family.load(model.files())

    assert (loaded.family, loaded.feature_set) == (family.name, "bar")
    assert loaded.files() == model.files()
    assert loaded.predict(features).tobytes() == model.predict(features).tobytes()


def test_same_fit_gives_the_same_bytes(family: ModelFamily) -> None:
    """Data, names and seed decide; nothing of the machine's state does."""
    assert fitted(family).files() == fitted(family).files()


def test_row_alone_is_forecast_as_in_a_batch(family: ModelFamily) -> None:
    """Training scores batches; serving and the bot ask for one row."""
    features, _ = lesson()
    model = fitted(family)

    batch = model.predict(features[:200])
    alone = np.concatenate([model.predict(features[at : at + 1]) for at in range(200)])

    assert alone.tobytes() == batch.tobytes()
    assert batch.dtype == np.float64
    assert np.isfinite(batch).all()


def test_no_rows_give_no_forecasts(family: ModelFamily) -> None:
    """A window without a bar."""
    assert fitted(family).predict(np.empty((0, len(NAMES)))).shape == (0,)


def test_missing_file_is_named(family: ModelFamily) -> None:
    """Every file of a model is needed."""
    files = fitted(family).files()

    for name in files:
        rest = {other: content for other, content in files.items() if other != name}
        with pytest.raises(DataError, match=f"valid: with {name}"):
            family.load(rest)


def test_damaged_file_is_named(family: ModelFamily) -> None:
    """Cut short: no answer, and no crash of a native parser."""
    files = fitted(family).files()

    for name, content in files.items():
        with pytest.raises(DataError, match=name):
            family.load({**files, name: content[: len(content) // 2]})


def test_model_of_another_family_is_refused(family: ModelFamily) -> None:
    """The file says whose it is."""
    with pytest.raises(DataError, match="family = 'other'"):
        family.load({**fitted(family).files(), "model.json": b'{"family": "other", "feature_set": "bar"}'})


@pytest.mark.parametrize("name", ["ridge", "lightgbm"])
def test_learning_family_beats_persistence_where_there_is_something_to_learn(name: str) -> None:
    """On the bars after those it was fitted on."""
    features, target = lesson()
    model = family_named(name).fit(features[:900], target[:900], NAMES, "bar", seed=11)

    error = np.abs(model.predict(features[900:]) - target[900:]).mean()

    assert error < 0.7 * np.abs(target[900:]).mean()


def test_unknown_family_lists_the_installed_ones() -> None:
    """A name in the settings that no package brings."""
    with pytest.raises(UsageError, match="'oracle' is not installed; valid: lightgbm, persistence, ridge"):
        family_named("oracle")
