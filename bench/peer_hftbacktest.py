"""`python peer_hftbacktest.py TICKS RUNS`, in hftbacktest's environment: the default strategy over trades.

TICKS is an npz file: ts_ms, price, minute_ms, forecast, usable_ms, tick (KRW), cash and the values of Params by name.

hftbacktest fills against a book, so one is made whose best prices say our fill rule: from half a millisecond after the
millisecond of one trade, the book at the exchange is the next trade's price and a tick on either side; an order that
arrives 300 ms after its decision meets the price of the first trade from then on. Local time tells trades of one
millisecond apart by nanoseconds. hftbacktest wants the quantity with the order and we know it at the fill, so an order
here is of one coin a lot, and lots and purse are kept by the strategy from the prices that hftbacktest filled at.

Prints one JSON object: CPU seconds of each run after a warm-up (building the back-test included, making its events
not), those of a run that only waits for each trade, the orders, and rows of the events.
"""

import json
import sys
import time

import numpy as np
from hftbacktest import (
    BUY_EVENT,
    DEPTH_EVENT,
    EXCH_EVENT,
    GTC,
    LOCAL_EVENT,
    MARKET,
    SELL_EVENT,
    TRADE_EVENT,
    BacktestAsset,
    ROIVectorMarketDepthBacktest,
    event_dtype,
)
from numba import njit

MS = 1_000_000  # ns
LATENCY_NS = 300 * MS
EARLIER_NS = 1_000  # an order meets the first trade of its millisecond, whatever its place in its own
MOST_IN_A_MS = 1_000
FOREVER = 1 << 62
DAY_NS = 86_400_000 * MS
BUY, SELL = 2, 1
PARAMS = (
    "order_krw",
    "min_edge",
    "fee_rate",
    "take_profit_num",
    "take_profit_den",
    "hold_ms",
    "cooldown_ms",
    "min_total",
)
BIDS = DEPTH_EVENT | EXCH_EVENT | BUY_EVENT
ASKS = DEPTH_EVENT | EXCH_EVENT | SELL_EVENT


@njit
def count_rows(ts, level, low, high):
    """Give how many events `write_rows` writes."""
    rows = 2 * (high - low + 1) + len(ts) + 1
    was = level[0]
    for at in range(1, len(ts)):
        if ts[at] != ts[at - 1]:
            rows += 2 * abs(level[at] - was)
            was = level[at]
    return rows


@njit
def set_row(row, ev, exch_ns, local_ns, price, qty):
    row["ev"], row["exch_ts"], row["local_ts"], row["px"], row["qty"] = ev, exch_ns, local_ns, price, qty
    row["order_id"], row["ival"], row["fval"] = 0, 0, 0.0


@njit
def write_rows(rows, ts, level, tick, low, high):
    """Write the book and the trades; `level` is the price in ticks, low to high the prices that the book has."""
    row = 0
    start = ts[0] * MS - MS
    for price in range(low, high + 1):  # all bids up to a tick below the first trade, all asks from a tick above it
        set_row(rows[row], BIDS, start, start, price * tick, 1.0 if price < level[0] else 0.0)
        set_row(rows[row + 1], ASKS, start, start, price * tick, 1.0 if price > level[0] else 0.0)
        row += 2
    was, place = level[0], 0
    for at in range(len(ts)):
        place = place + 1 if at > 0 and ts[at] == ts[at - 1] else 0
        if at > 0 and place == 0:
            now = ts[at - 1] * MS + MS // 2
            while was < level[at]:  # a bid more, an ask less
                set_row(rows[row], BIDS, now, now, was * tick, 1.0)
                set_row(rows[row + 1], ASKS, now, now, (was + 1) * tick, 0.0)
                was, row = was + 1, row + 2
            while was > level[at]:
                set_row(rows[row], ASKS, now, now, was * tick, 1.0)
                set_row(rows[row + 1], BIDS, now, now, (was - 1) * tick, 0.0)
                was, row = was - 1, row + 2
        now = ts[at] * MS + place
        set_row(rows[row], TRADE_EVENT | LOCAL_EVENT | BUY_EVENT, now, now, level[at] * tick, 1.0)
        row += 1
    end = ts[-1] * MS + 3 * DAY_NS  # out of reach of the last wait: without a row after it, the last trade is not told
    set_row(rows[row], BIDS, end, end, low * tick, 1.0)


def events_of(ts, price, tick):
    assert (np.diff(np.unique(ts, return_index=True)[1]) < MOST_IN_A_MS).all(), "too many trades in a millisecond"
    level = np.round(price / tick).astype(np.int64)
    assert (level * tick == price).all(), "a price is not a whole number of ticks"
    low, high = int(level.min()) - 2, int(level.max()) + 2
    rows = np.zeros(count_rows(ts, level, low, high), event_dtype)
    write_rows(rows, ts, level, float(tick), low, high)
    return rows, low * tick, high * tick


