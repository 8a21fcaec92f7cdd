"""The step `train`: what is registered for a slot, from which minutes."""

from __future__ import annotations

import pickle

import polars as pl
import pytest

from slot_world import DATA, GATE, MARKET, SLOT, bouncing_bars, filled_ports
from tickloop.errors import UsageError, WindowBusyError
from tickloop.services.build_features import features as features_step
from tickloop.services.scoring import score
from tickloop.services.train import train
from tickloop.services.work import FitUnit, fit_units, run_fit_unit


def test_slot_gives_a_version_with_params_lineage_and_gate_metrics() -> None:
    """Its metrics are those of its saved files on the gate."""
    ports = filled_ports()

    counts = train(ports, MARKET, SLOT)

    version = ports.registry.versions(MARKET)[-1]
    assert counts == {"candidates": 1, "versions": ["ridge-2"], "pairs": 1380}
    assert version.params["slot_start_ms"] == str(SLOT.start_ms)
    assert version.params["train_end_ms"] == version.params["gate_start_ms"] == str(GATE.start_ms)
    assert version.metrics == score(ports, version, GATE)
    assert version.metrics["skill"] > 0.3
    lineage = ports.registry.lineage[MARKET, "ridge-2"]
    assert lineage["data_last_minute"] == "2024-01-21T17:59:00+00:00"
    assert {"data_sha256", "seed", "tickloop", "python", "numpy", "feature_set"} <= lineage.keys()


def test_persistence_is_the_first_version_of_a_market() -> None:
    """Whatever step is run first."""
    ports = filled_ports()

    train(ports, MARKET, SLOT)

    assert [one.name for one in ports.registry.versions(MARKET)] == ["persistence-1", "ridge-2"]


def test_slot_trained_twice_keeps_its_versions() -> None:
    """Also when a family was added in between: the others stay as they are."""
    ports = filled_ports()
    train(ports, MARKET, SLOT)
    before = ports.registry.files(ports.registry.versions(MARKET)[-1])
    ports.training = ports.training.model_copy(update={"families": ("ridge", "persistence")})

    counts = train(ports, MARKET, SLOT)
    again = train(ports, MARKET, SLOT)

    assert counts["versions"] == again["versions"] == ["ridge-2", "persistence-3"]
    assert ports.registry.files(ports.registry.versions(MARKET)[1]) == before


def test_nothing_of_the_gate_is_learnt() -> None:
    """Other prices in the gate change the metrics and no byte of the model."""
    bars = bouncing_bars(DATA.start_ms, 1800)
    in_gate = pl.col("ts_open").dt.epoch("ms") >= GATE.start_ms
    prices = [
        pl.col(name) * pl.when(in_gate).then(2.0).otherwise(1.0) for name in ("open", "high", "low", "close", "vwap")
    ]
    worlds = [filled_ports(bars), filled_ports(bars.with_columns(prices))]

    for ports in worlds:
        train(ports, MARKET, SLOT)

    versions = [ports.registry.versions(MARKET)[-1] for ports in worlds]
    files = [ports.registry.files(version) for ports, version in zip(worlds, versions, strict=True)]
    assert files[0] == files[1]
    assert versions[0].metrics != versions[1].metrics


def test_stored_vectors_give_the_model_of_computed_ones() -> None:
    """The FEATURE table is the same definition, kept."""
    computed, stored = filled_ports(), filled_ports()
    features_step(stored, MARKET, DATA)

    train(computed, MARKET, SLOT)
    train(stored, MARKET, SLOT)

    versions = [ports.registry.versions(MARKET)[-1] for ports in (computed, stored)]
    assert computed.registry.files(versions[0]) == stored.registry.files(versions[1])
    assert computed.registry.lineage == stored.registry.lineage


@pytest.mark.parametrize(
    ("count", "reason"),
    [
        (300, "240 minutes have a vwap and the features before it, of 300 bars; valid: 500 or more"),
        (1440, "there is no minute with a forecast and a known price; valid: at least one"),  # the gate is empty
        (0, "0 minutes have a vwap and the features before it, of 0 bars; valid: 500 or more"),
    ],
)
def test_too_little_data_gives_no_candidate_and_a_reason(count: int, reason: str) -> None:
    """The slot goes on: promotion then says that the champion stays."""
    ports = filled_ports(bouncing_bars(DATA.start_ms, count))

    counts = train(ports, MARKET, SLOT)

    assert counts == {"candidates": 0, "versions": [], "reason": reason}


def test_family_that_is_not_installed_is_named_before_anything_is_read() -> None:
    """A slip in the settings."""
    ports = filled_ports()
    ports.training = ports.training.model_copy(update={"families": ("ridge", "oracle")})

    with pytest.raises(UsageError, match="'oracle' is not installed"):
        train(ports, MARKET, SLOT)

    assert [one.name for one in ports.registry.versions(MARKET)] == ["persistence-1"]


def test_units_of_work_give_the_versions_that_the_step_gives() -> None:
    """Each can go to another process as it is; the step then finds them all and fits nothing."""
    by_units, by_step = filled_ports(), filled_ports()
    for ports in (by_units, by_step):
        ports.training = ports.training.model_copy(update={"families": ("ridge", "persistence")})

    units = pickle.loads(pickle.dumps(fit_units(by_units, [SLOT])))
    made = [run_fit_unit(by_units, unit)["version"] for unit in units]
    found, trained = train(by_units, MARKET, SLOT), train(by_step, MARKET, SLOT)

    assert units == [FitUnit(MARKET, "ridge", SLOT), FitUnit(MARKET, "persistence", SLOT)]
    assert made == found["versions"] == trained["versions"] == ["ridge-2", "persistence-3"]
    for mine, theirs in zip(by_units.registry.versions(MARKET), by_step.registry.versions(MARKET), strict=True):
        assert by_units.registry.files(mine) == by_step.registry.files(theirs)
        assert (mine.params, mine.metrics) == (theirs.params, theirs.metrics)


def test_unit_that_was_fitted_before_is_left_alone() -> None:
    """As after a lost answer of a worker."""
    ports = filled_ports()
    unit = FitUnit(MARKET, "ridge", SLOT)
    run_fit_unit(ports, unit)

    assert run_fit_unit(ports, unit) == {"version": "ridge-2", "reason": "it was fitted before"}
    assert len(ports.registry.versions(MARKET)) == 2


def test_family_that_another_runner_fits_is_left_to_it() -> None:
    """The step fails, so that it comes again when that one is done."""
    ports = filled_ports()

    with (
        ports.lock.hold("fit-ridge", MARKET, SLOT),
        pytest.raises(WindowBusyError, match="ridge of KRW-BTC is being fitted"),
    ):
        train(ports, MARKET, SLOT)

    assert train(ports, MARKET, SLOT)["versions"] == ["ridge-2"]
