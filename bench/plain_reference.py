"""The default strategy in plain Python and Decimal, one trade after the other: what the compiled replay must equal."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, Decimal

from tickloop.domain import rules
from tickloop.domain.fills import FILL_WINDOW_MS, FillModel
from tickloop.domain.strategy import BUY, SELL, Params
from tickloop.domain.tape import ForecastSeries, Tape
from tickloop.domain.window import MINUTE_MS

_STEP = Decimal("1e-8")


@dataclass(eq=False)
class _Lot:
    entry: Decimal
    filled_ms: int
    qty: Decimal


@dataclass(eq=False)
class _Order:
    side: int
    decided_ms: int
    lots: list[_Lot] = field(default_factory=list)
    fill: tuple[int, float, int] | None = None


class _Replay:
    def __init__(self, tape: Tape, params: Params, model: FillModel, cash: float) -> None:
        self.market, self.params, self.model, self.cash = tape.market, params, model, Decimal(str(cash))
        self.order_krw, self.edge = Decimal(str(params.order_krw)), Decimal(str(params.min_edge))
        self.fee = Decimal(str(params.fee_rate))
        self.lots: list[_Lot] = []
        self.orders: list[_Order] = []
        self.open: list[_Order] = []
        self.last_buy_ms: int | None = None

    def trade(self, now: int, price: Decimal, forecast: Decimal | None) -> None:
        for order in [one for one in self.open if now >= one.decided_ms + self.model.latency_ms]:
            self.open.remove(order)
            if now <= order.decided_ms + self.model.latency_ms + FILL_WINDOW_MS:
                self._fill(order, now, price)
        due = [lot for lot in self.lots if self._is_due(lot, now, price)]
        is_selling = any(order.side == SELL for order in self.open)
        if due and not is_selling and price * sum(lot.qty for lot in due) >= Decimal(str(self.params.min_total)):
            self._send(_Order(SELL, now, due))
        elif forecast is not None and not self.open and price * (1 + self.edge) < forecast and self._can_buy(now):
            self.last_buy_ms = now
            self._send(_Order(BUY, now))

    def _is_due(self, lot: _Lot, now: int, price: Decimal) -> bool:
        is_target = price * self.params.take_profit_den >= lot.entry * self.params.take_profit_num
        return is_target or now - lot.filled_ms >= self.params.hold_ms

    def _can_buy(self, now: int) -> bool:
        is_cool = self.last_buy_ms is None or now - self.last_buy_ms > self.params.cooldown_ms
        return is_cool and self.cash >= self.order_krw * (1 + self.fee)

    def _send(self, order: _Order) -> None:
        self.orders.append(order)
        self.open.append(order)

    def _fill(self, order: _Order, now: int, price: Decimal) -> None:
        against = rules.tick_size(self.market, price, now) * self.model.ticks_against
        if order.side == BUY:
            price += against
            qty = (self.order_krw / price).quantize(_STEP, ROUND_FLOOR)
            self.lots.append(_Lot(price, now, qty))
            self.cash -= qty * price * (1 + self.fee)
        else:
            price -= against
            qty = sum((lot.qty for lot in order.lots), Decimal(0))
            self.lots = [lot for lot in self.lots if lot not in order.lots]
            self.cash += qty * price * (1 - self.fee)
        order.fill = (now, float(price), int(qty / _STEP))


def plain_run(
    tape: Tape, forecasts: ForecastSeries, params: Params, model: FillModel, cash: float
) -> tuple[list[tuple[int, int, int, float, int]], float]:
    """Give the orders that filled, as (side, decided ms, filled ms, price, quantity in 1e-8), and the cash left."""
    replay = _Replay(tape, params, model, cash)
    rows = zip(forecasts.minute_ms.tolist(), forecasts.price.tolist(), forecasts.usable_from_ms.tolist(), strict=True)
    usable = {minute: (Decimal(repr(price)), from_ms) for minute, price, from_ms in rows}
    for now, price in zip(tape.ts_ms.tolist(), tape.price.tolist(), strict=True):
        forecast, from_ms = usable.get(now - now % MINUTE_MS, (None, 0))
        replay.trade(now, Decimal(repr(price)), forecast if now >= from_ms else None)
    filled = [(order.side, order.decided_ms, *order.fill) for order in replay.orders if order.fill is not None]
    return filled, float(replay.cash)
