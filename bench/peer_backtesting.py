"""`python peer_backtesting.py BARS ORDER_KRW CASH`, in the environment of backtesting.py: the SMA cross 10/30.

BARS is an npz file: open, close. Orders are filled at the next open, one whole coin each, with commission and without
spread. Prints one JSON object: CPU seconds of each run after a warm-up, and the orders.
"""

import json
import sys
import time
import warnings

import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy

FEE = 0.0005
RUNS = 1


def sma(close, length):
    return pd.Series(close).rolling(length).mean()


class SmaCross(Strategy):
    def init(self):
        self.fast = self.I(sma, self.data.Close, 10)
        self.slow = self.I(sma, self.data.Close, 30)

    def next(self):
        if not self.position and self.fast[-1] > self.slow[-1]:
            self.buy(size=1)
        elif self.position and self.fast[-1] <= self.slow[-1]:
            self.position.close()


def main(path, cash):
    bars = np.load(path)
    frame = pd.DataFrame({"Open": bars["open"], "Close": bars["close"]})
    frame["High"], frame["Low"] = frame.max(axis=1), frame.min(axis=1)
    frame.index = pd.date_range("2024-01-22", periods=len(frame), freq="min")

    def run():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Backtest(frame, SmaCross, cash=cash, commission=FEE, finalize_trades=False).run()

    result = run()
    times = []
    for _ in range(RUNS):
        began = time.process_time()
        run()
        times.append(time.process_time() - began)
    trades = result._trades
    orders = [(int(row.EntryBar), True, float(row.EntryPrice)) for row in trades.itertuples()]
    orders += [(int(row.ExitBar), False, float(row.ExitPrice)) for row in trades.itertuples()]
    orders += [
        (int(trade.entry_bar), True, float(trade.entry_price)) for trade in getattr(result._strategy, "trades", ())
    ]
    print(json.dumps({"once_s": times, "orders": sorted(orders), "is_tick_against": False}))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[3]))
