"""Back-test the strategy with forecasts that were made out of sample, and keep what came out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from tickloop.domain.backtest_bars import run_buy_and_hold, run_nothing
from tickloop.domain.backtest_book import Book
from tickloop.domain.backtest_inputs import Inputs, result_for
from tickloop.domain.backtest_result import BacktestResult, result_of
from tickloop.domain.strategy import PRESETS, Params, default, params_of
from tickloop.domain.strategy_bars import BAR_FILLS
from tickloop.domain.tables import BACKTEST
from tickloop.domain.tape import BarTape, forecast_series
from tickloop.domain.training import slot_windows
from tickloop.domain.window import Window
from tickloop.errors import NotEnoughDataError
from tickloop.ports import ModelVersion
from tickloop.services.backtest_run import bars_in
from tickloop.services.promote import BASELINE_FAMILY, is_of_slot
from tickloop.services.scoring import forecasts_over
from tickloop.services.steps import StepPorts

BUY_AND_HOLD = "buy_and_hold"
DO_NOTHING = "do_nothing"
BAR_STRATEGIES = (*PRESETS, BUY_AND_HOLD, DO_NOTHING)


def backtest(ports: StepPorts, market: str, window: Window) -> dict[str, Any]:
    """Back-test champion, the slot's candidates and persistence over the slot's gate window, in bar mode.

    One BACKTEST row per version and strategy of BAR_STRATEGIES, and the profits as metrics of the version.

    Args:
        window: the slot.

    Raises:
        NotEnoughDataError: if no version is registered, or the gate window has no settled bar.
    """
    gate = slot_windows(window, ports.training.training_hours, ports.training.gate_hours).gate
    versions = _versions_of(ports, market, window)
    bars = bars_in(ports, market, gate)
    presets = {name: params_of(name, market, gate.start_ms) for name in PRESETS}
    rows = []
    for version in versions:
        forecasts = forecasts_over(ports, version, gate)
        results = bar_results(bars, forecasts, version.name, _budget(ports), presets)
        rows += [_row(window, gate, result) for result in results.values()]
        ports.registry.log_metrics(version, _metrics(results))
    ports.warehouse.upsert(BACKTEST, pl.DataFrame(rows, schema=BACKTEST.columns))
    return {"versions": len(versions), "strategies": len(BAR_STRATEGIES), "bars": len(bars.ts_ms), "rows": len(rows)}


def bar_results(
    bars: BarTape, forecasts: pl.DataFrame, version: str, budget: float, presets: Mapping[str, Params]
) -> dict[str, BacktestResult]:
    """Run every bar strategy over the same minutes.

    Args:
        forecasts: FORECAST rows of one version.
        presets: parameters by strategy name; buy and hold takes the fee of the first.

    Returns:
        Results by name of strategy, as in BAR_STRATEGIES; each summary carries `mean_forecast_bp`, the mean absolute
        move forecast in basis points (None without forecasts).
    """
    inputs = Inputs(bars.market, bars, None, forecast_series(forecasts, delay_ms=0), version, "bars")
    results = {name: result_for(inputs, default, params, BAR_FILLS, budget, name) for name, params in presets.items()}
    first = next(iter(results.values()))
    results[BUY_AND_HOLD] = _beside(first, BUY_AND_HOLD, run_buy_and_hold(bars, first.setup.params, budget), inputs)
    results[DO_NOTHING] = _beside(first, DO_NOTHING, run_nothing(budget), inputs)
    seen = {"mean_forecast_bp": _mean_move_bp(forecasts)}
    return {name: replace(result, extra=result.extra | seen) for name, result in results.items()}


def _beside(result: BacktestResult, name: str, book: Book, inputs: Inputs) -> BacktestResult:
    """Read the book of a yardstick that ran over the same minutes as a result, at its costs."""
    setup = replace(result.setup, strategy=name)
    read = result_of(book, setup, inputs.minutes, result.buy_and_hold_krw)
    return replace(read, extra=result.extra)


def _versions_of(ports: StepPorts, market: str, slot: Window) -> list[ModelVersion]:
    champion = ports.registry.champion(market)
    kept = [
        version
        for version in ports.registry.versions(market)
        if is_of_slot(version, slot)
        or (version.family == BASELINE_FAMILY and "slot_start_ms" not in version.params)
        or (champion is not None and version.name == champion.name)
    ]
    if not kept:
        raise NotEnoughDataError(f"no model of {market} is registered for slot {slot}; run the step train first")
    return kept


def _budget(ports: StepPorts) -> float:
    return float(ports.strategy.budget)


def _mean_move_bp(forecasts: pl.DataFrame) -> float | None:
    if forecasts.is_empty():
        return None
    return round(float(np.abs(forecasts["log_return"].to_numpy()).mean()) * 1e4, 4)


def _row(slot: Window, gate: Window, result: BacktestResult) -> dict[str, Any]:
    return {
        "market": result.setup.market,
        "slot": slot.start,
        "model_version": result.setup.model_version,
        "strategy": result.setup.strategy,
        "window_start": gate.start,
        "window_end": gate.end,
        "result": json.dumps(result.summary(), sort_keys=True, allow_nan=False),
    }


def _metrics(results: Mapping[str, BacktestResult]) -> dict[str, float]:
    metrics = {f"profit_{name}_krw": round(result.profit_krw, 4) for name, result in results.items()}
    metrics |= {f"trades_{name}": float(results[name].trips.height) for name in PRESETS}
    return metrics
