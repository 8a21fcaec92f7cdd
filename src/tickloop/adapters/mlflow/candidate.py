"""One candidate as a run of MLflow: logged in several calls, taken up again where an earlier process stopped."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tickloop.adapters.mlflow import records
from tickloop.adapters.mlflow.client import find_runs

MODEL_FOLDER = "model"


@dataclass(frozen=True)
class Candidate:
    """What a run says of a candidate; its tags hold who it is, where it comes from, and the digest of each file."""

    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    files: Mapping[str, bytes]

    def began(self, run: Any) -> bool:
        """Tell whether a run is this very candidate, as far as it came."""
        tags, params, metrics = run.data.tags, run.data.params, run.data.metrics
        return (
            all(tags.get(key) == value for key, value in self.tags.items())
            and all(self.params.get(key) == value for key, value in params.items())
            and all(self.metrics.get(key) == value for key, value in metrics.items())
        )


def log_candidate(client: Any, experiment: str, candidate: Candidate, now_ms: int) -> str:
    """Give the id of the run that holds the candidate whole, its files last.

    A run without version that an earlier process left is completed if it is the same candidate in all it says;
    else it is closed as killed, and stays as the trial that it was.
    """
    run = _run_left(client, experiment, candidate)
    if run is None:
        title = f"{candidate.tags['family']} {candidate.tags['slot']}"
        run = client.create_run(experiment, now_ms, dict(candidate.tags), title)
    run_id = str(run.info.run_id)
    if run.info.status == "FINISHED":
        return run_id
    metrics = {key: value for key, value in candidate.metrics.items() if key not in run.data.metrics}
    params = {key: value for key, value in candidate.params.items() if key not in run.data.params}
    if metrics or params:
        client.log_batch(run_id, records.to_metrics(metrics, {}), records.to_params(params))
    with tempfile.TemporaryDirectory() as folder:
        for name, content in candidate.files.items():
            (Path(folder) / name).write_bytes(content)
        client.log_artifacts(run_id, folder, MODEL_FOLDER)
    client.set_terminated(run_id, end_time=now_ms)
    return run_id


def _run_left(client: Any, experiment: str, candidate: Candidate) -> Any | None:
    kept = ("kind", "family", "slot")
    where = " and ".join(f"tags.{key} = '{candidate.tags[key]}'" for key in kept)
    found = None
    for run in find_runs(client, experiment, where):
        if found is None and candidate.began(run):
            found = run
        elif run.info.status == "RUNNING":
            client.set_terminated(run.info.run_id, "KILLED")
    return found
