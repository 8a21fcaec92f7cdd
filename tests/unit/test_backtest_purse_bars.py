"""Bar mode over several markets with one purse: against one market alone, a plain reference, and in chunks."""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jumpy import LIVELY, MINUTE, START, forecasts_of, market
from tickloop.domain.backtest_inputs import minutes_of
from tickloop.domain.backtest_purse import Leg
from tickloop.domain.backtest_purse_bars import BarPurseReplay, run_purse_bars
from tickloop.domain.backtest_room import used
from tickloop.domain.backtest_shelf import Shelf
from tickloop.domain.rules import tick_size
from tickloop.domain.strategies.shipped import SHIPPED
from tickloop.domain.strategies.sma_cross import SmaCrossParams
from tickloop.domain.strategy import BUY, SELL, Params
from tickloop.domain.strategy_bars import run_strategy_bars
from tickloop.domain.tape import BarTape, ForecastSeries
from tickloop.errors import UsageError

NAMES = ("KRW-BTC", "KRW-ETH", "KRW-XRP")
CASH = 13_000.0
TICKS = [market(seed, name) for seed, name in enumerate(NAMES, start=5)]
BARS = [minutes_of(tape) for tape, _ in TICKS]
FORECASTS = [forecasts for _, forecasts in TICKS]
LAST = max(int(bars.ts_ms[-1]) for bars in BARS)


def _run(name: str, count: int, cash: float = CASH) -> Shelf:
    legs = [Leg(market, LIVELY[name]) for market in NAMES[:count]]
    return run_purse_bars(legs, BARS[:count], FORECASTS[:count], cash, strategy=SHIPPED[name])


def _part(bars: BarTape, start: int, end: int) -> BarTape:
    part = slice(*np.searchsorted(bars.ts_ms, (start, end)))
    return BarTape(bars.market, bars.ts_ms[part], bars.open[part], bars.high[part], bars.close[part])


def _bytes(shelf: Shelf) -> tuple[object, ...]:
    books = [used(shelf.book(market)) for market in range(len(shelf.books.purse))]
    return shelf.cash, shelf.orders.tobytes(), shelf.owners.tobytes(), books


@pytest.mark.parametrize("name", list(SHIPPED))
def test_one_market_alone_is_the_bar_mode_of_one_market(name: str) -> None:
    """Orders to the byte; those of a strategy with a signal by another engine, so their cash to its last digits."""
    alone = run_strategy_bars(SHIPPED[name], BARS[0], FORECASTS[0], LIVELY[name], 50_000.0)
    book = _run(name, 1, 50_000.0).book(0)

    assert book.orders.tobytes() == alone.orders[: alone.purse[0]["orders"]].tobytes()
    assert book.trips.tobytes() == alone.trips[: alone.purse[0]["trips"]].tobytes()
    assert book.purse[0]["cash"] == pytest.approx(alone.purse[0]["cash"], abs=1e-9)
    assert name in ("buy_and_hold", "do_nothing") or len(book.orders) > 10


