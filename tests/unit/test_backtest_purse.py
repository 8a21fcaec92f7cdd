"""Several markets with one purse: against one market alone, against a plain reference, and however time is cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, Decimal
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jumpy import LIVELY, MINUTE, MODELS, START, forecasts_of, market, series_for
from tickloop.domain import rules
from tickloop.domain.backtest import run_ticks
from tickloop.domain.backtest_book import FILLED, OUTCOMES
from tickloop.domain.backtest_purse import Leg, PurseReplay, part_of, records_of, run_purse_ticks
from tickloop.domain.backtest_room import used
from tickloop.domain.backtest_shelf import Shelf
from tickloop.domain.fills import FILL_MODELS, FillModel
from tickloop.domain.kernel import plain
from tickloop.domain.strategies.shipped import SHIPPED
from tickloop.domain.strategy import BUY, SELL, Params, Strategy, decide, wake
from tickloop.domain.tape import ForecastSeries, Tape
from tickloop.errors import StrategyError, UsageError

NAMES = ("KRW-BTC", "KRW-ETH", "KRW-XRP", "KRW-SOL")
CASH = 13_000.0  # two lots: most of the time the markets wait for each other's cash
MARKETS = [market(seed, name, 2_000) for seed, name in enumerate(NAMES)]
SPREAD = FILL_MODELS["spread"]


def _legs(name: str, count: int) -> list[Leg]:
    return [Leg(market, LIVELY[name]) for market in NAMES[:count]]


def _inputs(name: str, count: int) -> tuple[list[Tape], list[ForecastSeries]]:
    return [tape for tape, _ in MARKETS[:count]], [series_for(name, *one) for one in MARKETS[:count]]


def _run(name: str, count: int, model: FillModel = SPREAD, cash: float = CASH, *, is_skipping: bool = True) -> Shelf:
    return run_purse_ticks(
        _legs(name, count), *_inputs(name, count), model, cash, strategy=SHIPPED[name], is_skipping=is_skipping
    )


def _books(shelf: Shelf) -> tuple[object, ...]:
    """Everything a replay came to, in bytes."""
    books = [used(shelf.book(market)) for market in range(len(shelf.books.purse))]
    return shelf.cash, shelf.orders.tobytes(), shelf.owners.tobytes(), books


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
@pytest.mark.parametrize("name", list(SHIPPED))
def test_one_market_alone_is_the_replay_of_one_market(name: str, model: FillModel) -> None:
    """To the byte."""
    (tape,), (forecasts,) = _inputs(name, 1)

    alone = run_ticks(tape, forecasts, LIVELY[name], model, 50_000.0, strategy=SHIPPED[name])

    assert used(_run(name, 1, model, 50_000.0).book(0)) == used(alone)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
@pytest.mark.parametrize("name", list(SHIPPED))
def test_skipping_trades_changes_nothing(name: str, model: FillModel) -> None:
    """Cash that another market spends or brings wakes those that sleep."""
    skipping, asking = (_run(name, len(NAMES), model, is_skipping=is_skipping) for is_skipping in (True, False))

    assert _books(skipping) == _books(asking)
    assert name in ("buy_and_hold", "do_nothing") or len(skipping.orders) > 20


@pytest.mark.parametrize("name", list(SHIPPED))
@settings(max_examples=15, deadline=None)
@given(
    cuts=st.lists(st.integers(0, int(MARKETS[0][0].ts_ms[-1]) - START), max_size=8),
    model=st.sampled_from(MODELS),
    count=st.integers(1, len(NAMES)),
    is_skipping=st.booleans(),
)
def test_any_cut_of_time_gives_the_same_books(
    name: str, cuts: list[int], model: FillModel, count: int, is_skipping: bool
) -> None:
    """A chunk has the trades of one span in all markets, and the forecasts of its minutes only."""
    tapes, forecasts = _inputs(name, count)
    replay = PurseReplay(_legs(name, count), model, CASH, strategy=SHIPPED[name], is_skipping=is_skipping)
    edges = [0, *(START + cut for cut in sorted(cuts)), 1 << 60]

    for start, end in pairwise(edges):
        parts = [part_of(tape, start, end) for tape in tapes]
        replay.feed(parts, [forecasts_of(one, start, min(end, 1 << 50) - 1) for one in forecasts])

    assert _books(replay.shelf) == _books(_run(name, count, model, is_skipping=is_skipping))


def test_uncompiled_strategy_gives_the_same_books() -> None:
    """Each market keeps its own parameters in plain code too."""
    legs = [Leg("KRW-BTC", Params(order_krw=5_000.0, min_edge=0.0)), Leg("KRW-ETH", Params(hold_ms=600_000))]
    tapes, forecasts = _inputs("default", 2)
    forgetful = Strategy("forgetful", _no_numba(plain(decide)), _no_numba(plain(wake)), {"default": Params()})

    slow = run_purse_ticks(legs, tapes, forecasts, SPREAD, CASH, strategy=forgetful)

    assert _books(slow) == _books(run_purse_ticks(legs, tapes, forecasts, SPREAD, CASH))
    spent = [float(row["funds"]) for row in slow.orders if row["side"] == BUY and row["outcome"] == FILLED]
    assert min(spent) < 5_001 < 5_999 < max(spent)


def _no_numba(function: Callable[..., Any]) -> Callable[..., Any]:
    """Call it through what numba does not compile."""
    return lambda *state: function(*(one for one in state if Decimal(1)))


def _decided(shelf: Shelf) -> list[tuple[int, int, str]]:
    """(place of the market, decided in ms after START, outcome)."""
    return [
        (owner, int(row["decided_ms"]) - START, OUTCOMES[row["outcome"]])
        for owner, row in zip(shelf.owners.tolist(), shelf.orders, strict=True)
    ]


def test_trades_of_one_millisecond_are_taken_in_the_order_of_the_markets() -> None:
    """Both want the last cash; whoever is first in the list gets it, whichever that is."""
    tapes = [_tape("KRW-BTC", (0, 60e6), (1_000, 50e6), (1_300, 50e6)), _tape("KRW-ETH", (1_000, 50e6), (1_300, 50e6))]

    def run(*order: int) -> Shelf:
        legs = [Leg(tapes[at].market, Params()) for at in order]
        return run_purse_ticks(legs, [tapes[at] for at in order], [_up(60e6), _up(60e6)], SPREAD, 6_003.0)

    assert _decided(run(0, 1)) == [(0, 1_000, "filled")]
    assert _decided(run(1, 0)) == [(0, 1_000, "filled")]


@pytest.mark.parametrize(("cash", "markets"), [(12_005.9, [0]), (12_006.0, [0, 1])])
def test_cash_of_a_buy_in_flight_is_not_free_for_another_market(cash: float, markets: list[int]) -> None:
    """Two buys with their fees take 12,006 KRW; BTC's is in flight while ETH could decide."""
    tapes = [_tape("KRW-BTC", (1_000, 50e6), (9_000, 50e6)), _tape("KRW-ETH", (1_100, 50e6), (8_999, 50e6))]
    legs = [Leg(tape.market, Params()) for tape in tapes]

    shelf = run_purse_ticks(legs, tapes, [_up(60e6), _up(60e6)], SPREAD, cash)

    assert [market for market, _, _ in _decided(shelf)] == markets


