"""Forecasts of a registered model over past minutes, and how good they were."""

from __future__ import annotations

from collections.abc import Collection
from math import exp

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tickloop.domain.features import compute_features, feature_set_named
from tickloop.domain.forecast import MAX_BAR_AGE_MIN
from tickloop.domain.market import MinuteState
from tickloop.domain.metrics import all_metrics
from tickloop.domain.tables import BAR_1M, FEATURE, FORECAST
from tickloop.domain.training import rows_before
from tickloop.domain.window import MINUTE_MS, Window
from tickloop.ports import Model, ModelVersion
from tickloop.services.families import load_model
from tickloop.services.steps import StepPorts


def forecasts_over(ports: StepPorts, version: ModelVersion, window: Window) -> pl.DataFrame:
    """Forecast every minute of a window by the saved files of a version, from bars before each minute alone.

    Returns:
        A FORECAST frame in order of time, one row per minute whose last bar opened at most 5 minutes before it and
        has a full feature window. `made_at` is now: these were not there at the time.

    Raises:
        DataError: if the saved model cannot be read.
    """
    return model_forecasts(ports, version.market, load_model(ports.registry, version), version.name, window)


def score(
    ports: StepPorts, version: ModelVersion, window: Window, minutes: Collection[int] | None = None
) -> dict[str, float]:
    """Score a version by `domain.metrics` over the minutes with a forecast and a settled bar that has a vwap.

    Args:
        minutes: only these, epoch ms; None takes all that can be scored.

    Raises:
        NotEnoughDataError: if no minute can be scored.
        DataError: if the saved model cannot be read, or forecasts what is no price.
    """
    return score_forecasts(forecasts_over(ports, version, window), actuals(ports, version.market, window), minutes)


def model_forecasts(ports: StepPorts, market: str, model: Model, name: str, window: Window) -> pl.DataFrame:
    """Do what `forecasts_over` does for a model that need not be registered."""
    reach = Window(max(0, window.start_ms - MAX_BAR_AGE_MIN * MINUTE_MS), window.end_ms)
    bars = ports.warehouse.read(BAR_1M, market, reach)
    row_opens, features = features_over(ports, market, model.feature_set, reach, bars)
    opens = bars["ts_open"].dt.epoch("ms").to_numpy()
    minutes = np.arange(window.start_ms, window.end_ms, MINUTE_MS)
    at, bar, row = rows_before(minutes, opens, row_opens)
    last_price = bars["close"].to_numpy()[bar]
    log_return = model.predict(features[row])
    columns = {
        "market": [market] * len(at),
        "target_minute": minutes[at],
        "model_version": [name] * len(at),
        "made_at": [ports.clock.now_ms()] * len(at),
        "last_bar": opens[bar],
        "last_price": last_price,
        "log_return": log_return,
        # As a live forecast computes it: numpy's own exp may differ in the last bit.
        "price": [price * exp(step) for price, step in zip(last_price.tolist(), log_return.tolist(), strict=True)],
    }
    return pl.DataFrame(columns, schema=FORECAST.columns)


def actuals(ports: StepPorts, market: str, window: Window) -> pl.DataFrame:
    """Give `target_minute` and `vwap` (KRW) of the minutes that a forecast can be held against."""
    bars = ports.warehouse.read(BAR_1M, market, window)
    is_known = (pl.col("state") != MinuteState.UNKNOWN.value) & pl.col("vwap").is_not_null()
    return bars.filter(is_known).select(pl.col("ts_open").alias("target_minute"), "vwap")


def score_forecasts(
    forecasts: pl.DataFrame, actual: pl.DataFrame, minutes: Collection[int] | None = None
) -> dict[str, float]:
    """Score a FORECAST frame of one version against `actuals`; see `score`."""
    both = forecasts.join(actual, on="target_minute", maintain_order="left")
    if minutes is not None:
        both = both.filter(pl.col("target_minute").dt.epoch("ms").is_in(sorted(minutes)))
    return all_metrics(both["price"].to_numpy(), both["vwap"].to_numpy(), both["last_price"].to_numpy())


def features_over(
    ports: StepPorts, market: str, feature_set: str, window: Window, bars: pl.DataFrame
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Give the feature rows of a window as `compute_features` does: the stored ones, or all computed anew where a bar
    has none (the first bars of the history never have one).

    Args:
        bars: the bars of the window.
    """
    definition = feature_set_named(feature_set)
    stored = ports.warehouse.read(FEATURE, market, window).filter(pl.col("feature_set") == feature_set)
    is_whole = bool((stored["vector"].bin.size() == 8 * len(definition.names)).all())
    if is_whole and stored["ts_open"].equals(bars["ts_open"]):
        vectors = np.frombuffer(b"".join(stored["vector"]), dtype="<f8").astype(np.float64)
        return _opens(stored), vectors.reshape(-1, len(definition.names))
    before = pl.DataFrame(schema=BAR_1M.columns)
    if window.start_ms > 0:
        before = ports.warehouse.read(BAR_1M, market, Window(0, window.start_ms), last=definition.window - 1)
    opens, features = compute_features(pl.concat([before, bars]), feature_set)
    is_inside = opens >= window.start_ms
    return opens[is_inside], features[is_inside]


def _opens(rows: pl.DataFrame) -> NDArray[np.int64]:
    return rows["ts_open"].dt.epoch("ms").to_numpy()
