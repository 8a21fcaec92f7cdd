"""Section 5 of the design in Decimal: one trade after the other, no arrays, nothing skipped and nothing compiled.

Back-tests are held against it: an equal list of orders, and money to 0.01 KRW a fill.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, Decimal, localcontext

import numpy as np

from tickloop.domain import rules
from tickloop.domain.backtest_book import OUTCOMES, Book
from tickloop.domain.depth import Depth
from tickloop.domain.fills import FillModel
from tickloop.domain.strategy import BUY, SELL, Params
from tickloop.domain.tape import ForecastSeries, Tape

MINUTE = 60_000
_E8 = Decimal("1e-8")


@dataclass(eq=False)
class Level:
    price: Decimal
    size: Decimal
    left: Decimal


@dataclass
class Snapshot:
    """A recorded order book: levels of a side, best first; `left` is what orders of ours have left of it."""

    ts: int
    asks: list[Level]
    bids: list[Level]


@dataclass(eq=False)
class Lot:
    entry: Decimal
    filled: int
    qty: Decimal
    bought_by: int


@dataclass
class Order:
    side: int
    decided: int
    lots: list[Lot]
    outcome: str = "pending"
    filled: int = -1
    price: Decimal = Decimal(0)
    qty: Decimal = Decimal(0)
    funds: Decimal = Decimal(0)
    fee: Decimal = Decimal(0)
    book_ms: int = -1


@dataclass
class Reference:
    """A run of the default strategy over one market.

    Attributes:
        snapshots: recorded order books; without any, fills are at the trade's price and `ticks_against` it.
        trips: (row of the buy, row of the sell, quantity).
    """

    params: Params
    model: FillModel
    cash: Decimal
    market: str = "KRW-BTC"
    snapshots: Sequence[Snapshot] = ()
    lots: list[Lot] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    open: list[Order] = field(default_factory=list)
    trips: list[tuple[int, int, Decimal]] = field(default_factory=list)
    last_buy: int | None = None

    def trade(self, ts: int, price: Decimal, forecast: Decimal | None) -> None:
        self._resolve(ts, price)
        due = [lot for lot in self.lots if self._is_due(lot, ts, price)]
        is_selling = any(order.side == SELL for order in self.open)
        spend = Decimal(str(self.params.order_krw))
        if due and not is_selling and price * sum(lot.qty for lot in due) >= rules.min_total(self.market, ts):
            self._send(Order(SELL, ts, due))
        elif (
            forecast is not None
            and price * (1 + Decimal(str(self.params.min_edge))) < forecast
            and (self.last_buy is None or ts - self.last_buy > self.params.cooldown_ms)
            and not self.open
            and self.cash >= spend * (1 + rules.fee_rate(self.market, ts))
        ):
            self.last_buy = ts
            self._send(Order(BUY, ts, []))
        if self.model.latency_ms == 0:
            self._resolve(ts, price)

    def _is_due(self, lot: Lot, ts: int, price: Decimal) -> bool:
        num, den = self.params.take_profit_num, self.params.take_profit_den
        return price * den >= lot.entry * num or ts - lot.filled >= self.params.hold_ms

    def _send(self, order: Order) -> None:
        self.orders.append(order)
        self.open.append(order)

    def _resolve(self, ts: int, price: Decimal) -> None:
        for order in [one for one in self.open if ts >= one.decided + self.model.latency_ms]:
            self.open.remove(order)
            if ts > order.decided + self.model.latency_ms + 60_000:
                order.outcome = "no_fill"
            else:
                self._execute(order, ts, price)

    def _execute(self, order: Order, ts: int, price: Decimal) -> None:
        wanted = Decimal(str(self.params.order_krw)) if order.side == BUY else sum(lot.qty for lot in order.lots)
        side, standing = self._levels(order, ts, price)
        left = wanted
        for level in standing:
            can = left if order.side == SELL else (left / level.price).quantize(_E8, ROUND_FLOOR)
            taken = min(can, level.left)
            if taken:
                order.qty, order.funds = order.qty + taken, order.funds + taken * level.price
                for better in side[: side.index(level)]:
                    better.left = Decimal(0)
                level.left -= taken
            left -= taken if order.side == SELL else taken * level.price
            if taken == can:
                order.outcome = "filled"
                break
        else:
            order.outcome = "partial"
        if not order.qty:
            order.outcome = "no_fill"
            return
        order.filled, order.price = ts, order.funds / order.qty
        order.fee = order.funds * rules.fee_rate(self.market, ts)
        self.cash += (order.funds if order.side == SELL else -order.funds) - order.fee
        if order.side == BUY:
            self.lots.append(Lot(order.price, ts, order.qty, self.orders.index(order)))
        else:
            self._give_away(order)

    def _levels(self, order: Order, ts: int, price: Decimal) -> tuple[list[Level], list[Level]]:
        """Give a side and what of it can still be there: that of a recorded book, or one price without end."""
        known = [one for one in self.snapshots if ts - 10_000 <= one.ts <= ts]
        if known:
            side = known[-1].asks if order.side == BUY else known[-1].bids
            standing = [one for one in side if (one.price >= price if order.side == BUY else one.price <= price)]
            if any(one.size for one in standing):
                order.book_ms = known[-1].ts
                return side, standing
        step = rules.tick_size(self.market, price, ts) * self.model.ticks_against
        worse = price + step if order.side == BUY else price - step
        endless = [Level(worse, Decimal("Infinity"), Decimal("Infinity"))]
        return endless, endless

    def _give_away(self, order: Order) -> None:
        left = order.qty
        for lot in order.lots:
            sold = min(left, lot.qty)
            left -= sold
            lot.qty -= sold
            if sold:
                self.trips.append((lot.bought_by, self.orders.index(order), sold))
            if not lot.qty:
                self.lots.remove(lot)


def snapshots_of(depth: Depth) -> list[Snapshot]:
    """Read recorded order books into Decimal."""
    return [
        Snapshot(
            int(ts), _side(depth.ask_price[row], depth.ask_e8[row]), _side(depth.bid_price[row], depth.bid_e8[row])
        )
        for row, ts in enumerate(depth.ts_ms)
    ]


def _side(prices: np.ndarray, sizes_e8: np.ndarray) -> list[Level]:
    sizes = [int(size) * _E8 for size in sizes_e8]
    return [Level(Decimal(str(price)), size, size) for price, size in zip(prices, sizes, strict=True)]


def run_reference(
    tape: Tape, forecasts: ForecastSeries, params: Params, model: FillModel, cash: int, depth: Depth | None = None
) -> Reference:
    """Run the reference over a tape."""
    usable = zip(forecasts.minute_ms, forecasts.price, forecasts.usable_from_ms, strict=True)
    by_minute = {int(minute): (Decimal(str(price)), int(since)) for minute, price, since in usable}
    snapshots = [] if depth is None else snapshots_of(depth)
    reference = Reference(params, model, Decimal(cash), tape.market, snapshots)
    with localcontext(prec=60):
        for ts, price in zip(tape.ts_ms.tolist(), tape.price.tolist(), strict=True):
            known = by_minute.get(ts - ts % MINUTE)
            reference.trade(ts, Decimal(str(price)), known[0] if known and ts >= known[1] else None)
    return reference


def assert_equal(book: Book, reference: Reference) -> None:
    """Hold a book against the reference: the orders are equal, and money is to 0.01 KRW a fill."""
    found = book.orders[: book.purse[0]["orders"]]
    assert [
        (row["side"], row["decided_ms"], row["lots"], OUTCOMES[row["outcome"]], row["filled_ms"], row["qty_e8"])
        for row in found
    ] == [
        (one.side, one.decided, len(one.lots) or 1, one.outcome, one.filled, int(one.qty / _E8))
        for one in reference.orders
    ]
    assert found["book_ms"].tolist() == [one.book_ms for one in reference.orders]
    for row, one in zip(found, reference.orders, strict=True):
        assert abs(Decimal(float(row["funds"])) - one.funds) < Decimal("0.01")
        assert abs(Decimal(float(row["fee"])) - one.fee) < Decimal("0.01")
        assert one.filled < 0 or abs(Decimal(float(row["fill_price"])) / one.price - 1) < Decimal("1e-15")
    assert abs(Decimal(float(book.purse[0]["cash"])) - reference.cash) < Decimal("0.01") * (len(found) + 1)
    trips = book.trips[: book.purse[0]["trips"]].tolist()
    assert trips == [[buy, sell, int(qty / _E8)] for buy, sell, qty in reference.trips]
    lots = int(book.purse[0]["lots"])
    assert book.qty_e8[:lots].tolist() == [int(lot.qty / _E8) for lot in reference.lots]


def random_market(seed: int, count: int = 3_000, start_ms: int = 1_705_881_600_000) -> tuple[Tape, ForecastSeries]:
    """Give hours of a jumpy market: bursts in one millisecond, silences of minutes, forecasts that come late."""
    rng = np.random.default_rng(seed)
    gaps = rng.choice([0, 7, 200, 1_500, 9_000, 70_000, 400_000], count, p=[0.2, 0.2, 0.2, 0.2, 0.17, 0.02, 0.01])
    moves = rng.choice([-1, 0, 1], count) * rng.choice([1, 5, 40], count)
    price = np.clip(2_020_000 + 1_000 * np.cumsum(moves), 1_900_000, 2_200_000).astype(float)
    price = np.where(price < 2_000_000, price + 500 * rng.integers(0, 2, count), price)
    tape = Tape("KRW-BTC", start_ms + np.cumsum(gaps), price)
    minutes = np.arange(start_ms, tape.ts_ms[-1], MINUTE)
    minutes = minutes[rng.random(len(minutes)) < 0.7]
    at = np.clip(np.searchsorted(tape.ts_ms, minutes), 0, count - 1)
    forecast = np.round(price[at] * np.exp(rng.normal(0, 0.004, len(minutes))))
    usable = minutes + rng.choice([1_000, 1_000, 30_000, 70_000], len(minutes))
    return tape, ForecastSeries(minutes, forecast, usable)


def random_depth(tape: Tape, seed: int, levels: int, coins: float, gap_ms: int) -> Depth:
    """Give order books around the prices of a tape: some too old, thin, or behind the trades that follow.

    Args:
        coins: usual size of a level, in base units.
        gap_ms: usual time between two books.
    """
    rng = np.random.default_rng(seed)
    gaps = rng.exponential(gap_ms, int((tape.ts_ms[-1] - tape.ts_ms[0]) / gap_ms) + 1).astype(np.int64) + 1
    ts = tape.ts_ms[0] + np.cumsum(gaps)
    near = tape.price[np.clip(np.searchsorted(tape.ts_ms, ts, "right") - 1, 0, None)] // 1_000 * 1_000
    steps = np.cumsum(rng.integers(1, 4, (len(ts), 2, levels)), axis=2) * 1_000.0
    size = np.rint(rng.exponential(coins, (len(ts), 2, levels)) * 1e8).astype(np.int64)
    thin = np.arange(levels) >= rng.integers(0, 3 * levels, (len(ts), 2, 1))
    size[thin] = 0
    ask, bid = near[:, None] + steps[:, 0] - 1_000.0, near[:, None] - steps[:, 1]
    ask[thin[:, 0]] = 0.0
    bid[thin[:, 1]] = 0.0
    return Depth(ts, ask, size[:, 0].copy(), bid, size[:, 1].copy())
