"""`python peer_backtrader.py BARS ORDER_KRW CASH`, in backtrader's environment: the SMA cross 10/30.

BARS is an npz file: open, close. Orders are filled at the next open, one whole coin each, with commission and without
spread; the observers that backtrader adds by itself are left out. Prints one JSON object: CPU seconds of one run after
a short one to warm up, and the orders.
"""

import json
import sys
import time
from datetime import UTC, datetime

import backtrader as bt
import numpy as np

FEE = 0.0005
RUNS = 1
MINUTE = 1 / 1_440  # of a day, as backtrader counts
WARM_UP = 2_000


class Bars(bt.feed.DataBase):
    params = (("columns", None),)

    def start(self):
        super().start()
        self.bar = 0
        self.first = bt.date2num(datetime(2024, 1, 22, tzinfo=UTC))
        opens, close = self.p.columns
        self.rows = [
            opens.tolist(),
            np.maximum(opens, close).tolist(),
            np.minimum(opens, close).tolist(),
            close.tolist(),
        ]

    def _load(self):
        bar = self.bar
        if bar == len(self.rows[0]):
            return False
        lines = self.lines
        lines.datetime[0] = self.first + bar * MINUTE
        lines.open[0], lines.high[0], lines.low[0], lines.close[0] = (row[bar] for row in self.rows)
        lines.volume[0] = lines.openinterest[0] = 0.0
        self.bar = bar + 1
        return True


class SmaCross(bt.Strategy):
    def __init__(self):
        self.fast, self.slow = bt.ind.SMA(period=10), bt.ind.SMA(period=30)
        self.fills = []

    def next(self):
        if not self.position:
            if self.fast[0] > self.slow[0]:
                self.buy(size=1)
        elif self.fast[0] <= self.slow[0]:
            self.close()

    def notify_order(self, order):
        if order.status == order.Completed:
            self.fills.append((len(self) - 1, order.isbuy(), order.executed.price))


def run(opens, close, cash):
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(Bars(columns=(opens, close)))
    cerebro.addstrategy(SmaCross)
    cerebro.broker.setcash(cash)
    cerebro.broker.setcommission(commission=FEE)
    return cerebro.run()[0].fills


def main(path, cash):
    bars = np.load(path)
    opens, close = bars["open"], bars["close"]
    run(opens[:WARM_UP], close[:WARM_UP], cash)
    times = []
    for _ in range(RUNS):
        began = time.process_time()
        fills = run(opens, close, cash)
        times.append(time.process_time() - began)
    print(json.dumps({"once_s": times, "orders": fills, "is_tick_against": False}))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[3]))
