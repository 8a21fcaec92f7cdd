"""Pairs for training, forecasts over past minutes, and their scores."""

from __future__ import annotations

from math import exp, log

import numpy as np
import polars as pl
import pytest

from fakes import START_MS
from slot_world import DATA, GATE, MARKET, SlotPorts, bouncing_bars, filled_ports
from tickloop.domain.features import FEATURE_SETS, WINDOW, compute_features
from tickloop.domain.tables import BAR_1M, FEATURE, FORECAST
from tickloop.domain.training import rows_before, slot_windows, training_pairs
from tickloop.domain.window import HOUR_MS, MINUTE_MS, Window
from tickloop.errors import DataError, NotEnoughDataError
from tickloop.ports import ModelVersion
from tickloop.services.build_features import features as features_step
from tickloop.services.families import family_named, load_model
from tickloop.services.predict import make_forecast
from tickloop.services.promote import ensure_champion
from tickloop.services.scoring import features_over, forecasts_over, score

NAMES = FEATURE_SETS["bar"].names


def minutes(*numbers: int) -> np.ndarray:
    return START_MS + MINUTE_MS * np.array(numbers, dtype=np.int64)


def at_minute(number: int) -> pl.Expr:
    return pl.col("ts_open").dt.epoch("ms") == START_MS + number * MINUTE_MS


def register_ridge(ports: SlotPorts) -> ModelVersion:
    bars = ports.warehouse.read(BAR_1M, MARKET, Window(DATA.start_ms, GATE.start_ms))
    pairs = training_pairs(bars, *compute_features(bars, "bar"), GATE.start_ms)
    files = family_named("ridge").fit(pairs.features, pairs.target, NAMES, "bar", 1).files()
    return ports.registry.register(MARKET, "ridge", files, params={}, metrics={}, lineage={})


def test_gate_is_the_end_of_the_slot_and_training_lies_before() -> None:
    """Two days and twelve before them, to the minute."""
    train, gate = slot_windows(Window(START_MS - 6 * HOUR_MS, START_MS), 288, 48)

    assert str(train) == "2024-01-08T00..2024-01-20T00"
    assert str(gate) == "2024-01-20T00..2024-01-22T00"


def test_minute_is_forecast_from_the_last_bar_before_it_or_not_at_all() -> None:
    """Bars at 0, 1 and 4; the bar of minute 1 has no feature row, so nothing older stands in for it."""
    at, bar, row = rows_before(minutes(0, 1, 2, 5, 9, 10), minutes(0, 1, 4), minutes(0, 4))

    assert at.tolist() == [1, 3, 4]  # minutes 1, 5 and 9; at 10 the bar of minute 4 is six minutes old
    assert bar.tolist() == [0, 2, 2]
    assert row.tolist() == [0, 1, 1]


def test_pair_is_the_next_vwap_against_the_close_before_it() -> None:
    """The first pair is minute 60: its features have seen bars 0 to 59."""
    bars = bouncing_bars(START_MS, 700)
    opens, features = compute_features(bars, "bar")

    pairs = training_pairs(bars, opens, features, START_MS + 700 * MINUTE_MS)

    assert len(pairs.target) == 640
    assert pairs.minute_ms[0] == START_MS + 60 * MINUTE_MS
    assert pairs.features[0].tobytes() == features[0].tobytes()
    assert pairs.last_price[0] == bars["close"][59]
    assert pairs.target[0] == pytest.approx(log(bars["vwap"][60] / bars["close"][59]))


def test_no_pair_has_its_minute_in_the_gate() -> None:
    """Bars that reach into the gate are left alone, whatever is in them."""
    bars = bouncing_bars(START_MS, 900)
    gate_ms = START_MS + 700 * MINUTE_MS
    poisoned = bars.with_columns(vwap=pl.when(pl.col("ts_open").dt.epoch("ms") < gate_ms).then("vwap").otherwise(1e300))

    pairs = training_pairs(poisoned, *compute_features(bars, "bar"), gate_ms)

    assert pairs.minute_ms.max() == gate_ms - MINUTE_MS
    assert np.abs(pairs.target).max() < 0.01


