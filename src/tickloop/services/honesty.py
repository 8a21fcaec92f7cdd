"""Judge a back-test: can its profit be told from luck, does it come from its forecasts, what if costs were others?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from tickloop.domain.backtest_inputs import Inputs, run_inputs
from tickloop.domain.backtest_result import BacktestResult
from tickloop.domain.figures import Floats
from tickloop.domain.fills import FillModel
from tickloop.domain.forecast_shuffle import ROWS, permutations_for, shuffled_forecasts
from tickloop.domain.judgement import Judgement, Probes, judge
from tickloop.domain.replay import is_ours
from tickloop.domain.sensitivity import Sensitivity, sensitivity_of
from tickloop.domain.strategy import OrderParams, Strategy
from tickloop.domain.track import profit_of, track_of

TOO_LONG = "the run is too long to be made often enough with forecasts shuffled"

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
        permutations: of the forecasts; 0 leaves that test out, None takes as many as the inputs' length allows.

    Raises:
        DataError: if a profit is not finite.
        StrategyError: if the strategy cannot bear other forecasts or costs.
    """
    probes = _Runs(inputs, strategy, params, model, cash).probes(permutations)
    return judge(track_of(result, inputs.path), trials=trials, matrix=matrix, probes=probes, seed=seed)


def permutations_of(inputs: Inputs, strategy: Strategy) -> int:
    """Give how often the length of the inputs lets a strategy be run with forecasts shuffled; 0 if not often enough."""
    rows = len(inputs.bars.ts_ms) if inputs.tape is None else len(inputs.tape.ts_ms)
    return permutations_for(rows, ROWS if is_ours(strategy.decide) else _ROWS_OF_OTHERS)


class _Runs:
    """The runs of one strategy over the same inputs that a judgement asks for."""

    def __init__(self, inputs: Inputs, strategy: Strategy, params: OrderParams, model: FillModel, cash: float) -> None:
        self._inputs, self._strategy, self._params, self._model, self._cash = inputs, strategy, params, model, cash

    def probes(self, permutations: int | None) -> Probes:
        inputs, strategy = self._inputs, self._strategy
        if not strategy.uses_forecasts:
            return Probes(None, self.sensitivity, (("signal", f"strategy {strategy.name} uses no forecasts"),))
        count = permutations_of(inputs, strategy) if permutations is None else permutations
        if count == 0:
            why = "left out" if permutations == 0 else TOO_LONG
            return Probes(None, self.sensitivity, (("signal", why),))
        return Probes(
            lambda rng: shuffled_forecasts(
                lambda series: self._profit(replace(inputs, forecasts=series)),
                inputs.forecasts,
                inputs.bars,
                rng,
                count,
            ),
            self.sensitivity,
        )

    def sensitivity(self) -> Sensitivity:
        return sensitivity_of(
            lambda fee: self._profit(params=cast("Any", self._params)._replace(fee_rate=fee)),
            self._params.fee_rate,
            None if self._inputs.tape is None else lambda ms: self._profit(model=replace(self._model, latency_ms=ms)),
        )

    def _profit(
        self, inputs: Inputs | None = None, params: OrderParams | None = None, model: FillModel | None = None
    ) -> float:
        inputs, params = inputs or self._inputs, params or self._params
        book = run_inputs(inputs, self._strategy, params, model or self._model, self._cash)
        return profit_of(book, params, float(inputs.bars.close[-1]), self._cash)
