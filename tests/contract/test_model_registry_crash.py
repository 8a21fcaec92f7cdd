"""A process that dies at any write of the registry, and its successor: nothing lost, nothing doubled."""

from __future__ import annotations

import signal
import subprocess
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fakes import START_MS, FixedClock
from mlflow_crashes import Crash, WatchedPlace, crash_after, crash_before
from tickloop.adapters.mlflow.client import find_experiment, find_runs, find_versions
from tickloop.adapters.mlflow.place import FilePlace, Place
from tickloop.adapters.mlflow.registry import MlflowRegistry
from tickloop.adapters.mlflow.server import ServerPlace
from tickloop.domain.window import HOUR_MS, Window
from tickloop.ports import Decision, ModelVersion

SLOT = Window(START_MS, START_MS + 6 * HOUR_MS)
FILES = {"booster.txt": b"tree\r\n\x00\xff", "model.json": b'{"weights": [0.125]}'}
DECISION = Decision(
    market="KRW-BTC",
    slot_start_ms=SLOT.start_ms,
    champion="ridge-1",
    previous="ridge-1",
    is_promoted=True,
    reason="it is better",
    scores={"ridge-1": 2.25},
    decided_at_ms=SLOT.end_ms,
)
WRITES = [
    "create_experiment",
    "create_run",
    "log_batch",
    "put booster.txt",
    "put model.json",
    "set_terminated",
    "create_registered_model",
    "create_model_version",
    "set_model_version_tag",
    "create_experiment",
    "create_run",
    "set_terminated",
    "set_registered_model_alias",
    "set_registered_model_alias",
]
KILLED = """
import sys

sys.path.insert(0, sys.argv[1])
import fakes
import mlflow_crashes
import test_model_registry_crash as story
from tickloop.adapters.mlflow.place import FilePlace
from tickloop.adapters.mlflow.server import ServerPlace
from pathlib import Path

_, _, where, prefix, method = sys.argv
place = ServerPlace(where) if where.startswith("http") else FilePlace(Path(where) / "killed", Path(where) / "files")
story.tell(mlflow_crashes.WatchedPlace(place, mlflow_crashes.kill_before(method)), prefix)
"""


@dataclass
class Spot:
    """A kind of place, and where the next registry begins anew in it."""

    place: Callable[[str], Place]

    def new(self) -> tuple[Place, str]:
        prefix = f"test-{uuid.uuid4().hex}"
        return self.place(prefix), prefix


@pytest.fixture(params=["file", pytest.param("server", marks=pytest.mark.server)])
def spot(request: pytest.FixtureRequest, tmp_path: Path) -> Spot:
    if request.param == "server":
        server = ServerPlace(request.getfixturevalue("mlflow_server"))
        return Spot(lambda prefix: server)
    return Spot(lambda prefix: FilePlace(tmp_path / "mlflow.sqlite", tmp_path / "artifacts"))


def tell(place: Place, prefix: str, files: dict[str, bytes] = FILES, alpha: float = 0.5) -> ModelVersion:
    """Register a candidate and decide for it, as the steps do."""
    registry = MlflowRegistry(place, FixedClock(), prefix)
    made = registry.register(
        "KRW-BTC",
        "ridge",
        files,
        params={"alpha": alpha, "seed": 7},
        metrics={"mae_bp": 2.25},
        lineage={"revision": "abc"},
        slot=SLOT,
    )
    registry.decide(DECISION)
    return made


def everything(place: Place, prefix: str) -> dict[str, Any]:
    """Give all that MLflow holds of a registry but ids and real times."""
    client = place.open()
    model = f"{prefix}.KRW-BTC"
    registry = MlflowRegistry(place, FixedClock(), prefix)
    runs = {name: find_runs(client, find_experiment(client, name), "") for name in (model, f"{prefix}.decisions")}
    return {
        "runs": {name.removeprefix(prefix): sorted(map(shown, found)) for name, found in runs.items()},
        "history": [len(client.get_metric_history(run.info.run_id, "mae_bp")) for run in runs[model]],
        "tags": [dict(version.tags) for version in find_versions(client, model, {})],
        "versions": registry.versions("KRW-BTC"),
        "files": [registry.files(version) for version in registry.versions("KRW-BTC")],
        "decisions": list(registry.decisions("KRW-BTC")),
    }


