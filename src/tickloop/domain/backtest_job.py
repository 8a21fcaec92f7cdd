"""What is to be back-tested, as plain values: a job goes to another process or machine as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tickloop.domain.backtest_result import Mode
from tickloop.domain.window import Window
from tickloop.errors import UsageError

MODES: tuple[Mode, ...] = ("bars", "ticks")

MAX_LATENCY_MS = 600_000
"""Ten minutes: beyond that an order is not late but forgotten."""


@dataclass(frozen=True)
class Job:
    """One strategy over one market and window.

    Attributes:
        window: [start, end).
        strategy: `NAME` of a shipped or installed one, or `PATH.py:NAME`.
        values: parameters by name, set over the preset's.
        version: the model version whose forecasts are used; None takes the champion.
        latency_ms: None takes the fill model's own; bar mode has none.
        budget: KRW at the start; None takes the home's.
        allow_unknown: run although some minutes of the window are not settled; the result then says how many.
    """

    market: str
    window: Window
    strategy: str = "default"
    preset: str = "default"
    values: Mapping[str, float] = field(default_factory=dict)
    mode: Mode = "bars"
    version: str | None = None
    fill_model: str = "spread"
    latency_ms: int | None = None
    budget: float | None = None
    allow_unknown: bool = False

    def __post_init__(self) -> None:
        """Raise UsageError for a value that no run can have."""
        if self.mode not in MODES:
            raise UsageError(f"mode {self.mode!r} is not known; valid: {', '.join(MODES)}")
        if self.latency_ms is not None and not 0 <= self.latency_ms <= MAX_LATENCY_MS:
            raise UsageError(f"latency {self.latency_ms} ms is not valid; valid: 0 to {MAX_LATENCY_MS}")
        if self.latency_ms is not None and self.mode == "bars":
            raise UsageError(f"latency {self.latency_ms} ms has no meaning in bar mode; valid: mode ticks, or none")
        if self.budget is not None and not 0.0 < self.budget < float("inf"):
            raise UsageError(f"budget {self.budget} KRW is not valid; valid: a finite amount above 0")

    def with_values(self, values: Mapping[str, float]) -> Job:
        """Give the same job with some parameters set over those it has."""
        return replace(self, values={**self.values, **values})

    def as_dict(self) -> dict[str, Any]:
        """Give JSON-ready values that `job_from` reads."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return plain | {"window": [self.window.start_ms, self.window.end_ms], "values": dict(self.values)}


def job_from(plain: Mapping[str, Any]) -> Job:
    """Read what `Job.as_dict` gave.

    Raises:
        UsageError: if a field is unknown, missing or has a value that no run can have.
    """
    try:
        start_ms, end_ms = plain["window"]
        return Job(**{**plain, "window": Window(start_ms, end_ms)})
    except (KeyError, TypeError, ValueError) as exc:
        raise UsageError(f"job {dict(plain)} cannot be read: {exc}; valid: the fields of Job") from exc
