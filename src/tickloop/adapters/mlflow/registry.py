"""Experiments and registry in MLflow, through its client alone: on a SQLite file and a folder, or on a server.

In MLflow's words: an experiment and a registered model per market (`tickloop.KRW-BTC`), a run per candidate with its
files under `model/`, aliases `champion` and `previous`, and a run per decision in the experiment `tickloop.decisions`.

Every write may be the last one of a process, or its answer may be lost: the same call again finds by tags what is
there, and goes on. On a file a lock keeps other writers out. A server has none: that one runner at a time trains and
promotes a market's window is the `WindowLock`'s work. Where two register the same candidate all the same, the version
with the lower number stands.
"""

from __future__ import annotations

import hashlib
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tickloop.adapters.mlflow import records
from tickloop.adapters.mlflow.candidate import MODEL_FOLDER, Candidate, log_candidate
from tickloop.adapters.mlflow.client import (
    find_experiment,
    find_runs,
    find_versions,
    made_or_there,
    or_none,
    the_experiment,
)
from tickloop.adapters.mlflow.place import Place
from tickloop.domain.window import Window
from tickloop.errors import DataError
from tickloop.ports import Clock, Decision, ModelVersion


class MlflowRegistry:
    """The registry of all markets. Opened on first use (a new file takes about two seconds); threads may share it.

    Raises:
        MissingExtraError: the extra `registry` is not installed.
        HomeNotWritableError: file or folder cannot be written.
        StoreError: the server refused, and why.
        StoreAwayError: the server cannot be reached; the same call may succeed later.
    """

    def __init__(self, place: Place, clock: Clock, prefix: str = "tickloop") -> None:
        """`prefix` begins the names of our experiments and models: several systems may share a server."""
        self._place = place
        self._clock = clock
        self._prefix = prefix
        self._decisions = f"{prefix}.decisions"
        self._client: Any = None
        self._guard = threading.Lock()

    def register(
        self,
        market: str,
        family: str,
        files: Mapping[str, bytes],
        *,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        lineage: Mapping[str, str],
        slot: Window | None = None,
    ) -> ModelVersion:
        """Log a candidate with its files and register it; the same market, family and slot again gives what is there.

        Raises:
            DataError: a file, parameter or metric has a name that cannot be stored.
        """
        digests = records.digest_tags(files)
        tags = records.identity_tags(family, slot)
        model = self._model(market)
        with self._writing() as client:
            if not find_versions(client, model, tags):
                candidate = Candidate(
                    {"kind": "candidate", "market": market, **tags, **records.lineage_tags(lineage), **digests},
                    {key: str(value) for key, value in params.items()},
                    metrics,
                    files,
                )
                run_id = log_candidate(
                    client, the_experiment(client, model, self._place.artifacts), candidate, self._clock.now_ms()
                )
                if or_none(lambda: client.get_registered_model(model)) is None:
                    made_or_there(lambda: client.create_registered_model(model))
                stamped = tags | {"created_at_ms": str(self._clock.now_ms()), **digests}
                source = f"runs:/{run_id}/{MODEL_FOLDER}"
                client.create_model_version(model, source, run_id, tags=stamped, await_creation_for=0)
            return _version(client, market, _only_version(client, model, tags))

    def log_metrics(self, version: ModelVersion, metrics: Mapping[str, float]) -> None:
        """Add metrics to a version; of one name the last value counts."""
        with self._writing() as client:
            run_id = self._stored(client, version.market, version.name).run_id
            # MLflow takes the value of the highest step for the last one, and the greatest of one step.
            steps = {key: len(client.get_metric_history(run_id, key)) for key in metrics}
            client.log_batch(run_id, metrics=records.to_metrics(metrics, steps))

    def versions(self, market: str) -> list[ModelVersion]:
        """Give all versions of a market, oldest first, with aliases, metrics and params."""
        model = self._model(market)
        with self._reading() as client:
            stored = find_versions(client, model, {})
            if not stored:
                return []
            runs = find_runs(client, find_experiment(client, model), "tags.kind = 'candidate'")
            run_of = {run.info.run_id: run for run in runs}
            aliases = client.get_registered_model(model).aliases
            found = [records.to_version(market, one, run_of[one.run_id]) for one in stored]
        return [records.with_aliases(version, aliases) for version in found]

    def champion(self, market: str) -> ModelVersion | None:
        """Give the version under the alias `champion`, or None when the market has none yet."""
        model = self._model(market)
        with self._reading() as client:
            stored = or_none(lambda: client.get_model_version_by_alias(model, "champion"))
            return None if stored is None else _version(client, market, stored)

    def files(self, version: ModelVersion) -> dict[str, bytes]:
        """Give the files of a version: the very bytes that were registered.

        Raises:
            DataError: naming version and file, if one is missing or has changed.
        """
        with self._reading() as client, tempfile.TemporaryDirectory() as folder:
            stored = self._stored(client, version.market, version.name)
            digests = {key: value for key, value in stored.tags.items() if key.startswith(records.SHA)}
            names = sorted(key.removeprefix(records.SHA) for key in digests)
            files = {name: _fetch(client, version, stored.run_id, name, folder) for name in names}
        for name, content in files.items():
            found, registered = hashlib.sha256(content).hexdigest(), digests[records.SHA + name]
            if found != registered:
                raise _file_error(version, name, f"has changed: its sha256 is {found}, registered was {registered}")
        return files

    def decide(self, decision: Decision) -> None:
        """Store the decision and move the aliases; `champion` moves last.

        A decision that equals the market's last one but for its time is not stored again, so that a step may run
        twice. `previous` None leaves that alias where it is.

        Raises:
            DataError: if `champion` or `previous` is not registered.
        """
        model = self._model(decision.market)
        with self._writing() as client:
            champion = self._stored(client, decision.market, decision.champion)
            previous = None
            if decision.previous is not None:
                previous = self._stored(client, decision.market, decision.previous)
            self._log_decision(client, decision)
            if previous is not None:
                client.set_registered_model_alias(model, "previous", previous.version)
            client.set_registered_model_alias(model, "champion", champion.version)

    def decisions(self, market: str) -> Iterator[Decision]:
        """Yield the decisions of a market, oldest first."""
        with self._reading() as client:
            runs = find_runs(
                client, find_experiment(client, self._decisions), f"tags.market = '{market}'", "tags.sequence ASC"
            )
        yield from map(records.to_decision, runs)

    @contextmanager
    def _reading(self) -> Iterator[Any]:
        with self._guard:
            if self._client is None:
                self._client = self._place.open()
        with self._place.translated():
            yield self._client

    @contextmanager
    def _writing(self) -> Iterator[Any]:
        with self._reading() as client, self._place.writing():
            yield client

    def _model(self, market: str) -> str:
        """Name the registered model of a market, and the experiment of its candidates."""
        return f"{self._prefix}.{market}"

    def _stored(self, client: Any, market: str, name: str) -> Any:
        model, number = self._model(market), name.rpartition("-")[2]
        stored = or_none(lambda: client.get_model_version(model, number))
        if stored is None or records.name_of(stored) != name:
            known = [records.name_of(one) for one in find_versions(client, model, {})]
            raise DataError(f"model version {name!r} of {market} is not registered; valid: {known or 'none'}")
        return stored

    def _log_decision(self, client: Any, decision: Decision) -> None:
        experiment = the_experiment(client, self._decisions, self._place.artifacts)
        where, newest_first = f"tags.market = '{decision.market}'", ["tags.sequence DESC"]
        newest = client.search_runs([experiment], where, max_results=1, order_by=newest_first)
        if newest:
            last = records.to_decision(newest[0])
            if replace(last, decided_at_ms=decision.decided_at_ms) == decision:
                if newest[0].info.status == "RUNNING":  # who logged it did not come to its end
                    client.set_terminated(newest[0].info.run_id, end_time=last.decided_at_ms)
                return
        sequence = records.sequence_of(newest[0]) + 1 if newest else 1
        tags = records.decision_tags(decision, sequence)
        title = f"{decision.market} {decision.champion}"
        run = client.create_run(experiment, decision.decided_at_ms, tags, title)
        client.set_terminated(run.info.run_id, end_time=decision.decided_at_ms)


def _only_version(client: Any, model: str, tags: dict[str, str]) -> Any:
    """Give the oldest version with these tags, whole; one that another writer made at the same moment goes."""
    first, *doubled = find_versions(client, model, tags)
    for version in doubled:
        client.delete_model_version(model, version.version)
    if "name" not in first.tags:
        client.set_model_version_tag(model, first.version, "name", records.name_of(first))
    return client.get_model_version(model, first.version)


def _version(client: Any, market: str, stored: Any) -> ModelVersion:
    return records.to_version(market, stored, client.get_run(stored.run_id))


def _fetch(client: Any, version: ModelVersion, run_id: str, name: str, folder: str) -> bytes:
    from mlflow.exceptions import MlflowException

    try:
        return Path(client.download_artifacts(run_id, f"{MODEL_FOLDER}/{name}", folder)).read_bytes()
    except (OSError, MlflowException) as exc:
        raise _file_error(version, name, f"cannot be read: {exc}") from exc


def _file_error(version: ModelVersion, name: str, what: str) -> DataError:
    return DataError(
        f"model {version.name} of {version.market}: file {name} {what}; promote another version or train again"
    )
