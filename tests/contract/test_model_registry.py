"""What every model registry does, then what the one of MLflow does with its files and processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fakes import START_MS, FixedClock
from tickloop.adapters.mlflow.place import FilePlace
from tickloop.adapters.mlflow.registry import MlflowRegistry
from tickloop.domain.window import HOUR_MS, Window
from tickloop.errors import DataError, HomeNotWritableError, MissingExtraError
from tickloop.ports import Decision, ModelRegistry, ModelVersion

SLOT = Window(START_MS, START_MS + 6 * HOUR_MS)
NEXT_SLOT = Window(START_MS + 6 * HOUR_MS, START_MS + 12 * HOUR_MS)
FILES = {"model.json": b'{"weights": [0.125]}', "booster.txt": b"tree\r\n\x00\xff"}
REGISTER = """
import sys
from pathlib import Path

from tickloop.adapters.local.clock import SystemClock
from tickloop.adapters.mlflow.place import FilePlace
from tickloop.adapters.mlflow.registry import MlflowRegistry

home = Path(sys.argv[1])
registry = MlflowRegistry(FilePlace(home / "mlflow.sqlite", home / "artifacts"), SystemClock())
made = registry.register("KRW-BTC", "persistence", {"model.json": b"{}"}, params={}, metrics={}, lineage={})
print(made.name)
"""


def register(
    registry: ModelRegistry, family: str = "ridge", slot: Window | None = SLOT, market: str = "KRW-BTC"
) -> ModelVersion:
    return registry.register(
        market,
        family,
        FILES,
        params={"alpha": 0.5, "seed": 7},
        metrics={"mae_bp": 2.25},
        lineage={"data": "2024-01-22T00..T06", "revision": "abc"},
        slot=slot,
    )


def decision(champion: str, previous: str | None = None, reason: str = "it is better", slot: Window = SLOT) -> Decision:
    return Decision(
        market="KRW-BTC",
        slot_start_ms=slot.start_ms,
        champion=champion,
        previous=previous,
        is_promoted=previous is not None,
        reason=reason,
        scores={champion: 2.25},
        decided_at_ms=slot.end_ms,
    )


def test_registered_model_is_named_by_family_and_number(registry: ModelRegistry) -> None:
    """The number counts the versions of the market, over all families."""
    first = register(registry, "persistence", None)
    second = register(registry, "ridge")
    other = register(registry, "ridge", market="KRW-ETH")

    assert (first.name, second.name, other.name) == ("persistence-1", "ridge-2", "ridge-1")
    assert second == ModelVersion(
        market="KRW-BTC",
        name="ridge-2",
        number=2,
        family="ridge",
        aliases=(),
        metrics={"mae_bp": 2.25},
        params={"alpha": "0.5", "seed": "7"},
        created_at_ms=START_MS,
    )


def test_files_are_the_bytes_that_were_registered(registry: ModelRegistry) -> None:
    """The promoted bytes are the tested bytes."""
    version = register(registry)

    assert registry.files(version) == FILES


def test_same_market_family_and_slot_again_is_the_same_version(registry: ModelRegistry, clock: FixedClock) -> None:
    """A training step that runs twice leaves one candidate; no slot counts as a slot too."""
    first = register(registry)
    baseline = register(registry, slot=None)
    clock.advance(60_000)

    again = register(registry)
    later = register(registry, slot=NEXT_SLOT)

    assert again == first
    assert register(registry, slot=None) == baseline
    assert [version.name for version in registry.versions("KRW-BTC")] == ["ridge-1", "ridge-2", "ridge-3"]
    assert later.created_at_ms == START_MS + 60_000


def test_market_without_models_has_no_champion(registry: ModelRegistry) -> None:
    """Nothing there is an answer, not an error."""
    assert registry.versions("KRW-BTC") == []
    assert registry.champion("KRW-BTC") is None
    assert list(registry.decisions("KRW-BTC")) == []

    register(registry)

    assert registry.champion("KRW-BTC") is None


def test_decision_moves_both_aliases(registry: ModelRegistry) -> None:
    """The former champion stays at hand for a rollback."""
    register(registry, "persistence", None)
    register(registry, "ridge")
    registry.decide(decision("persistence-1"))

    registry.decide(decision("ridge-2", "persistence-1"))

    champion = registry.champion("KRW-BTC")
    assert champion is not None
    assert (champion.name, champion.aliases) == ("ridge-2", ("champion",))
    assert champion.metrics == {"mae_bp": 2.25}
    assert [version.aliases for version in registry.versions("KRW-BTC")] == [("previous",), ("champion",)]
    assert registry.champion("KRW-ETH") is None


def test_decision_without_previous_leaves_that_alias(registry: ModelRegistry) -> None:
    """The champion that stays does not lose the version behind it."""
    register(registry, "persistence", None)
    register(registry, "ridge")
    registry.decide(decision("ridge-2", "persistence-1"))

    registry.decide(decision("ridge-2", reason="no challenger is better", slot=NEXT_SLOT))

    assert [version.aliases for version in registry.versions("KRW-BTC")] == [("previous",), ("champion",)]


def test_decisions_come_back_whole_and_oldest_first(registry: ModelRegistry) -> None:
    """In the order in which they were made, also when market time stood still."""
    register(registry, "persistence", None)
    register(registry, "ridge")
    made = [
        decision("persistence-1", reason="the registry starts with it"),
        decision("ridge-2", "persistence-1"),
        decision("persistence-1", "ridge-2", reason="rollback"),
    ]

    for one in made:
        registry.decide(one)

    assert list(registry.decisions("KRW-BTC")) == made
    assert list(registry.decisions("KRW-ETH")) == []


def test_decision_of_a_step_that_runs_twice_is_stored_once(registry: ModelRegistry) -> None:
    """Equal but for the time at which it was made."""
    register(registry)
    first = decision("ridge-1")
    registry.decide(first)

    registry.decide(replace(first, decided_at_ms=first.decided_at_ms + 5))

    assert list(registry.decisions("KRW-BTC")) == [first]


def test_unknown_version_cannot_become_champion(registry: ModelRegistry) -> None:
    """Neither decision nor alias is written."""
    register(registry)
    registry.decide(decision("ridge-1"))

    for champion, previous in (("ridge-9", "ridge-1"), ("lightgbm-1", None), ("ridge-1", "ridge-0")):
        with pytest.raises(DataError, match=r"of KRW-BTC is not registered; valid: \['ridge-1'\]"):
            registry.decide(decision(champion, previous))

    assert list(registry.decisions("KRW-BTC")) == [decision("ridge-1")]


def test_last_value_of_a_metric_counts(registry: ModelRegistry) -> None:
    """Also when it is the smaller one; other metrics stay."""
    version = register(registry)

    registry.log_metrics(version, {"mae_bp": 3.5, "gate_mae_bp": 4.0})
    registry.log_metrics(version, {"mae_bp": 1.5})

    assert registry.versions("KRW-BTC")[0].metrics == {"mae_bp": 1.5, "gate_mae_bp": 4.0}


def only_file(folder: Path, name: str) -> Path:
    (path,) = folder.rglob(name)
    return path


def test_changed_file_of_a_model_is_refused(mlflow_registry: MlflowRegistry, tmp_path: Path) -> None:
    """The message names version, market and file."""
    version = register(mlflow_registry)
    only_file(tmp_path / "artifacts", "model.json").write_bytes(b'{"weights": [0.126]}')

    with pytest.raises(DataError, match=r"model ridge-1 of KRW-BTC: file model\.json has changed: its sha256"):
        mlflow_registry.files(version)


def test_missing_file_of_a_model_is_refused(mlflow_registry: MlflowRegistry, tmp_path: Path) -> None:
    """The message names version, market and file."""
    version = register(mlflow_registry)
    only_file(tmp_path / "artifacts", "booster.txt").unlink()

    with pytest.raises(DataError, match=r"model ridge-1 of KRW-BTC: file booster\.txt cannot be read"):
        mlflow_registry.files(version)


def test_file_name_cannot_lead_out_of_the_model(mlflow_registry: MlflowRegistry) -> None:
    """It is refused before anything is logged."""
    with pytest.raises(DataError, match=r"model file '\.\./x' cannot be stored"):
        mlflow_registry.register("KRW-BTC", "ridge", {"../x": b""}, params={}, metrics={}, lineage={})

    assert mlflow_registry.versions("KRW-BTC") == []


def test_what_mlflow_refuses_is_a_data_error(mlflow_registry: MlflowRegistry) -> None:
    """A metric's name with a character that MLflow does not take."""
    with pytest.raises(DataError, match=r"the model registry refused a value: .*mae\(bp\)"):
        mlflow_registry.register("KRW-BTC", "ridge", FILES, params={}, metrics={"mae(bp)": 1.0}, lineage={})


