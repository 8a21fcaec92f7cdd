"""Back-test the strategy with forecasts that were made out of sample, and keep what came out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from tickloop.domain.backtest import run_ticks
from tickloop.domain.backtest_bars import run_bars, run_buy_and_hold, run_nothing
from tickloop.domain.backtest_book import Book
from tickloop.domain.backtest_result import BacktestResult, Minutes, Mode, Setup, result_of
from tickloop.domain.fills import FILL_MODELS, FillModel
from tickloop.domain.market import MinuteState
from tickloop.domain.strategy import PRESETS, Params, params_of
from tickloop.domain.tables import BACKTEST, BAR_1M, LEDGER, TRADE
from tickloop.domain.tape import BarTape, ForecastSeries, Tape, bars_of, forecast_series, tape_of
from tickloop.domain.training import slot_windows
from tickloop.domain.window import MINUTE_MS, Window, to_datetime
from tickloop.errors import DataError, NotEnoughDataError, UsageError
from tickloop.ports import ModelVersion
from tickloop.services.promote import BASELINE_FAMILY, is_of_slot
from tickloop.services.scoring import forecasts_over
from tickloop.services.steps import StepPorts

BUY_AND_HOLD = "buy_and_hold"
DO_NOTHING = "do_nothing"
BAR_STRATEGIES = (*PRESETS, BUY_AND_HOLD, DO_NOTHING)

_BAR_FILLS = "bar"
_REFUSED = (MinuteState.CANDLE.value, MinuteState.UNKNOWN.value)
_SHOWN_MINUTES = 5


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
    bars = _bars(ports, market, gate)
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
    series = forecast_series(forecasts, delay_ms=0)
    any_params = next(iter(presets.values()))
    books: dict[str, tuple[Params, Book]] = {
        **{name: (params, run_bars(bars, series, params, budget)) for name, params in presets.items()},
        BUY_AND_HOLD: (any_params, run_buy_and_hold(bars, any_params, budget)),
        DO_NOTHING: (any_params, run_nothing(budget)),
    }
    results = {
        name: _bar_result(bars, book, Setup(bars.market, name, version, "bars", True, _BAR_FILLS, 0, budget, params))
        for name, (params, book) in books.items()
    }
    shared = {"forecasts": forecasts.height, "mean_forecast_bp": _mean_move_bp(forecasts)}
    held = results[BUY_AND_HOLD].profit_krw
    return {name: replace(result, buy_and_hold_krw=held, extra=shared) for name, result in results.items()}


def backtest_window(
    ports: StepPorts,
    market: str,
    window: Window,
    version_name: str | None,
    preset: str,
    mode: Mode,
    latency_ms: int | None = None,
    *,
    fill_model: str = "spread",
    is_path_invented: bool = False,
) -> BacktestResult:
    """Back-test one version over any window; nothing is stored.

    The window may overlap what the version was trained on; whoever asks must know.

    Args:
        version_name: None takes the champion.
        mode: `bars` reads bars and assumes the path inside a minute; `ticks` reads trades and refuses minutes whose
            trades are not complete.
        latency_ms: None takes the fill model's own; bar mode has none.
        is_path_invented: the caller's word that the trades of this window were made from candles.

    Raises:
        UsageError: for an unknown version, preset, mode or fill model, or a negative latency.
        DataError: in tick mode, naming the minutes whose state is candle, unknown or not settled.
        NotEnoughDataError: if the window has no data.
    """
    if mode not in ("bars", "ticks"):
        raise UsageError(f"mode {mode!r} is not known; valid: bars, ticks")
    version = _version(ports, market, version_name)
    params = params_of(preset, market, window.start_ms, ports.strategy.order_notional)
    if mode == "bars":
        bars = _bars(ports, market, window)
        forecasts = forecasts_over(ports, version, window)
        return bar_results(bars, forecasts, version.name, _budget(ports), {preset: params})[preset]
    model = _fill_model(fill_model, latency_ms)
    _check_complete(ports, market, window)
    tape = tape_of(ports.warehouse.read(TRADE, market, window))
    series = forecast_series(forecasts_over(ports, version, window), ports.strategy.forecast_delay_ms)
    setup = Setup(
        market=market,
        strategy=preset,
        model_version=version.name,
        mode=mode,
        is_path_invented=is_path_invented,
        fill_model=model.name,
        latency_ms=model.latency_ms,
        budget=_budget(ports),
        params=params,
        caveat=model.caveat,
    )
    return tick_result(tape, series, setup, model)


def tick_result(tape: Tape, forecasts: ForecastSeries, setup: Setup, model: FillModel) -> BacktestResult:
    """Replay a tape and read the book, with buy and hold over the same minutes beside it."""
    book = run_ticks(tape, forecasts, setup.params, model, setup.budget)
    bars = _minutes_of(tape)
    held = _bar_result(bars, run_buy_and_hold(bars, setup.params, setup.budget), setup)
    result = result_of(book, setup, Minutes(bars.ts_ms, bars.close), held.profit_krw)
    return replace(result, extra={"trades_on_tape": len(tape.ts_ms), "forecasts": len(forecasts.minute_ms)})


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


def _version(ports: StepPorts, market: str, name: str | None) -> ModelVersion:
    if name is None:
        champion = ports.registry.champion(market)
        if champion is None:
            raise UsageError(f"{market} has no champion; valid: the name of a registered version")
        return champion
    versions = ports.registry.versions(market)
    for version in versions:
        if version.name == name:
            return version
    known = ", ".join(version.name for version in versions) or "none"
    raise UsageError(f"model version {name!r} of {market} is not registered; valid: {known}")


def _bars(ports: StepPorts, market: str, window: Window) -> BarTape:
    rows = ports.warehouse.read(BAR_1M, market, window)
    if rows.is_empty():
        raise NotEnoughDataError(f"{market} has no bar in {window}; valid: a window whose bars are built")
    return bars_of(rows)


def _check_complete(ports: StepPorts, market: str, window: Window) -> None:
    ledger = ports.warehouse.read(LEDGER, market, window)
    fine = set(ledger.filter(~pl.col("state").is_in(_REFUSED))["minute"].dt.epoch("ms"))
    refused = [at for at in range(window.start_ms, window.end_ms, MINUTE_MS) if at not in fine]
    if refused:
        shown = ", ".join(f"{to_datetime(at):%Y-%m-%dT%H:%M}" for at in refused[:_SHOWN_MINUTES])
        more = f" and {len(refused) - _SHOWN_MINUTES} more" if len(refused) > _SHOWN_MINUTES else ""
        raise DataError(
            f"{len(refused)} minutes of {market} in {window} have no complete trades (state candle, unknown or not "
            f"settled): {shown}{more}; valid: a window of verified, repaired and no_trade minutes, or bar mode"
        )


def _budget(ports: StepPorts) -> float:
    return float(ports.strategy.budget)


def _bar_result(bars: BarTape, book: Book, setup: Setup) -> BacktestResult:
    return result_of(book, setup, Minutes(bars.ts_ms, bars.close))


def _minutes_of(tape: Tape) -> BarTape:
    minute = tape.ts_ms - tape.ts_ms % MINUTE_MS
    first = np.flatnonzero(np.diff(minute, prepend=minute[0] - 1))
    last = np.append(first[1:], len(minute)) - 1
    high = np.maximum.reduceat(tape.price, first)
    return BarTape(tape.market, minute[first], tape.price[first], high, tape.price[last])


def _fill_model(name: str, latency_ms: int | None) -> FillModel:
    if name not in FILL_MODELS:
        raise UsageError(f"fill model {name!r} is not known; valid: {', '.join(FILL_MODELS)}")
    if latency_ms is None:
        return FILL_MODELS[name]
    if latency_ms < 0:
        raise UsageError(f"latency {latency_ms} ms is not valid; valid: 0 or more")
    return replace(FILL_MODELS[name], latency_ms=latency_ms)


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