@settings(max_examples=40, deadline=None)
@given(cuts=st.lists(st.integers(0, (LAST - START) // MINUTE), max_size=8), count=st.integers(1, len(NAMES)))
def test_any_cut_of_time_gives_the_same_books(cuts: list[int], count: int) -> None:
    """A chunk has the bars of one span of minutes in all markets, and their forecasts."""
    replay = BarPurseReplay([Leg(market, LIVELY["default"]) for market in NAMES[:count]], CASH)

    for start, end in pairwise([START - MINUTE, *(START + cut * MINUTE for cut in sorted(cuts)), LAST + MINUTE]):
        parts = [_part(bars, start, end) for bars in BARS[:count]]
        replay.feed(parts, [forecasts_of(one, start, end - 1) for one in FORECASTS[:count]])

    assert _bytes(replay.shelf) == _bytes(_run("default", count))


def test_cash_of_a_sale_at_a_target_is_usable_from_the_next_minute_on_in_every_market() -> None:
    """BTC's lot is sold within minute 2; ETH, at whose open the high was not known, buys at minute 3."""
    btc = _bars("KRW-BTC", (0, 50e6, 50e6), (2, 50e6, 51e6), (3, 50e6, 50e6))
    eth = _bars("KRW-ETH", (2, 50e6, 50e6), (3, 50e6, 50e6))
    legs = [Leg("KRW-BTC", Params(min_edge=0.1)), Leg("KRW-ETH", Params(min_edge=0.0))]
    forecasts = [_up(0), _up(2, 3)]

    shelf = run_purse_bars(legs, [btc, eth], forecasts, 6_003.0)

    decided = [(owner, int(row["side"]), (int(row["decided_ms"]) - START) // MINUTE) for owner, row in _rows(shelf)]
    assert decided == [(0, BUY, 0), (0, SELL, 2), (1, BUY, 3)]


def _rows(shelf: Shelf) -> list[tuple[int, np.void]]:
    return list(zip(shelf.owners.tolist(), shelf.orders, strict=True))


def _bars(name: str, *rows: tuple[int, float, float]) -> BarTape:
    """Bars as (minute, open, high)."""
    opens, highs = np.array([row[1] for row in rows]), np.array([row[2] for row in rows])
    return BarTape(name, np.array([START + row[0] * MINUTE for row in rows]), opens, highs, opens)


def _up(*minutes: int) -> ForecastSeries:
    at = START + MINUTE * np.array(minutes)
    return ForecastSeries(at, np.full(len(minutes), 60e6), at)


def test_parameters_of_another_strategy_are_refused() -> None:
    """Compiled code would look for fields that are not there."""
    with pytest.raises(UsageError, match="SmaCrossParams are not of strategy default"):
        run_purse_bars([Leg("KRW-BTC", SmaCrossParams())], BARS[:1], FORECASTS[:1], CASH)


@pytest.mark.parametrize("cash", [CASH, 60_000.0])
def test_fills_equal_those_of_the_plain_reference(cash: float) -> None:
    """The three rules of the design in Decimal: every open of a minute in the order of the markets, then its highs."""
    params = [LIVELY["default"], Params(min_edge=0.0), Params(order_krw=7_000.0, min_edge=0.0)]
    legs = [Leg(*leg) for leg in zip(NAMES, params, strict=True)]

    shelf = run_purse_bars(legs, BARS, FORECASTS, cash)
    fills, left = _reference(legs, cash)

    assert [
        (owner, int(row["side"]), int(row["filled_ms"]), float(row["fill_price"]), int(row["qty_e8"]))
        for owner, row in _rows(shelf)
    ] == fills
    assert len({fill[0] for fill in fills}) == len(NAMES)
    assert len(fills) > 50
    assert abs(Decimal(shelf.cash) - left) < Decimal("0.01") * len(fills)


def _reference(legs: list[Leg], budget: float) -> tuple[list[tuple[int, int, int, float, int]], Decimal]:
    fee, cash = Decimal("0.0005"), Decimal(budget)
    lots: list[list[tuple[Decimal, int, Decimal]]] = [[] for _ in legs]
    last_buy: dict[int, int] = {}
    fills: list[tuple[int, int, int, float, int]] = []
    forecasts = [dict(zip(one.minute_ms.tolist(), one.price.tolist(), strict=True)) for one in FORECASTS]
    rows = [
        {
            ts: (Decimal(opened), Decimal(high))
            for ts, opened, high in zip(tape.ts_ms.tolist(), tape.open.tolist(), tape.high.tolist(), strict=True)
        }
        for tape in BARS
    ]

    def fill(market: int, side: int, ts: int, price: Decimal, qty: Decimal) -> Decimal:
        fills.append((market, side, ts, float(price), int(qty * 10**8)))
        return qty * price

    for ts in sorted({ts for tape in rows for ts in tape}):
        there = [at for at in range(len(legs)) if ts in rows[at]]
        for at in there:
            params, opened = legs[at].params, rows[at][ts][0]
            tick = tick_size(NAMES[at], opened, ts)
            late = [lot for lot in lots[at] if ts - lot[1] >= 3_600_000]
            total = sum((lot[2] for lot in late), Decimal(0))
            if late and total * opened >= 5_000:
                lots[at] = [lot for lot in lots[at] if lot not in late]
                cash += fill(at, SELL, ts, opened - tick, total) * (1 - fee)
            forecast = forecasts[at].get(ts)
            edge = 1 + Decimal(str(params._asdict()["min_edge"]))
            is_cool = at not in last_buy or ts - last_buy[at] >= MINUTE
            spend = Decimal(str(params.order_krw))
            if forecast is not None and opened * edge < Decimal(forecast) and is_cool and cash >= spend * (1 + fee):
                qty = (spend / (opened + tick)).quantize(Decimal("1e-8"), ROUND_FLOOR)
                cash -= fill(at, BUY, ts, opened + tick, qty) * (1 + fee)
                lots[at].append((opened + tick, ts, qty))
                last_buy[at] = ts
        for at in there:
            high = rows[at][ts][1]
            for lot in list(lots[at]):
                target = lot[0] * 1002 / 1000
                step = tick_size(NAMES[at], high, ts)
                if lot[1] < ts and target < high - step and target * lot[2] >= 5_000:
                    lots[at].remove(lot)
                    cash += fill(at, SELL, ts, target, lot[2]) * (1 - fee)
    return fills, cash
