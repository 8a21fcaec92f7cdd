"""SMA crosses over one-minute bars, one setting and a sweep of 190: tickloop,
vectorbt, backtesting.py and backtrader.

Each peer fills at the next open, so the lists of orders are compared first: bars, sides and, where the peer can be told
the tick against it, prices. Peers that cannot: their price is the open itself. They buy 6,000 KRW uncut or one whole
coin, so quantities are not compared. A peer's signals are worked out within its time, as ours are.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.data import START_MS
from bench.measure import Figure, Reading, measure
from bench.processes import python_of
from tickloop.domain.backtest_book import Book
from tickloop.domain.fills import price_against
from tickloop.domain.strategies.sma_cross import SmaCrossParams, sma_cross
from tickloop.domain.strategy import BUY
from tickloop.domain.strategy_bars import signal_of
from tickloop.domain.tape import BarTape
from tickloop.domain.target_bars import ladders_of, run_targets, targets_of
from tickloop.domain.target_sweep import sweep_sma

COUNT = 525_600
SWEEP_COUNT = 100_000
WINDOWS = tuple(range(5, 205, 10))
CASH = 1e9  # the walk has no trend, so that fees and ticks would empty a small purse before its end
PARAMS = SmaCrossParams()
SETTINGS = [PARAMS._replace(fast=fast, slow=slow) for at, fast in enumerate(WINDOWS) for slow in WINDOWS[at + 1 :]]

_PEERS = {"vectorbt": "vectorbt 1.2.0", "backtesting": "backtesting.py 0.6.6", "backtrader": "backtrader 1.9.78.123"}
_ONE, _SWEEP = "bars, SMA cross 10/30", f"sweep of {len(SETTINGS)} SMA crosses"
_PEER_DEADLINE_S = 900.0


def bars(count: int, seed: int = 7) -> BarTape:
    """Give bars of a random walk on the 1,000 KRW grid near 58 million."""
    rng = np.random.default_rng(seed)
    close = 58_000_000.0 + 1_000.0 * np.cumsum(rng.integers(-20, 21, count))
    opens = np.concatenate([close[:1], close[:-1] + 1_000.0 * rng.integers(-2, 3, count - 1)])
    return BarTape("KRW-BTC", START_MS + 60_000 * np.arange(count), opens, np.maximum(opens, close), close)


def run() -> Iterator[Figure | Reading]:
    tape = bars(COUNT)
    book = _once(tape)
    orders = int(book.purse["orders"][0])
    yield measure("backtest", f"tickloop, {_ONE} ({orders} orders)", COUNT, "bars", lambda: _once(tape))
    swept = bars(SWEEP_COUNT)
    units = SWEEP_COUNT * len(SETTINGS)
    yield measure("backtest", f"tickloop, {_SWEEP}", units, "bars", lambda: sweep_sma(swept, SETTINGS, CASH))
    yield Reading("backtest", f"tickloop, {_SWEEP}", {"peak_mb_of_one_sweep": round(_peak_mb())})
    found = sweep_sma(swept, SETTINGS, CASH)["orders"].to_numpy()
    yield from _peer("vectorbt", tape, book, swept, found)
    yield from _peer("backtesting", tape, book, None, None)
    yield from _peer("backtrader", tape, book, None, None)


def peak_of_one_sweep() -> None:
    """Print the highest memory of this process, in MB, after one sweep and nothing else."""
    sweep_sma(bars(SWEEP_COUNT), SETTINGS, CASH)
    status = Path("/proc/self/status").read_text()  # `ru_maxrss` would be that of the process that started this one
    print(int(status.partition("VmHWM:")[2].split()[0]) / 1024)


def _peak_mb() -> float:
    command = [sys.executable, "-c", "from bench.crosses import peak_of_one_sweep; peak_of_one_sweep()"]
    return float(subprocess.run(command, capture_output=True, text=True, check=True, timeout=_PEER_DEADLINE_S).stdout)


def _once(tape: BarTape) -> Book:
    return run_targets(tape, targets_of(signal_of(sma_cross, PARAMS, tape)), PARAMS, CASH)[0]


def _peer(
    name: str, tape: BarTape, book: Book, swept: BarTape | None, orders: NDArray[np.int64] | None
) -> Iterator[Figure | Reading]:
    python = python_of(name)
    if python is None:
        yield Reading("backtest", _PEERS[name], {"absent": f"run scripts/envs.sh {name}"})
        return
    with tempfile.TemporaryDirectory() as folder:
        told = _ask(python, name, Path(folder), tape, swept)
    _check_orders(name, tape, book, told)
    yield _figure(f"{_PEERS[name]}, {_ONE}", COUNT, told["once_s"])
    if swept is None or orders is None:
        return
    assert told["sweep_orders"] == orders.tolist(), f"{name} gives other numbers of orders in the sweep"
    yield _figure(f"{_PEERS[name]}, {_SWEEP}", SWEEP_COUNT * len(SETTINGS), told["sweep_s"])
    yield Reading("backtest", f"{_PEERS[name]}, {_SWEEP}", {"peak_mb_of_one_sweep": round(told["peak_mb"])})


def _ask(python: Path, name: str, folder: Path, tape: BarTape, swept: BarTape | None) -> dict[str, Any]:
    """Give a peer the bars and the prices of orders; take its times and its orders as (bar, is a buy, price)."""
    ladders = ladders_of(tape)
    buy = [price_against(ladders, price, at, 1) for price, at in zip(tape.open, tape.ts_ms, strict=True)]
    sell = [price_against(ladders, price, at, -1) for price, at in zip(tape.open, tape.ts_ms, strict=True)]
    given = {"open": tape.open, "close": tape.close, "buy": np.array(buy), "sell": np.array(sell)}
    if swept is not None:
        given |= {"sweep_open": swept.open, "sweep_close": swept.close, "windows": np.array(WINDOWS)}
    np.savez(folder / "bars.npz", **given)
    script = Path(__file__).parent / f"peer_{name}.py"
    command = [str(python), str(script), str(folder / "bars.npz"), str(PARAMS.order_krw), str(CASH)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_PEER_DEADLINE_S)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _check_orders(name: str, tape: BarTape, book: Book, told: dict[str, Any]) -> None:
    rows = book.orders[: int(book.purse["orders"][0])]
    at = ((rows["filled_ms"] - START_MS) // 60_000).tolist()
    price = rows["fill_price"].tolist() if told["is_tick_against"] else tape.open[at].tolist()
    ours = list(zip(at, (rows["side"] == BUY).tolist(), price, strict=True))
    theirs = [(bar, bool(is_buy), price) for bar, is_buy, price in told["orders"]]
    assert theirs == ours, f"{name} gives other orders: {len(theirs)} against {len(ours)}"


def _figure(who: str, units: int, times: list[float]) -> Figure:
    return Figure("backtest", who, units, "bars", statistics.median(times), (min(times), max(times)))
