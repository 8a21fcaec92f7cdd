"""Is the MLflow server fit for work? Asked by doing what the registry does."""

from __future__ import annotations

import tempfile
import uuid
from pathlib import Path

from tickloop.adapters.mlflow.client import the_experiment
from tickloop.adapters.mlflow.server import ServerPlace
from tickloop.errors import StoreError

_FILE = "doctor.txt"


def check_mlflow(place: ServerPlace, prefix: str = "tickloop") -> str:
    """Log a run with one file, read it back, delete both; give a line on what was found.

    The run is deleted as MLflow deletes: `mlflow gc` on the server takes it away for good.

    Raises:
        StoreError: a step failed; the message names the setting and the remedy.
    """
    client = place.open()
    content = uuid.uuid4().hex.encode()
    with place.translated(), tempfile.TemporaryDirectory() as folder:
        experiment = the_experiment(client, f"{prefix}.doctor", place.artifacts)
        run_id = client.create_run(experiment, tags={"kind": "doctor"}).info.run_id
        try:
            (Path(folder) / _FILE).write_bytes(content)
            client.log_artifacts(run_id, folder)
            found = Path(client.download_artifacts(run_id, _FILE, folder)).read_bytes()
            client.delete_artifacts(run_id, _FILE)
        finally:
            client.delete_run(run_id)
    if found != content:
        raise StoreError(f"{client.server} gave back another file than it was given; see its --artifacts-destination")
    return f"MLflow {client.version}: run and file written, read back, deleted"
