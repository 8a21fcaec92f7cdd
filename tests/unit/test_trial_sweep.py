"""Trials that a compiled sweep gives, against a run of each setting."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
import pytest

from honest_worlds import CASH, MARKET, START, edge_world, ticks_of, window
from tickloop.domain.backtest_inputs import Inputs, minutes_of, run_inputs
from tickloop.domain.fills import FILL_MODELS
from tickloop.domain.strategies.shipped import SHIPPED
from tickloop.domain.strategy import Params, default
from tickloop.domain.strategy_params import params_for
from tickloop.domain.tape import Tape
from tickloop.domain.trial_sweep import TickSweep, has_tick_sweep
from tickloop.domain.trials import Trial, marks_of, trial_of
from tickloop.domain.window import HOUR_MS

DAY = window(1)
MODEL = FILL_MODELS["spread"]
TICKS = ticks_of(edge_world(11, 1))
SETTINGS = [
    {"min_edge": edge, "take_profit_num": target, "hold_ms": hold}
    for edge in (0.0, 0.001)
    for target in (1001, 1004)
    for hold in (120_000, 3_600_000)
]


def with_a_gap(inputs: Inputs) -> Inputs:
    """Without the trades of four hours, and of the last one."""
    assert inputs.tape is not None
    ts = inputs.tape.ts_ms
    kept = (ts < START + 6 * HOUR_MS) | ((ts >= START + 10 * HOUR_MS) & (ts < START + 23 * HOUR_MS))
    tape = Tape(MARKET, ts[kept], inputs.tape.price[kept])
    return replace(inputs, tape=tape, bars=minutes_of(tape))


def params() -> list[Params]:
    return [cast("Params", params_for(default, MARKET, START, "default", one)) for one in SETTINGS]


def swept(inputs: Inputs, latency_ms: int, some: slice = slice(None)) -> list[Trial]:
    marks = marks_of(inputs.minutes.ts_ms, inputs.minutes.close, DAY)
    sweep = TickSweep(inputs, replace(MODEL, latency_ms=latency_ms), marks, CASH)
    return sweep.run(range(len(SETTINGS))[some], SETTINGS[some], params()[some])


@pytest.mark.parametrize("latency_ms", [0, 300])
@pytest.mark.parametrize("inputs", [TICKS, with_a_gap(TICKS)], ids=["whole", "gap"])
def test_sweep_gives_the_trials_of_single_runs(inputs: Inputs, latency_ms: int) -> None:
    """All figures and the profit of every part, but for the rounding of sums."""
    marks = marks_of(inputs.minutes.ts_ms, inputs.minutes.close, DAY)
    model = replace(MODEL, latency_ms=latency_ms)

    found = swept(inputs, latency_ms)

    assert [one.number for one in found] == list(range(len(SETTINGS)))
    assert [one.setting for one in found] == SETTINGS
    for one, own in zip(found, params(), strict=True):
        book = run_inputs(inputs, default, own, model, CASH)
        alone = trial_of(one.number, one.setting, book, own, marks, CASH)
        assert one.figures._asdict() == pytest.approx(alone.figures._asdict(), rel=1e-9, abs=1e-6)
        np.testing.assert_allclose(one.profits, alone.profits, rtol=0, atol=1e-6)
    assert min(one.figures.trades for one in found) > 0
    assert len({one.figures.profit_krw for one in found}) == len(SETTINGS)


def test_trial_does_not_depend_on_those_beside_it() -> None:
    """To the bit, so that units may be cut in any way."""
    whole, parts = swept(TICKS, 300), [*swept(TICKS, 300, slice(0, 3)), *swept(TICKS, 300, slice(3, None))]

    assert [one.figures for one in parts] == [one.figures for one in whole]
    assert [one.profits.tobytes() for one in parts] == [one.profits.tobytes() for one in whole]


def test_sweep_stands_for_the_default_strategy_over_trades_only() -> None:
    """Others, bars, and fills by order books are run one by one."""
    assert has_tick_sweep(TICKS, default, MODEL)
    assert not has_tick_sweep(TICKS, SHIPPED["grid"], MODEL)
    assert not has_tick_sweep(edge_world(11, 1), default, MODEL)
    assert not has_tick_sweep(TICKS, default, FILL_MODELS["book"])