def test_market_that_slept_for_want_of_cash_wakes_when_another_gives_it_back() -> None:
    """ETH cannot pay at 2,000; BTC's order without fill gives its cash back at 70,000, and ETH buys at 70,001."""
    tapes = [
        _tape("KRW-BTC", (1_000, 50e6), (70_000, 70e6)),
        _tape("KRW-ETH", (2_000, 50e6), (69_000, 50e6), (69_999, 50e6), (70_001, 50e6), (70_400, 50e6)),
    ]
    legs = [Leg(tape.market, Params()) for tape in tapes]

    shelf = run_purse_ticks(legs, tapes, [_up(60e6), _up(60e6, minutes=2)], SPREAD, 6_003.0)

    assert _decided(shelf) == [(0, 1_000, "no_fill"), (1, 70_001, "filled")]


def _tape(name: str, *trades: tuple[int, float]) -> Tape:
    return Tape(name, np.array([START + ms for ms, _ in trades]), np.array([price for _, price in trades]))


def _up(price: float, minutes: int = 1) -> ForecastSeries:
    minute = START + MINUTE * np.arange(minutes)
    return ForecastSeries(minute, np.full(minutes, price), minute + 1_000)


@pytest.mark.parametrize("markets", [[], ["KRW-BTC", "KRW-ETH", "KRW-BTC"]])
def test_markets_that_cannot_share_a_purse_are_refused(markets: list[str]) -> None:
    """None at all, and one twice."""
    with pytest.raises(UsageError, match="cannot share a purse; valid: 1 to 4096, each once"):
        PurseReplay([Leg(market, Params()) for market in markets], SPREAD, CASH)


def test_parameters_become_records_of_the_same_values() -> None:
    """Whole numbers stay whole; what is no number is named."""
    records = records_of([Params(), Params(order_krw=7_000.0, hold_ms=5)])

    assert records["hold_ms"].tolist() == [3_600_000, 5]
    assert records.dtype["take_profit_num"] == np.int64
    assert [row[1:] for row in records.tolist()] == [tuple(Params()), tuple(Params(order_krw=7_000.0, hold_ms=5))]
    with pytest.raises(UsageError, match="parameter order_krw is 'much'"):
        records_of([Params(order_krw="much")])  # type: ignore[arg-type]


def test_fault_of_a_strategy_names_it() -> None:
    """As with one market."""
    tapes, forecasts = _inputs("default", 2)
    wrong = Strategy("wrong", lambda *state: 7, None, {"default": Params()})

    with pytest.raises(StrategyError, match=r"strategy 'wrong' at the trade of .* its decide answered"):
        run_purse_ticks(_legs("default", 2), tapes, forecasts, SPREAD, CASH, strategy=wrong)


# --- against a plain reference ----------------------------------------------------------------------------------


@dataclass(eq=False)
class _Lot:
    entry: Decimal
    filled: int
    qty: Decimal