def shown(run: Any) -> str:
    tags = {key: value for key, value in run.data.tags.items() if not key.startswith("mlflow.")}
    info = run.info
    return repr((info.status, info.start_time, info.end_time, sorted(tags.items()), run.data.params, run.data.metrics))


def undisturbed(spot: Spot) -> dict[str, Any]:
    place, prefix = spot.new()
    watched = WatchedPlace(place, lambda at, name, call: call())
    tell(watched, prefix)
    assert watched.writes == WRITES
    return everything(place, prefix)


@pytest.mark.parametrize("crash", [crash_before, crash_after])
def test_registry_after_a_crash_at_any_write_equals_one_without(
    spot: Spot, crash: Callable[[int], Callable[[int, str, Callable[[], Any]], Any]]
) -> None:
    """Each write in turn, sent or not; the successor does the same again."""
    expected = undisturbed(spot)

    for number, name in enumerate(WRITES, start=1):
        place, prefix = spot.new()
        with suppress(Crash):
            tell(WatchedPlace(place, crash(number)), prefix)
        tell(place, prefix)

        assert everything(place, prefix) == expected, f"died at write {number}, {name}"


def test_registry_after_kill_9_equals_one_without(
    spot: Spot, tmp_path: Path, start_python: Callable[..., subprocess.Popen[str]], request: pytest.FixtureRequest
) -> None:
    """The run is logged, the version not made."""
    expected = undisturbed(spot)
    _, prefix = spot.new()
    is_server = "server" in request.node.callspec.id
    where = request.getfixturevalue("mlflow_server") if is_server else tmp_path
    tests = Path(__file__).parents[1]
    process = start_python(
        f"import sys; sys.path.insert(0, {str(tests / 'contract')!r})\n{KILLED}",
        tests,
        where,
        prefix,
        "create_model_version",
    )
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL

    place = ServerPlace(where) if is_server else FilePlace(tmp_path / "killed", tmp_path / "files")
    tell(place, prefix)

    assert everything(place, prefix) == expected


def test_run_that_was_left_with_other_content_stays_a_trial(spot: Spot) -> None:
    """The successor has other parameters and files: its version shows those alone, and the run left is closed."""
    place, prefix = spot.new()
    with suppress(Crash):
        tell(WatchedPlace(place, crash_before(5)), prefix, {"old.json": b"old", "model.json": b"1"}, alpha=0.1)

    made = tell(place, prefix)

    registry = MlflowRegistry(place, FixedClock(), prefix)
    assert registry.files(made) == FILES
    assert registry.versions("KRW-BTC")[0].params == {"alpha": "0.5", "seed": "7"}
    client = place.open()
    runs = find_runs(client, find_experiment(client, f"{prefix}.KRW-BTC"), "")
    assert sorted(run.info.status for run in runs) == ["FINISHED", "KILLED"]


@pytest.mark.server
def test_file_and_server_hold_the_same(mlflow_server: str, tmp_path: Path) -> None:
    """Files to the byte, digests, names, runs, aliases and decisions."""
    places = FilePlace(tmp_path / "mlflow.sqlite", tmp_path / "artifacts"), ServerPlace(mlflow_server)
    prefix = f"test-{uuid.uuid4().hex}"
    for place in places:
        tell(place, prefix)

    on_file, on_server = (everything(place, prefix) for place in places)

    assert on_server == on_file
    assert on_server["files"] == [FILES]


@pytest.mark.server
@pytest.mark.parametrize("method", ["create_run", "create_registered_model", "create_model_version"])
def test_two_writers_of_one_candidate_on_a_server_end_with_one_version(mlflow_server: str, method: str) -> None:
    """What the window lock excludes; were it lost, the version with the lower number would stand for both."""
    prefix = f"test-{uuid.uuid4().hex}"
    place = ServerPlace(mlflow_server)
    others: list[ModelVersion] = []

    def let_other_in(at: int, name: str, call: Callable[[], Any]) -> Any:
        if name == method and not others:
            others.append(tell(place, prefix))
        return call()

    made = tell(WatchedPlace(place, let_other_in), prefix)

    assert [other.name for other in others] == [made.name] == ["ridge-1"]
    found = everything(place, prefix)
    assert [version.aliases for version in found["versions"]] == [("champion", "previous")]
    assert found["files"] == [FILES]
    assert found["decisions"] == [DECISION]
