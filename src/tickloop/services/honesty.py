"""Judge a back-test: can its profit be told from luck, does it come from its forecasts, what if costs were others?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import numpy as np

from tickloop.domain.backtest_inputs import Inputs, run_inputs
from tickloop.domain.backtest_result import BacktestResult
from tickloop.domain.figures import Floats
from tickloop.domain.fills import FillModel
from tickloop.domain.forecast_shuffle import ROWS, permutations_for, shuffled_forecasts
from tickloop.domain.judgement import Judgement, Probes, judge
from tickloop.domain.permutation import MAX_PERMUTATIONS, Shuffled
from tickloop.domain.replay import is_ours
from tickloop.domain.sensitivity import Sensitivity, sensitivity_of
from tickloop.domain.signal_shift import shifted_signal
from tickloop.domain.strategy import OrderParams, Strategy
from tickloop.domain.strategy_bars import signal_series
from tickloop.domain.tape import ForecastSeries
from tickloop.domain.track import profit_of, track_of
from tickloop.domain.verdict import SignalOf
from tickloop.errors import UsageError

SignalProbe = Callable[[np.random.Generator], Shuffled]

_LEFT_OUT = "left out"
_TOO_LONG = "the run is too long to be made often enough"

_ROWS_OF_OTHERS = ROWS // 20
"""What numba does not compile reads a million rows a second or less."""


def judged(
    inputs: Inputs,
    strategy: Strategy,
    params: OrderParams,
    model: FillModel,
    cash: float,
    result: BacktestResult,
    *,
    trials: int = 1,
    matrix: Floats | None = None,
    seed: int = 0,
    permutations: int | None = None,
) -> Judgement:
    """Judge the result that `result_for` gave for the same arguments.

    Args:
        trials: settings tried on this market and time so far, this one included.
        matrix: profits (periods, trials) of the trials over the same time; None if they are not known.
        seed: of all that is drawn.
        permutations: of forecasts or signals; 0 leaves that test out, None takes as many as the inputs' length allows.

    Raises:
        UsageError: for a number of permutations that cannot be made.
        DataError: if a profit is not finite.
        StrategyError: if the strategy cannot bear other forecasts or costs.
    """
    check_permutations(permutations)
    probes = _Runs(inputs, strategy, params, model, cash).probes(permutations)
    return judge(track_of(result, inputs.path), trials=trials, matrix=matrix, probes=probes, seed=seed)


def check_permutations(permutations: int | None) -> None:
    """Refuse a number of permutations that cannot be made.

    Raises:
        UsageError: naming it and what is valid.
    """
    if permutations is not None and not 0 <= permutations <= MAX_PERMUTATIONS:
        raise UsageError(f"{permutations:,} permutations; valid: 0 to {MAX_PERMUTATIONS:,}")


def signal_probe(
    profit: Callable[[ForecastSeries], float],
    known: ForecastSeries,
    inputs: Inputs,
    strategy: Strategy,
    permutations: int | None,
) -> tuple[SignalProbe | None, str]:
    """Give the test of what a strategy was told minute by minute, or why there is none.

    Args:
        profit: runs it with other forecasts or signals.
        known: its forecasts, or the signals that it made.
        inputs: of the run; their length says how often it can be made.
        permutations: as `judged` takes them.
    """
    if strategy.signal is None and not strategy.uses_forecasts:
        return None, f"strategy {strategy.name} uses neither forecasts nor signals"
    rows = len(inputs.bars.ts_ms) if inputs.tape is None else len(inputs.tape.ts_ms)
    count = permutations
    if count is None:
        count = permutations_for(rows, ROWS if is_ours(strategy.decide) else _ROWS_OF_OTHERS)
    if count == 0:
        return None, _LEFT_OUT if permutations == 0 else _TOO_LONG
    if strategy.signal is not None:
        return lambda rng: shifted_signal(profit, known, rng, count), ""
    return lambda rng: shuffled_forecasts(profit, known, inputs.bars, rng, count), ""


def signal_of(strategy: Strategy) -> SignalOf:
    """Say what a strategy goes by."""
    return "forecasts" if strategy.signal is None else "signals"


class _Runs:
    """The runs of one strategy over the same inputs that a judgement asks for."""

    def __init__(self, inputs: Inputs, strategy: Strategy, params: OrderParams, model: FillModel, cash: float) -> None:
        self._inputs, self._strategy, self._params, self._model, self._cash = inputs, strategy, params, model, cash

    def probes(self, permutations: int | None) -> Probes:
        inputs, strategy = self._inputs, self._strategy
        known = inputs.forecasts
        if strategy.signal is not None:
            known = signal_series(strategy, self._params, inputs.bars, inputs.delay_ms)
        signal, why = signal_probe(self._with_known, known, inputs, strategy, permutations)
        return Probes(signal, self.sensitivity, (("signal", why),) if why else (), signal_of(strategy))

    def sensitivity(self) -> Sensitivity:
        def at_fee(fee_rate: float) -> float:
            return self._profit(self._inputs, self._strategy, cast("Any", self._params)._replace(fee_rate=fee_rate))

        def at_latency(latency_ms: int) -> float:
            late = replace(self._model, latency_ms=latency_ms)
            return self._profit(self._inputs, self._strategy, self._params, late)

        return sensitivity_of(at_fee, self._params.fee_rate, None if self._inputs.tape is None else at_latency)

    def _with_known(self, known: ForecastSeries) -> float:
        inputs, strategy = replace(self._inputs, forecasts=known), replace(self._strategy, signal=None)
        return self._profit(inputs, strategy if self._strategy.signal is not None else self._strategy, self._params)

    def _profit(self, inputs: Inputs, strategy: Strategy, params: OrderParams, model: FillModel | None = None) -> float:
        book = run_inputs(inputs, strategy, params, model or self._model, self._cash)
        return profit_of(book, params, float(inputs.bars.close[-1]), self._cash)
