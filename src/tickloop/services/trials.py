"""Trials of searches as rows of the warehouse: kept for good, and counted over all searches."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import polars as pl

from tickloop.domain.tables import TRIAL
from tickloop.domain.trials import Figures, Trial
from tickloop.domain.window import MINUTE_MS, Window
from tickloop.errors import DataError, UsageError
from tickloop.ports import Warehouse


class TrialPorts(Protocol):
    @property
    def warehouse(self) -> Warehouse: ...


def trials_so_far(ports: TrialPorts, market: str, window: Window) -> int:
    """Count the settings that were ever tried on a market over windows that share time with this one.

    A setting is what decides a result but the data: strategy, parameters, mode, model version, fill model, latency and
    budget. One that several searches tried counts once.
    """
    return len(settings_so_far(ports, market, window))


def settings_so_far(ports: TrialPorts, market: str, window: Window) -> set[str]:
    """Give the digests of those settings."""
    before = ports.warehouse.read(TRIAL, market, Window(0, window.end_ms))
    return set(before.filter(pl.col("window_end") > window.start)["setting"])


def rows_of(trials: Sequence[Trial], market: str, window: Window, **texts: Any) -> pl.DataFrame:
    """Give TRIAL rows.

    Args:
        texts: sweep, strategy and config, and `setting`: one digest for each trial.
    """
    setting = texts.pop("setting")
    rows = {
        "market": [market] * len(trials),
        "window_start": [window.start] * len(trials),
        "window_end": [window.end] * len(trials),
        "number": [one.number for one in trials],
        "setting": setting,
        "params": [as_json(one.setting) for one in trials],
        "figures": [as_json(one.figures._asdict()) for one in trials],
        "profits": [one.profits.astype("<f8").tobytes() for one in trials],
    } | {name: [text] * len(trials) for name, text in texts.items()}
    return pl.DataFrame({name: rows[name] for name in TRIAL.columns}, schema=TRIAL.columns)


def trials_of(ports: TrialPorts, sweep: str, config: str, market: str, window: Window) -> list[Trial]:
    """Give the trials that a search has made so far, by number.

    Raises:
        UsageError: if rows of that name belong to another search.
        DataError: if a row cannot be read.
    """
    at_start = Window(window.start_ms, window.start_ms + MINUTE_MS)
    rows = ports.warehouse.read(TRIAL, market, at_start).filter(pl.col("sweep") == sweep).sort("number")
    if rows.filter(pl.col("config") != config).height:
        raise UsageError(
            f"sweep {sweep!r} is of another search, or the data have changed since; valid: the same search, or a name"
            " that is free"
        )
    return [_trial(row) for row in rows.iter_rows(named=True)]


def digest_of(value: Mapping[str, Any]) -> str:
    """Give 16 hexadecimal digits that differ for JSON-ready values that differ."""
    return hashlib.sha256(as_json(value).encode()).hexdigest()[:16]


def as_json(value: Mapping[str, Any]) -> str:
    """Give the one JSON text of a value: equal values give equal texts, and numbers come back to the bit."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _trial(row: Mapping[str, Any]) -> Trial:
    try:
        figures = Figures(**json.loads(row["figures"]))
        profits = np.frombuffer(row["profits"], "<f8").astype(np.float64)
        return Trial(row["number"], json.loads(row["params"]), figures, profits)
    except (TypeError, ValueError) as exc:
        raise DataError(f"trial {row['number']} of sweep {row['sweep']} cannot be read: {exc}") from exc