@dataclass(eq=False)
class _Order:
    market: int
    side: int
    decided: int
    lots: list[_Lot]
    outcome: str = "pending"
    filled: int = -1
    qty: Decimal = Decimal(0)
    funds: Decimal = Decimal(0)


@dataclass
class _Reference:
    """Section 5 of the design in Decimal over merged trades: one list of lots and orders, nothing skipped."""

    params: Sequence[Params]
    model: FillModel
    cash: Decimal
    orders: list[_Order] = field(default_factory=list)
    lots: dict[int, list[_Lot]] = field(default_factory=dict)
    last_buy: dict[int, int] = field(default_factory=dict)

    def trade(self, market: int, ts: int, price: Decimal, forecast: Decimal | None) -> None:
        self._resolve(market, ts, price)
        params, lots = self.params[market], self.lots.setdefault(market, [])
        mine = [order for order in self._open() if order.market == market]
        due = [lot for lot in lots if price * 1000 >= lot.entry * 1002 or ts - lot.filled >= params.hold_ms]
        is_selling = any(order.side == SELL for order in mine)
        if due and not is_selling and price * sum(lot.qty for lot in due) >= 5000:
            self.orders.append(_Order(market, SELL, ts, due))
        elif (
            forecast is not None
            and price * (1 + Decimal(str(params.min_edge))) < forecast
            and (market not in self.last_buy or ts - self.last_buy[market] > params.cooldown_ms)
            and not mine
            and self._free() >= self._cost(market)
        ):
            self.last_buy[market] = ts
            self.orders.append(_Order(market, BUY, ts, []))
        if self.model.latency_ms == 0:
            self._resolve(market, ts, price)

    def _open(self) -> list[_Order]:
        return [order for order in self.orders[-50:] if order.outcome == "pending"]

    def _cost(self, market: int) -> Decimal:
        return Decimal(str(self.params[market].order_krw)) * Decimal("1.0005")

    def _free(self) -> Decimal:
        return self.cash - sum(self._cost(order.market) for order in self._open() if order.side == BUY)

    def _resolve(self, market: int, ts: int, price: Decimal) -> None:
        latency, against = self.model.latency_ms, self.model.ticks_against
        for order in [one for one in self._open() if one.market == market and ts >= one.decided + latency]:
            if ts > order.decided + latency + 60_000:
                order.outcome = "no_fill"
                continue
            order.outcome, order.filled = "filled", ts
            step = rules.tick_size(NAMES[market], price, ts) * against
            paid = price + step if order.side == BUY else price - step
            if order.side == BUY:
                krw = Decimal(str(self.params[market].order_krw))
                order.qty = (krw / paid).quantize(Decimal("1e-8"), ROUND_FLOOR)
                self.lots[market].append(_Lot(paid, ts, order.qty))
            else:
                order.qty = sum((lot.qty for lot in order.lots), Decimal(0))
                self.lots[market] = [lot for lot in self.lots[market] if lot not in order.lots]
            order.funds = order.qty * paid
            fee = order.funds * Decimal("0.0005")
            self.cash += (order.funds if order.side == SELL else -order.funds) - fee


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
@pytest.mark.parametrize("cash", [CASH, 40_000.0])
def test_orders_equal_those_of_the_plain_reference(cash: float, model: FillModel) -> None:
    """Markets, sides, times, outcomes and quantities are equal; money to 0.01 KRW a fill."""
    params = [Params(order_krw=5_000.0, min_edge=0.0), Params(), Params(order_krw=7_000.0, hold_ms=900_000)]
    tapes, forecasts = _inputs("default", 3)
    reference = _Reference(params, model, Decimal(str(cash)))
    known = [
        {
            minute: (Decimal(str(price)), since)
            for minute, price, since in zip(
                one.minute_ms.tolist(), one.price.tolist(), one.usable_from_ms.tolist(), strict=True
            )
        }
        for one in forecasts
    ]
    merged = sorted((int(ts), at, row) for at, tape in enumerate(tapes) for row, ts in enumerate(tape.ts_ms))
    for ts, at, row in merged:
        forecast = known[at].get(ts - ts % MINUTE)
        usable = forecast[0] if forecast and ts >= forecast[1] else None
        reference.trade(at, ts, Decimal(str(tapes[at].price[row])), usable)

    shelf = run_purse_ticks([Leg(*leg) for leg in zip(NAMES, params, strict=False)], tapes, forecasts, model, cash)

    assert len(shelf.orders) > 50
    assert [
        (
            owner,
            *(int(row[key]) for key in ("side", "decided_ms", "lots", "filled_ms", "qty_e8")),
            OUTCOMES[row["outcome"]],
        )
        for owner, row in zip(shelf.owners.tolist(), shelf.orders, strict=True)
    ] == [
        (one.market, one.side, one.decided, len(one.lots) or 1, one.filled, int(one.qty * 10**8), one.outcome)
        for one in reference.orders
    ]
    for row, one in zip(shelf.orders, reference.orders, strict=True):
        assert abs(Decimal(float(row["funds"])) - one.funds) < Decimal("0.01")
    assert abs(Decimal(shelf.cash) - reference.cash) < Decimal("0.01") * len(shelf.orders)
