"""`python peer_vectorbt.py BARS ORDER_KRW CASH`, in vectorbt's environment: SMA crosses by `Portfolio.from_signals`.

BARS is an npz file: open, close, buy and sell (prices of an order at each open), sweep_open, sweep_close, windows.
A signal at a close is acted on at the next open. Prints one JSON object: CPU seconds after a warm-up, orders, memory.
"""

import json
import sys
import time
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import vectorbt as vbt

FEE = 0.0005
RUNS = 3


def once(bars, order_krw, cash):
    close = pd.Series(bars["close"])
    above = vbt.MA.run(close, 10).ma > vbt.MA.run(close, 30).ma
    known = np.arange(len(close)) >= 29
    entries = (above & known).vbt.signals.fshift(1)
    exits = (~above & known).vbt.signals.fshift(1)
    price = np.where(entries, bars["buy"], bars["sell"])
    return vbt.Portfolio.from_signals(
        close, entries, exits, price=price, size=order_krw, size_type="value", fees=FEE, init_cash=cash, freq="1min"
    )


def sweep(bars, order_krw, cash):
    close, opens = pd.Series(bars["sweep_close"]), bars["sweep_open"]
    pairs = list(combinations(bars["windows"].tolist(), 2))
    fast, slow = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    above = vbt.MA.run(close, fast).ma.to_numpy() > vbt.MA.run(close, slow).ma.to_numpy()
    known = np.arange(len(close))[:, None] >= np.array(slow) - 1
    entries, exits = np.zeros(above.shape, bool), np.zeros(above.shape, bool)
    entries[1:], exits[1:] = (above & known)[:-1], (~above & known)[:-1]
    folio = vbt.Portfolio.from_signals(
        close,
        entries,
        exits,
        price=opens[:, None],
        size=order_krw,
        size_type="value",
        fees=FEE,
        init_cash=cash,
        freq="1min",
    )
    # What our sweep gives: profit, trades, fees, draw-down.
    return folio.total_profit(), folio.orders.count(), folio.orders.fees.sum(), folio.max_drawdown()


def timed(work, runs):
    """Give the result of a warm-up, and the CPU seconds of each run after it."""
    result = work()
    times = []
    for _ in range(runs):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return result, times


def main(path, order_krw, cash):
    bars = dict(np.load(path))
    counts = sweep(bars, order_krw, cash)[1].tolist()
    status = Path("/proc/self/status").read_text()  # `ru_maxrss` would be that of the process that started this one
    peak_mb = int(status.partition("VmHWM:")[2].split()[0]) / 1024  # after one sweep and nothing else
    _, sweep_s = timed(lambda: sweep(bars, order_krw, cash), 1)
    rows, once_s = timed(lambda: once(bars, order_krw, cash).orders.records_arr, RUNS)
    orders = list(zip(rows["idx"].tolist(), (rows["side"] == 0).tolist(), rows["price"].tolist(), strict=True))
    told = {"once_s": once_s, "orders": orders, "is_tick_against": True, "sweep_s": sweep_s, "peak_mb": peak_mb}
    print(json.dumps({**told, "sweep_orders": counts}))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]))
