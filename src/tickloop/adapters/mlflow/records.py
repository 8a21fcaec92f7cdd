"""Our values in MLflow's words, both ways."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from tickloop.domain.window import Window
from tickloop.errors import DataError
from tickloop.ports import Decision, ModelVersion

SHA = "sha256."
_LINEAGE = "lineage."
_FILE_NAME = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")


def identity_tags(family: str, slot: Window | None) -> dict[str, str]:
    """Give the tags by which a candidate that is registered again is known."""
    return {"family": family, "slot": "none" if slot is None else str(slot)}


def lineage_tags(lineage: Mapping[str, str]) -> dict[str, str]:
    return {_LINEAGE + key: value for key, value in lineage.items()}


def digest_tags(files: Mapping[str, bytes]) -> dict[str, str]:
    """Give one tag per file; `DataError` for a file name that could lead out of the model's folder."""
    wrong = [name for name in files if _FILE_NAME.match(name) is None]
    if wrong:
        raise DataError(f"model file {wrong[0]!r} cannot be stored; valid: a plain name such as 'model.json'")
    return {SHA + name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def to_params(params: Mapping[str, Any]) -> list[Any]:
    from mlflow.entities import Param

    return [Param(key, str(value)) for key, value in params.items()]


def to_metrics(metrics: Mapping[str, float], steps: Mapping[str, int]) -> list[Any]:
    """Give MLflow's metrics, stamped with real time as everywhere in MLflow; a name without step gets step 0."""
    from mlflow.entities import Metric

    now_ms = time.time_ns() // 1_000_000
    return [Metric(key, float(value), now_ms, steps.get(key, 0)) for key, value in metrics.items()]


def name_of(stored: Any) -> str:
    return f"{stored.tags['family']}-{stored.version}"


def to_version(market: str, stored: Any, run: Any) -> ModelVersion:
    """Build our value from MLflow's model version (with its aliases) and the run that made it."""
    return ModelVersion(
        market=market,
        name=name_of(stored),
        number=int(stored.version),
        family=stored.tags["family"],
        aliases=tuple(sorted(stored.aliases)),
        metrics=dict(run.data.metrics),
        params=dict(run.data.params),
        created_at_ms=int(stored.tags["created_at_ms"]),
    )


def with_aliases(version: ModelVersion, numbers: Mapping[str, int | str]) -> ModelVersion:
    """Add the aliases that a registered model maps to version numbers."""
    return replace(
        version, aliases=tuple(sorted(key for key, number in numbers.items() if int(number) == version.number))
    )


def decision_tags(decision: Decision, sequence: int) -> dict[str, str]:
    """Give the tags of a decision's run: the whole as JSON, and what one looks for in MLflow's own pages."""
    return {
        "kind": "decision",
        "market": decision.market,
        "sequence": f"{sequence:09d}",  # as text in the order of numbers
        "is_promoted": str(decision.is_promoted).lower(),
        "champion": decision.champion,
        "decision": msgspec.json.encode(decision).decode(),
        "mlflow.note.content": decision.reason,
    }


def to_decision(run: Any) -> Decision:
    return msgspec.json.decode(run.data.tags["decision"], type=Decision)


def sequence_of(run: Any) -> int:
    return int(run.data.tags["sequence"])