def test_unknown_minutes_and_bars_without_vwap_make_no_pair() -> None:
    """Minute 200 is unknown: no target, and no last bar of 201; minute 300 has no vwap: no target."""
    bars = bouncing_bars(START_MS, 800).with_columns(
        state=pl.when(at_minute(200))
        .then(pl.lit("unknown"))
        .otherwise(pl.lit("verified"))
        .cast(BAR_1M.columns["state"]),
        vwap=pl.when(at_minute(300)).then(None).otherwise("vwap"),
    )

    pairs = training_pairs(bars, *compute_features(bars, "bar"), START_MS + 800 * MINUTE_MS)

    missing = set(range(60, 800)) - set(((pairs.minute_ms - START_MS) // MINUTE_MS).tolist())
    assert missing == {200, 201, 300}


def test_few_pairs_are_refused_with_their_number() -> None:
    """499 is one too few."""
    bars = bouncing_bars(START_MS, 559)

    with pytest.raises(NotEnoughDataError, match=r"499 minutes have a vwap .* valid: 500 or more"):
        training_pairs(bars, *compute_features(bars, "bar"), START_MS + 559 * MINUTE_MS)


def test_forecasts_over_a_window_have_the_bits_of_live_forecasts() -> None:
    """The back-test and the gate see what the API and the bot would have said."""
    bars = bouncing_bars(DATA.start_ms, 1800, missing=[1500, 1501, *range(1600, 1610)])
    ports = filled_ports(bars)
    version = register_ridge(ports)
    model = load_model(ports.registry, version)

    made = forecasts_over(ports, version, GATE)

    live = [
        make_forecast(model, bars, MARKET, minute, version.name, ports.clock.now_ms())
        for minute in range(GATE.start_ms, GATE.end_ms, MINUTE_MS)
    ]
    expected = [(one.target_minute_ms, one.last_bar_ms, one.log_return, one.price) for one in live if one is not None]
    times = pl.col("target_minute", "last_bar").dt.epoch("ms")
    assert made.with_columns(times).select("target_minute", "last_bar", "log_return", "price").rows() == expected
    assert made.schema == pl.Schema(FORECAST.columns)
    assert made.height == 354  # of 360: minutes 1605 to 1610 have no bar of the five minutes before them
    assert made["price"][0] == made["last_price"][0] * exp(made["log_return"][0])


def test_stored_features_are_used_and_missing_ones_computed() -> None:
    """The same rows with no vector stored, with some, and with all."""
    ports = filled_ports()
    gate_bars = ports.warehouse.read(BAR_1M, MARKET, GATE)
    computed = features_over(ports, MARKET, "bar", GATE, gate_bars)
    features_step(ports, MARKET, Window(GATE.start_ms, GATE.start_ms + HOUR_MS))
    partly = features_over(ports, MARKET, "bar", GATE, gate_bars)
    features_step(ports, MARKET, GATE)
    stored = ports.warehouse.read(FEATURE, MARKET, GATE)

    wholly = features_over(ports, MARKET, "bar", GATE, gate_bars)

    assert stored.height == 360
    assert wholly[0].tolist() == partly[0].tolist() == computed[0].tolist()
    assert wholly[1].tobytes() == partly[1].tobytes() == computed[1].tobytes()


def test_window_without_bars_has_no_forecasts() -> None:
    """An empty frame with the columns of the table."""
    ports = SlotPorts()

    made = forecasts_over(ports, ensure_champion(ports.registry, MARKET, ports.clock), GATE)

    assert made.equals(FORECAST.empty())


def test_score_holds_persistence_against_the_vwap_of_settled_minutes() -> None:
    """61 bars at 100, then vwaps 100.1, 99.9 and 100.2; the second one's state is unknown."""
    flat = [pl.lit(100.0).alias(name) for name in ("open", "high", "low", "close")]
    vwap = [100.0] * WINDOW + [100.1, 99.9, 100.2]
    state = ["verified"] * (WINDOW + 1) + ["unknown", "candle"]
    bars = bouncing_bars(START_MS, 63).with_columns(
        *flat, pl.Series("vwap", vwap), pl.Series("state", state, BAR_1M.columns["state"])
    )
    ports = filled_ports(bars)
    champion = ensure_champion(ports.registry, MARKET, ports.clock)
    window = Window(START_MS, START_MS + HOUR_MS * 2)

    figures = score(ports, champion, window)
    one = score(ports, champion, window, minutes=[START_MS + 60 * MINUTE_MS])

    assert (figures["minutes"], figures["mae_bp"]) == (2.0, pytest.approx(15.0))
    assert figures["bias_bp"] == pytest.approx(-15.0)
    assert (one["minutes"], one["mae_bp"]) == (1.0, pytest.approx(10.0))


def test_score_without_a_minute_says_so() -> None:
    """The gate has no bar."""
    ports = SlotPorts()

    with pytest.raises(NotEnoughDataError, match="no minute with a forecast"):
        score(ports, ensure_champion(ports.registry, MARKET, ports.clock), GATE)


def test_registered_model_that_cannot_be_read_is_named() -> None:
    """A file of another program in the registry."""
    ports = filled_ports()
    broken = ports.registry.register(MARKET, "ridge", {"model.json": b"{"}, params={}, metrics={}, lineage={})

    with pytest.raises(DataError, match=r"model\.json is not JSON"):
        forecasts_over(ports, broken, GATE)