def test_registry_reads_what_another_instance_wrote(
    mlflow_registry: MlflowRegistry, tmp_path: Path, clock: FixedClock
) -> None:
    """The API polls what the pipeline promotes."""
    reader = MlflowRegistry(FilePlace(tmp_path / "mlflow.sqlite", tmp_path / "artifacts"), clock)
    assert reader.champion("KRW-BTC") is None
    register(mlflow_registry)

    mlflow_registry.decide(decision("ridge-1"))

    champion = reader.champion("KRW-BTC")
    assert champion is not None
    assert reader.files(champion) == FILES


def test_processes_that_start_at_once_make_one_registry(
    tmp_path: Path, start_python: Callable[..., subprocess.Popen[str]]
) -> None:
    """Neither meets the other's half-made tables, and both get the one version."""
    processes = [start_python(REGISTER, tmp_path) for _ in range(2)]

    outputs = [process.communicate(timeout=120)[0] for process in processes]

    assert outputs == ["persistence-1\n", "persistence-1\n"]


def test_registry_without_mlflow_names_the_extra(
    tmp_path: Path, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The core installs without it."""
    monkeypatch.setitem(sys.modules, "mlflow", None)

    with pytest.raises(MissingExtraError, match=r"model registry needs the extra 'registry'"):
        MlflowRegistry(FilePlace(tmp_path / "mlflow.sqlite", tmp_path / "artifacts"), clock).champion("KRW-BTC")

    assert not (tmp_path / "mlflow.sqlite").exists()


def test_place_that_takes_no_registry_asks_the_operator(tmp_path: Path, clock: FixedClock) -> None:
    """At once: MLflow alone would try again for minutes."""
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.sqlite").write_text("not a database, but long enough to look at " * 20)

    with pytest.raises(HomeNotWritableError, match="cannot be written"):
        MlflowRegistry(FilePlace(tmp_path / "file" / "mlflow.sqlite", tmp_path), clock).champion("KRW-BTC")
    with pytest.raises(HomeNotWritableError, match="unable to open database file"):
        MlflowRegistry(FilePlace(tmp_path / "folder", tmp_path), clock).champion("KRW-BTC")
    with pytest.raises(DataError, match=r"text\.sqlite is not a database of ours"):
        MlflowRegistry(FilePlace(tmp_path / "text.sqlite", tmp_path), clock).champion("KRW-BTC")
