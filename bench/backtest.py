"""The default strategy over ticks, with `wake` skipping and at every tick; then SMA crosses over bars."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bench import crosses
from bench.data import trades
from bench.measure import Figure, Reading, measure
from tickloop.domain.backtest import run_ticks
from tickloop.domain.fills import FILL_MODELS
from tickloop.domain.strategy import PRESETS
from tickloop.domain.tape import ForecastSeries, Tape, tape_of

COUNT = 5_000_000
SPREAD = FILL_MODELS["spread"]


def forecasts(tape: Tape) -> ForecastSeries:
    """Give a forecast a minute: the last price before it, a little up or down, seeded."""
    minutes = np.unique(tape.ts_ms // 60_000) * 60_000
    before = np.clip(np.searchsorted(tape.ts_ms, minutes) - 1, 0, None)
    edge = np.random.default_rng(3).normal(0.0, 0.0008, len(minutes))
    return ForecastSeries(minutes, tape.price[before] * np.exp(edge), minutes + 1_000)


def run() -> Iterator[Figure | Reading]:
    tape = tape_of(trades(COUNT))
    series = forecasts(tape)
    params = PRESETS["default"]
    skipping = run_ticks(tape, series, params, SPREAD, 50_000.0)
    asking = run_ticks(tape, series, params, SPREAD, 50_000.0, is_skipping=False)
    sent = int(skipping.purse["orders"][0])
    assert skipping.orders[:sent].tobytes() == asking.orders[:sent].tobytes(), "skipping changes the orders"
    for who, is_skipping in ((f"tickloop, wake ({sent} orders)", True), ("tickloop, decide at every tick", False)):
        yield measure(
            "backtest",
            who,
            COUNT,
            "ticks",
            lambda is_skipping=is_skipping: run_ticks(  # type: ignore[misc]
                tape, series, params, SPREAD, 50_000.0, is_skipping=is_skipping
            ),
        )
    yield from crosses.run()
