"""Models, their families and their registry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.window import Window


class Model(Protocol):
    """A fitted model: features in, log returns out. Saved without code, loaded without running any."""

    family: str
    feature_set: str

    def predict(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give log(vwap of the target minute / last price), shape (n,), for features of shape (n, f)."""

    def files(self) -> dict[str, bytes]:
        """Give the saved form: file name -> bytes. The same fit on the same platform gives the same bytes."""


class ModelFamily(Protocol):
    """A kind of model, found by the entry-point group `tickloop.models`."""

    name: str

    def fit(
        self,
        features: NDArray[np.float64],
        target: NDArray[np.float64],
        names: Sequence[str],
        feature_set: str,
        seed: int,
    ) -> Model: ...

    def load(self, files: Mapping[str, bytes]) -> Model:
        """Rebuild a model from `Model.files()`; `DataError` names the file and the field that is wrong."""


@dataclass(frozen=True)
class ModelVersion:
    """One registered model of one market. `name` is `family-number`, as stored with forecasts."""

    market: str
    name: str
    number: int
    family: str
    aliases: tuple[str, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    created_at_ms: int = 0


@dataclass(frozen=True)
class Decision:
    """Why the champion of a market is what it is, as of one slot."""

    market: str
    slot_start_ms: int
    champion: str
    previous: str | None
    is_promoted: bool
    reason: str
    scores: Mapping[str, float]
    decided_at_ms: int


class ModelRegistry(Protocol):
    """Experiments and registry in one: what was tried, what is registered, who is champion and why."""

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
        """Log a candidate with its files and register it.

        The same market, family and slot again gives the version that is there.
        """

    def log_metrics(self, version: ModelVersion, metrics: Mapping[str, float]) -> None: ...

    def versions(self, market: str) -> list[ModelVersion]:
        """Give all versions of a market, oldest first, with aliases, metrics and params."""

    def champion(self, market: str) -> ModelVersion | None: ...

    def files(self, version: ModelVersion) -> dict[str, bytes]: ...

    def decide(self, decision: Decision) -> None:
        """Store the decision and move the aliases `champion` and `previous`; the alias moves last."""

    def decisions(self, market: str) -> Iterator[Decision]:
        """Yield the decisions of a market, oldest first."""
