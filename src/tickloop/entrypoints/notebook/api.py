"""`tickloop.backtest`: one strategy over trades or bars that the caller holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tickloop.domain.backtest_inputs import Inputs, minutes_of, result_for
from tickloop.domain.backtest_job import Job
from tickloop.domain.given_data import given_data, given_forecasts
from tickloop.domain.market import is_market
from tickloop.domain.strategies.shipped import SHIPPED
from tickloop.domain.strategy import Strategy
from tickloop.domain.tape import BarTape, ForecastSeries, Tape
from tickloop.domain.verdict import Path
from tickloop.domain.window import MINUTE_MS, Window
from tickloop.entrypoints.notebook.result import Result
from tickloop.errors import NotEnoughDataError, UsageError
from tickloop.services.backtest_run import check_budget, chosen_for
from tickloop.services.strategies import checked, strategy_named

PATHS: tuple[Path, ...] = ("recorded", "invented")


def backtest(
    data: Any,
    strategy: str | Strategy = "default",
    *,
    market: str = "KRW-BTC",
    forecasts: Any = None,
    params: Mapping[str, Any] | None = None,
    preset: str = "default",
    budget: float = 50_000.0,
    fill_model: str = "spread",
    latency_ms: int | None = None,
    path: str = "recorded",
    forecast_delay_ms: int = 1_000,
    allow_unknown: bool = False,
) -> Result:
    """Replay trades or one-minute bars through a strategy.

    Args:
        data: trades (columns ts or ts_event, and price) or bars (ts or ts_open, open, high, close) in order of time,
            as a polars frame, a mapping of names to numpy arrays, a structured array or a tuple of arrays. Times:
            datetimes (without a zone: UTC) or epoch milliseconds. Of low, state, market and trade_id each is checked
            if it is there.
        strategy: `NAME`, `PATH.py:NAME`, or the object itself.
        market: whose fees, price units and minimum totals hold, at the time of the data.
        forecasts: for strategies that use them: (target_minute, price) in the same forms. They must come from a model
            that has not seen these minutes: nothing here can check that.
        params: parameters by name, set over the preset's.
        budget: KRW at the start.
        fill_model, latency_ms: how orders fill in trades; bars have a rule of their own.
        path: "invented" says that the trades were made up from candles: no profit is shown then.
        forecast_delay_ms: in trades, a minute's forecast may be used from this long after its start.
        allow_unknown: leave bars of state `unknown` out instead of refusing them; the result says so.

    Raises:
        DataError: for data that must not go on, naming the row.
        UsageError: for a name that is not known, or a value that is out of range.
        StrategyError: if the strategy cannot be loaded, raises, or answers what cannot be done.
    """
    if not (is_market(market) and market.startswith("KRW-")):
        raise UsageError(f"market {market!r} is not one of KRW; valid: for example KRW-BTC")
    found = strategy_named(strategy) if isinstance(strategy, str) else checked(strategy, repr(strategy))
    given = given_data(data, market, allow_unknown=allow_unknown)
    series = given_forecasts(forecasts, 0 if isinstance(given.tape, BarTape) else forecast_delay_ms)
    inputs = _inputs(given.tape, series, path, forecast_delay_ms, given.unknown_minutes)
    _check_forecasts(found, inputs, is_given=forecasts is not None)
    ends = inputs.bars.ts_ms
    job = Job(
        market,
        Window(int(ends[0]), int(ends[-1]) + MINUTE_MS),
        strategy=found.name,
        preset=preset,
        mode=inputs.mode,
        fill_model=fill_model,
        latency_ms=latency_ms,
        budget=budget,
    )
    chosen = chosen_for(job, found, params or {}, float(budget))
    check_budget(chosen.params, chosen.cash)
    name = found.name if preset == "default" else f"{found.name}/{preset}"
    return Result(inputs, chosen, job.window, result_for(inputs, *chosen, name))


def _inputs(tape: Tape | BarTape, forecasts: ForecastSeries, path: str, delay_ms: int, unknown: int) -> Inputs:
    if path not in PATHS:
        raise UsageError(f"path {path!r} is not known; valid: {', '.join(PATHS)}")
    if delay_ms < 0:
        raise UsageError(f"forecast_delay_ms {delay_ms} is not valid; valid: 0 or more")
    if isinstance(tape, BarTape):
        return Inputs(tape.market, tape, None, forecasts, None, "bars", 0, unknown)
    made: Path = "invented" if path == "invented" else "recorded"
    return Inputs(tape.market, minutes_of(tape), tape, forecasts, None, made, delay_ms, unknown)


def _check_forecasts(strategy: Strategy, inputs: Inputs, *, is_given: bool) -> None:
    """Refuse a run that cannot trade, or that would look at nothing of what was given."""
    if strategy.uses_forecasts and not is_given:
        others = ", ".join(name for name, one in SHIPPED.items() if not one.uses_forecasts)
        raise UsageError(
            f"strategy {strategy.name!r} trades on forecasts and has none; valid: forecasts=..., or a strategy without"
            f" them: {others}"
        )
    if not strategy.uses_forecasts and is_given:
        raise UsageError(f"strategy {strategy.name!r} does not look at forecasts; valid: forecasts=None")
    minute, bars = inputs.forecasts.minute_ms, inputs.bars.ts_ms
    if is_given and not ((minute >= bars[0]) & (minute <= bars[-1])).any():
        raise NotEnoughDataError("no forecast is of a minute of the data; valid: at least one")
