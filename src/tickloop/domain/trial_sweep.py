"""Trials of many settings at once, where a compiled sweep of the strategy gives the figures of a run of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from tickloop.domain import rules
from tickloop.domain.backtest_inputs import Inputs
from tickloop.domain.figures import SHARPE, Floats
from tickloop.domain.fills import FillModel
from tickloop.domain.order_terms import check_size
from tickloop.domain.search_space import Setting
from tickloop.domain.strategy import Params, Strategy, default
from tickloop.domain.tick_index import TickIndex, index_of
from tickloop.domain.tick_sweep import sweep_parts
from tickloop.domain.trials import Figures, Marks, Trial


class TickSweep:
    """The default strategy over the trades of some inputs; what its settings share is looked up once."""

    def __init__(self, inputs: Inputs, model: FillModel, marks: Marks, cash: float) -> None:
        assert inputs.tape is not None
        self._tape, self._model, self._marks, self._cash = inputs.tape, model, marks, cash
        self._index: TickIndex = index_of(inputs.tape, inputs.forecasts)

    def run(self, numbers: Sequence[int], settings: Sequence[Setting], params: Sequence[Params]) -> list[Trial]:
        """Give the trials of settings, whose parameters are `params`: to a rounding of sums those of `trial_of`.

        Raises:
            UsageError: if a size of orders is none that the exchange takes.
        """
        marks = self._marks
        for one in params:
            check_size(one, self._tape.market, int(self._tape.ts_ms[0]))
        rows, ends = sweep_parts(self._tape, self._index, params, self._model, self._cash, marks.part)
        minutes = len(marks.ts_ms)
        return [
            _trial(number, setting, row, _steps(equity, marks.parts, self._cash), minutes)
            for number, setting, row, equity in zip(numbers, settings, rows.iter_rows(named=True), ends, strict=True)
        ]


def has_tick_sweep(inputs: Inputs, strategy: Strategy, model: FillModel) -> bool:
    """Tell whether `TickSweep` can stand for single runs."""
    if inputs.tape is None or strategy is not default or model.is_by_depth:
        return False
    return not rules.order_changes(inputs.market, int(inputs.tape.ts_ms[0]), int(inputs.tape.ts_ms[-1]) + 1)


def _trial(number: int, setting: Setting, row: dict[str, Any], profits: Floats, minutes: int) -> Trial:
    figures = Figures(
        profit_krw=row["profit_krw"],
        sharpe=float(SHARPE.of(profits)),
        max_drawdown_krw=row["max_drawdown_krw"],
        exposure=row["held_bars"] / minutes,
        trades=row["trades"],
        orders=row["orders"],
        open_lots=row["open_lots"],
        fees_krw=row["fees_krw"],
        turnover_krw=row["turnover_krw"],
    )
    return Trial(number, setting, figures, profits)


def _steps(ends: Floats, parts: int, cash: float) -> Floats:
    """Give the profit of each part; one without a minute makes nothing."""
    equity = np.concatenate([[cash], ends, np.full(parts - len(ends), np.nan)])
    last = np.maximum.accumulate(np.where(np.isnan(equity), 0, np.arange(len(equity))))
    return cast("Floats", np.diff(equity[last]))
