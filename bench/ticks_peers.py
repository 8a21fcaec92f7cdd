"""The default strategy over ticks: held against plain Python on a short tape, then beside hftbacktest on a long one."""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench.data import trades
from bench.measure import Figure, Reading, measure
from bench.plain_reference import plain_run
from bench.processes import python_of
from tickloop.domain.backtest import run_ticks
from tickloop.domain.backtest_book import Book
from tickloop.domain.fills import FILL_MODELS
from tickloop.domain.strategy import PRESETS
from tickloop.domain.tape import ForecastSeries, Tape, tape_of

COUNT = 5_000_000
SHORT = 300_000
CASH = 50_000.0
SPREAD = FILL_MODELS["spread"]
PARAMS = PRESETS["default"]

_NAME, _PEER = "backtest", "hftbacktest 2.4.4"
_TICK_KRW = 1_000.0  # of all prices of the tape, at its date
_PEER_RUNS = 5
_PEER_DEADLINE_S = 900.0

Order = tuple[int, int, int, float, int]


def forecasts(tape: Tape) -> ForecastSeries:
    """Give a forecast a minute: the last price before it, a little up or down, seeded."""
    minutes = np.unique(tape.ts_ms // 60_000) * 60_000
    before = np.clip(np.searchsorted(tape.ts_ms, minutes) - 1, 0, None)
    edge = np.random.default_rng(3).normal(0.0, 0.0008, len(minutes))
    return ForecastSeries(minutes, tape.price[before] * np.exp(edge), minutes + 1_000)


def run() -> Iterator[Figure | Reading]:
    yield _beside_plain_python()
    tape = tape_of(trades(COUNT))
    series = forecasts(tape)
    skipping = run_ticks(tape, series, PARAMS, SPREAD, CASH)
    asking = run_ticks(tape, series, PARAMS, SPREAD, CASH, is_skipping=False)
    sent = int(skipping.purse["orders"][0])
    assert skipping.orders[:sent].tobytes() == asking.orders[:sent].tobytes(), "skipping changes the orders"
    for who, is_skipping in ((f"tickloop, wake ({sent} orders)", True), ("tickloop, decide at every tick", False)):
        yield measure(
            _NAME,
            who,
            COUNT,
            "ticks",
            lambda is_skipping=is_skipping: run_ticks(  # type: ignore[misc]
                tape, series, PARAMS, SPREAD, CASH, is_skipping=is_skipping
            ),
            runs=11,
        )
    yield from _beside_hftbacktest(tape, series, skipping)


def _beside_plain_python() -> Reading:
    tape = tape_of(trades(SHORT))
    series = forecasts(tape)
    began = time.process_time()
    expected, cash = plain_run(tape, series, PARAMS, SPREAD, CASH)
    spent = time.process_time() - began
    book = run_ticks(tape, series, PARAMS, SPREAD, CASH)
    assert _filled(book) == expected, "the orders are not those of the plain reference"
    assert abs(float(book.purse["cash"][0]) - cash) < 0.01, "the cash is not that of the plain reference"
    return Reading(
        _NAME,
        f"plain Python in Decimal, {SHORT:,} ticks, equal orders",
        {"orders": len(expected), "cpu_s": round(spent, 3), "per_s": round(SHORT / spent)},
    )


def _filled(book: Book) -> list[Order]:
    rows = book.orders[: int(book.purse["orders"][0])]
    rows = rows[rows["filled_ms"] >= 0]
    columns = ("side", "decided_ms", "filled_ms", "fill_price", "qty_e8")
    return list(zip(*(rows[name].tolist() for name in columns), strict=True))


def _beside_hftbacktest(tape: Tape, series: ForecastSeries, book: Book) -> Iterator[Figure | Reading]:
    python = python_of("hftbacktest")
    if python is None:
        yield Reading(_NAME, _PEER, {"absent": "run scripts/envs.sh hftbacktest"})
        return
    told = _ask(python, tape, series)
    theirs = [(int(side), int(sent), int(at), price, int(qty)) for side, sent, at, price, qty in told["orders"]]
    assert theirs == _filled(book), f"{_PEER} gives other orders"
    assert abs(told["cash"] - float(book.purse["cash"][0])) < 0.01, f"{_PEER} leaves other cash"
    for who, key in ((f"same decisions, fills and money ({len(theirs)} orders)", "run_s"), ("only waits", "wait_s")):
        times = told[key]
        spread = (min(times), max(times))
        yield Figure(_NAME, f"{_PEER}, {who}", COUNT, "ticks", statistics.median(times), spread)


def _ask(python: Path, tape: Tape, series: ForecastSeries) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "ticks.npz"
        np.savez(
            file,
            ts_ms=tape.ts_ms,
            price=tape.price,
            minute_ms=series.minute_ms,
            forecast=series.price,
            usable_ms=series.usable_from_ms,
            tick=_TICK_KRW,
            cash=CASH,
            **PARAMS._asdict(),
        )
        script = Path(__file__).parent / "peer_hftbacktest.py"
        command = [str(python), str(script), str(file), str(_PEER_RUNS)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_PEER_DEADLINE_S)
    return dict(json.loads(done.stdout.splitlines()[-1]))