def backtest_of(rows, low, high, tick):
    asset = (
        BacktestAsset()
        .data(rows)
        .linear_asset(1.0)
        .constant_order_latency(LATENCY_NS - EARLIER_NS, 0)
        .risk_adverse_queue_model()
        .no_partial_fill_exchange()
        .trading_value_fee_model(0.0, 0.0005)
        .tick_size(tick)
        .lot_size(1e-8)
        .roi_lb(low)
        .roi_ub(high)
        .last_trades_capacity(MOST_IN_A_MS)
    )
    return ROIVectorMarketDepthBacktest([asset])


@njit
def only_wait(hbt):
    trades = 0
    while hbt.wait_next_feed(False, DAY_NS) == 2:
        trades += len(hbt.last_trades(0))
        hbt.clear_last_trades(0)
    return trades


@njit
def trade(  # noqa: C901 (one function, as hftbacktest's own examples are)
    hbt, minute, forecast_price, usable, params, cash, orders
):
    """The default strategy; give the number of orders (side, decided ms, filled ms, price, quantity in 1e-8)."""
    order_krw, min_edge, fee_rate, num, den, hold_ms, cooldown_ms, min_total = params
    entry, filled_at, qty = np.empty(10_000), np.empty(10_000, np.int64), np.empty(10_000, np.int64)
    is_leaving = np.zeros(10_000, np.bool_)
    lots = count = nth = until = 0
    buying = selling = -1
    last_buy, forecast = -FOREVER, np.nan
    while hbt.wait_next_feed(False, DAY_NS) == 2:
        now = hbt.current_timestamp // MS
        price = hbt.last_trades(0)[-1].px
        hbt.clear_last_trades(0)
        if buying >= 0 or selling >= 0:
            found = hbt.orders(0)
            if buying >= 0 and found.get(buying).exec_qty > 0.0:
                fill = found.get(buying).exec_price
                bought = int(np.floor(order_krw * 1e8 / fill))
                cash -= fill * bought / 1e8 + fill * bought / 1e8 * fee_rate
                entry[lots], filled_at[lots], qty[lots], is_leaving[lots] = fill, now, bought, False
                lots += 1
                orders[buying, 2], orders[buying, 3], orders[buying, 4] = now, fill, bought
                buying = -1
            if selling >= 0 and found.get(selling).exec_qty > 0.0:
                fill = found.get(selling).exec_price
                kept = sold = 0
                for lot in range(lots):
                    if is_leaving[lot]:
                        sold += qty[lot]
                    else:
                        entry[kept], filled_at[kept], qty[kept] = entry[lot], filled_at[lot], qty[lot]
                        is_leaving[kept] = False
                        kept += 1
                lots = kept
                cash += fill * sold / 1e8 - fill * sold / 1e8 * fee_rate
                orders[selling, 2], orders[selling, 3], orders[selling, 4] = now, fill, sold
                selling = -1
            hbt.clear_inactive_orders(0)
        if until <= now:
            while nth < len(minute) and minute[nth] + 60_000 <= now:
                nth += 1
            forecast, until = np.nan, FOREVER
            if nth < len(minute):
                until = minute[nth] + 60_000
                begin = max(minute[nth], usable[nth])
                if now >= begin:
                    forecast = forecast_price[nth]
                else:
                    until = min(begin, until)
        if selling < 0:
            due = due_lots = 0
            for lot in range(lots):
                if now - filled_at[lot] >= hold_ms or price * den >= entry[lot] * num:
                    due += qty[lot]
                    due_lots += 1
            if due > 0 and price * due >= min_total * 1e8:
                for lot in range(lots):
                    is_leaving[lot] = now - filled_at[lot] >= hold_ms or price * den >= entry[lot] * num
                hbt.submit_sell_order(0, count, price, float(due_lots), GTC, MARKET, False)
                orders[count, 0], orders[count, 1], orders[count, 2] = SELL, now, -1
                selling = count
                count += 1
                continue
        if (
            selling < 0
            and buying < 0
            and price + price * min_edge < forecast
            and now - last_buy > cooldown_ms
            and cash >= order_krw + order_krw * fee_rate
        ):
            hbt.submit_buy_order(0, count, price, 1.0, GTC, MARKET, False)
            orders[count, 0], orders[count, 1], orders[count, 2] = BUY, now, -1
            last_buy = now
            buying = count
            count += 1
    return count, cash


def main(path, runs):
    given = dict(np.load(path))
    params = tuple(given[name].item() for name in PARAMS)
    cash, tick = float(given["cash"]), float(given["tick"])
    rows, low, high = events_of(given["ts_ms"], given["price"], int(tick))
    orders = np.zeros((100_000, 5))

    def run():
        hbt = backtest_of(rows, low, high, tick)
        found = trade(hbt, given["minute_ms"], given["forecast"], given["usable_ms"], params, cash, orders)
        hbt.close()
        return found

    def wait():
        hbt = backtest_of(rows, low, high, tick)
        seen = only_wait(hbt)
        hbt.close()
        return seen

    count, left = run()
    assert wait() == len(given["ts_ms"]), "hftbacktest did not give every trade"
    told = {"orders": orders[:count].tolist(), "cash": left, "rows": len(rows)}
    print(json.dumps({**told, "run_s": timed(run, runs), "wait_s": timed(wait, runs)}))


def timed(work, runs):
    times = []
    for _ in range(runs):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return times


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
