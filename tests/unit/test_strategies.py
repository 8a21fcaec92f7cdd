"""Every shipped strategy: what it does, that nothing of the future reaches it, and that skipping changes nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickloop.domain.backtest import run_ticks
from tickloop.domain.backtest_bars import run_buy_and_hold
from tickloop.domain.backtest_book import FILLED, Book
from tickloop.domain.backtest_result import Minutes, Setup, result_of
from tickloop.domain.fills import FILL_MODELS, FillModel
from tickloop.domain.strategies.grid import GridParams, grid
from tickloop.domain.strategies.mean_reversion import MeanReversionParams, mean_reversion
from tickloop.domain.strategies.plain import PlainParams, all_of, buy_and_hold, do_nothing
from tickloop.domain.strategies.shipped import SHIPPED
from tickloop.domain.strategies.sma_cross import SmaCrossParams, sma_cross
from tickloop.domain.strategy import (
    BUY,
    BUY_IN_FLIGHT,
    NEVER,
    NOTHING,
    SELL,
    SELL_IN_FLIGHT,
    OrderParams,
    Params,
    Strategy,
    params_of,
)
from tickloop.domain.strategy_bars import run_strategy_bars, signal_of, signal_series
from tickloop.domain.strategy_params import params_for
from tickloop.domain.tape import BarTape, ForecastSeries, Tape
from tickloop.errors import StrategyError, UsageError

NOW = 1_705_881_600_000
MINUTE = 60_000
HOUR = 3_600_000
NAN = float("nan")
SPREAD = FILL_MODELS["spread"]

# So that each acts often on the tapes below.
LIVELY: dict[str, OrderParams] = {
    "default": Params(order_krw=5_000.0, min_edge=0.0),
    "buy_and_hold": PlainParams(),
    "do_nothing": PlainParams(),
    "sma_cross": SmaCrossParams(fast=2, slow=5),
    "grid": GridParams(fall_bp=20, rise_bp=20, max_lots=5),
    "mean_reversion": MeanReversionParams(order_krw=5_000.0, min_edge=0.0, hold_ms=600_000),
}
ACTIVE = [name for name in SHIPPED if name not in ("buy_and_hold", "do_nothing")]

Lot = tuple[float, int, int]  # entry, filled_at_ms, qty_e8


def _arrays(lots: Sequence[Lot]) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    return (
        np.array([lot[0] for lot in lots], np.float64),
        np.array([lot[1] for lot in lots], np.int64),
        np.array([lot[2] for lot in lots], np.int64),
        len(lots),
    )


def _decide(
    strategy: Strategy,
    params: OrderParams,
    price: float,
    lots: Sequence[Lot] = (),
    *,
    forecast: float = NAN,
    cash: float = 50_000.0,
    last_buy_ms: int = NEVER,
    in_flight: int = 0,
) -> int:
    return strategy.decide(params, *_arrays(lots), cash, last_buy_ms, in_flight, NOW, price, forecast)


def test_each_strategy_has_a_default_preset_within_its_own_ranges() -> None:
    """And a range for every parameter but the exchange's."""
    assert list(SHIPPED) == ["default", "buy_and_hold", "do_nothing", "sma_cross", "grid", "mean_reversion"]
    for name, strategy in SHIPPED.items():
        params = params_for(strategy, "KRW-BTC", NOW)
        assert params == strategy.presets["default"]
        assert strategy.name == name
        assert set(strategy.space) <= set(params._asdict())


def test_parameters_are_the_preset_with_the_costs_of_the_day_and_what_is_set() -> None:
    """For the default strategy they are those of `params_of`."""
    assert params_for(SHIPPED["default"], "KRW-BTC", NOW, "seed2023") == params_of("seed2023", "KRW-BTC", NOW)
    assert params_for(sma_cross, "KRW-BTC", NOW, values={"fast": "5"}) == SmaCrossParams(fast=5)


@pytest.mark.parametrize(
    ("preset", "values", "names"),
    [
        ("swift", {}, "preset 'swift' of sma_cross is not known; valid: default"),
        ("default", {"fast": 30}, "fast 30 is not below slow 30"),
        ("default", {"fee_rate": 0.0}, "no parameter 'fee_rate' to set"),
        ("default", {"order_krw": 4_999}, "order_krw 4999 is out of range"),
    ],
)
def test_parameters_that_cannot_be_are_refused(preset: str, values: dict[str, object], names: str) -> None:
    """Before anything is run."""
    with pytest.raises(UsageError, match=names):
        params_for(sma_cross, "KRW-BTC", NOW, preset, values)


@pytest.mark.parametrize(
    ("lots", "in_flight", "cash", "expected"),
    [
        ([], 0, 6_003.0, BUY),
        ([], 0, 6_002.99, NOTHING),
        ([], BUY_IN_FLIGHT, 50_000.0, NOTHING),
        ([(50e6, NOW, 11_999)], 0, 50_000.0, NOTHING),
    ],
)
def test_buy_and_hold_buys_once(lots: list[Lot], in_flight: int, cash: float, expected: int) -> None:
    """Whatever the price, without a forecast; doing nothing does nothing."""
    assert _decide(buy_and_hold, PlainParams(), 50e6, lots, in_flight=in_flight, cash=cash) == expected
    assert _decide(do_nothing, PlainParams(), 50e6, lots, in_flight=in_flight, cash=cash) == NOTHING


@pytest.mark.parametrize(
    ("signal", "in_flight", "with_lot", "without_lot"),
    [
        (1.0, 0, NOTHING, BUY),
        (1.0, SELL_IN_FLIGHT, NOTHING, NOTHING),
        (0.0, 0, SELL, NOTHING),
        (0.0, SELL_IN_FLIGHT, NOTHING, NOTHING),
        (0.0, BUY_IN_FLIGHT, SELL, NOTHING),
        (NAN, 0, NOTHING, NOTHING),
    ],
)
def test_sma_cross_follows_its_signal(signal: float, in_flight: int, with_lot: int, without_lot: int) -> None:
    """A sell waits for a sell, a buy for any order."""
    lots = [(50e6, NOW, 12_000)]

    assert _decide(sma_cross, SmaCrossParams(), 50e6, lots, forecast=signal, in_flight=in_flight) == with_lot
    assert _decide(sma_cross, SmaCrossParams(), 50e6, forecast=signal, in_flight=in_flight) == without_lot


def test_sma_cross_signal_by_hand() -> None:
    """Closes 1 2 3 2 1: means of two 1.5 2.5 2.5 1.5, of three 2 2.33 2."""
    close = np.array([1e6, 2e6, 3e6, 2e6, 1e6])
    bars = BarTape("KRW-BTC", NOW + MINUTE * np.arange(5), close, close, close)

    signal = signal_of(sma_cross, SmaCrossParams(fast=2, slow=3), bars)

    assert np.array_equal(signal, [NAN, NAN, 1.0, 1.0, 0.0], equal_nan=True)


@pytest.mark.parametrize(
    ("price", "expected"),
    [
        (50_000_000.0, NOTHING),
        (49_750_000.0, BUY),
        (49_751_000.0, NOTHING),
        (50_250_000.0, SELL),
        (50_249_000.0, NOTHING),
    ],
)
def test_grid_buys_a_step_below_the_lowest_entry_and_sells_a_step_above_each(price: float, expected: int) -> None:
    """50 basis points of 50,000,000 are 250,000; the lot at 60,000,000 stays."""
    lots = [(60e6, NOW, 12_000), (50e6, NOW, 12_000)]

    assert _decide(grid, GridParams(), price, lots) == expected


def test_grid_buys_its_first_lot_at_any_price_and_no_more_than_it_may() -> None:
    """The ninth lot is one too many."""
    assert _decide(grid, GridParams(), 50e6) == BUY
    assert _decide(grid, GridParams(), 1e6, [(50e6, NOW, 12_000)] * 7) == BUY
    assert _decide(grid, GridParams(), 1e6, [(50e6, NOW, 12_000)] * 8) == NOTHING


@pytest.mark.parametrize(
    ("price", "forecast", "expected"),
    [
        (50e6, 50_075_000.0, NOTHING),  # both fees and 0.05 %: 0.15 % of 50,000,000 is 75,000
        (50e6, 50_075_001.0, BUY),
        (50e6, NAN, NOTHING),
    ],
)
def test_mean_reversion_buys_below_the_forecast_by_more_than_fees_and_edge(
    price: float, forecast: float, expected: int
) -> None:
    """Strictly below."""
    assert _decide(mean_reversion, MeanReversionParams(), price, forecast=forecast) == expected


@pytest.mark.parametrize(
    ("age_ms", "price", "forecast", "expected"),
    [
        (0, 50e6, 50e6, SELL),
        (0, 49_999_000.0, 50e6, NOTHING),
        (0, 50e6, NAN, NOTHING),
        (HOUR, 50e6, NAN, SELL),
        (HOUR, 40e6, NAN, NOTHING),  # 12,000 units are worth 4,800 KRW
    ],
)
def test_mean_reversion_sells_at_the_forecast_or_after_an_hour(
    age_ms: int, price: float, forecast: float, expected: int
) -> None:
    """If the sell is large enough."""
    lots = [(60e6, NOW - age_ms, 12_000)]

    assert _decide(mean_reversion, MeanReversionParams(), price, lots, forecast=forecast) == expected


@pytest.mark.parametrize(("ago_ms", "expected"), [(59_999, NOTHING), (60_000, BUY)])
def test_mean_reversion_waits_for_its_cooldown(ago_ms: int, expected: int) -> None:
    """A minute is enough, so that the next bar meets it."""
    assert _decide(mean_reversion, MeanReversionParams(), 50e6, forecast=51e6, last_buy_ms=NOW - ago_ms) == expected


_PRICES = st.integers(48_000, 52_000).map(lambda thousands: thousands * 1_000.0)
_LOTS = st.lists(st.tuples(_PRICES, st.integers(NOW - 2 * HOUR, NOW), st.integers(1, 20_000)), max_size=6)


@pytest.mark.parametrize("name", list(SHIPPED))
@settings(max_examples=200, deadline=None)
@given(
    lots=_LOTS,
    cash=st.sampled_from([0.0, 5_002.5, 6_003.0, 50_000.0]),
    last_buy_ms=st.integers(NOW - 120_000, NOW),
    in_flight=st.integers(0, 3),
    forecast=st.one_of(st.just(NAN), st.just(0.0), st.just(1.0), _PRICES),
    price=_PRICES,
    later_ms=st.integers(0, 2 * HOUR),
)
def test_decide_does_nothing_where_wake_says_it_cannot_act(
    name: str,
    lots: list[Lot],
    cash: float,
    last_buy_ms: int,
    in_flight: int,
    forecast: float,
    price: float,
    later_ms: int,
) -> None:
    """Inside the wake prices and before the wake time every trade gives NOTHING."""
    strategy, params = SHIPPED[name], LIVELY[name]
    assert strategy.wake is not None
    state = (*_arrays(lots), cash, last_buy_ms, in_flight)
    hint = strategy.wake(params, *state, NOW, forecast)

    if hint.price_low < price < hint.price_high and NOW + later_ms < hint.time_ms:
        assert strategy.decide(params, *state, NOW + later_ms, price, forecast) == NOTHING


def _market(seed: int) -> tuple[Tape, BarTape, ForecastSeries]:
    """Hours of a jumpy market: bursts in one millisecond, silences of minutes, forecasts that come late."""
    rng = np.random.default_rng(seed)
    count = 3_000
    gaps = rng.choice([0, 7, 200, 1_500, 9_000, 70_000, 400_000], count, p=[0.2, 0.2, 0.2, 0.2, 0.17, 0.02, 0.01])
    moves = rng.choice([-1, 0, 1], count) * rng.choice([1, 5, 20], count)
    price = 2_500_000.0 + 1_000.0 * np.cumsum(moves)
    tape = Tape("KRW-BTC", NOW + np.cumsum(gaps), price)
    minutes = np.arange(NOW, tape.ts_ms[-1], MINUTE)
    minutes = minutes[rng.random(len(minutes)) < 0.8]
    at = np.clip(np.searchsorted(tape.ts_ms, minutes), 0, count - 1)
    forecast = np.round(price[at] * np.exp(rng.normal(0, 0.004, len(minutes))))
    usable = minutes + rng.choice([1_000, 1_000, 30_000, 70_000], len(minutes))
    return tape, _bars_of(tape), ForecastSeries(minutes, forecast, usable)


def _bars_of(tape: Tape) -> BarTape:
    minute = tape.ts_ms - tape.ts_ms % MINUTE
    first = np.flatnonzero(np.diff(minute, prepend=minute[0] - 1))
    last = np.append(first[1:], len(minute)) - 1
    high = np.maximum.reduceat(tape.price, first)
    return BarTape(tape.market, minute[first], tape.price[first], high, tape.price[last])


def _in_ticks(
    name: str,
    tape: Tape,
    bars: BarTape,
    forecasts: ForecastSeries,
    model: FillModel = SPREAD,
    *,
    is_skipping: bool = True,
) -> Book:
    strategy, params = SHIPPED[name], LIVELY[name]
    series = signal_series(strategy, params, bars, delay_ms=1_000) if strategy.signal is not None else forecasts
    return run_ticks(tape, series, params, model, 50_000.0, strategy=strategy, is_skipping=is_skipping)


def _rows(book: Book) -> np.ndarray:
    return book.orders[: book.purse[0]["orders"]]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", list(SHIPPED))
def test_skipping_changes_nothing(name: str, seed: int) -> None:
    """With and without `wake` the books are the same to the bit."""
    tape, bars, forecasts = _market(seed)

    for model in (SPREAD, FILL_MODELS["last"], FillModel("slow", 20_000, 1)):
        skipping = _in_ticks(name, tape, bars, forecasts, model)
        every_trade = _in_ticks(name, tape, bars, forecasts, model, is_skipping=False)

        assert skipping.purse[0] == every_trade.purse[0]
        assert _rows(skipping).tobytes() == _rows(every_trade).tobytes()
        assert name not in ACTIVE or len(_rows(skipping)) > 10


def _poisoned(values: np.ndarray, is_future: np.ndarray) -> np.ndarray:
    return np.where(is_future, NAN, values)


def _past(book: Book, cut: int) -> list[tuple[object, ...]]:
    """What was decided before a time, and how it was filled if that was before it too."""
    rows = _rows(book)
    decided = ("side", "lots", "decided_ms", "decision_price", "forecast")
    filled = ("outcome", "filled_ms", "fill_price", "qty_e8", "funds", "fee")
    told = []
    for row in rows[rows["decided_ms"] < cut]:
        is_known = row["outcome"] == FILLED and row["filled_ms"] < cut
        told.append(tuple(str(row[key]) for key in (*decided, *(filled if is_known else ()))))
    return told


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", list(SHIPPED))
def test_poisoned_future_changes_no_order_of_ticks_before_it(name: str, seed: int) -> None:
    """From a trade on every price, and every forecast not usable before it, is NaN."""
    tape, bars, forecasts = _market(seed)
    clean = _in_ticks(name, tape, bars, forecasts)

    for at in (300, 1_500, 2_900):
        cut = int(tape.ts_ms[at])
        dark = Tape(tape.market, tape.ts_ms, _poisoned(tape.price, tape.ts_ms >= cut))
        # The bar of the cut's own minute closes after it.
        is_late = bars.ts_ms + MINUTE > cut
        dark_bars = BarTape(
            bars.market, bars.ts_ms, *(_poisoned(v, is_late) for v in (bars.open, bars.high, bars.close))
        )
        later = _poisoned(forecasts.price, forecasts.usable_from_ms >= cut)
        dark_forecasts = ForecastSeries(forecasts.minute_ms, later, forecasts.usable_from_ms)

        poisoned = _in_ticks(name, dark, dark_bars, dark_forecasts)

        assert _past(poisoned, cut) == _past(clean, cut)
    assert name not in ACTIVE or len(_past(clean, cut)) > 10


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", list(SHIPPED))
def test_poisoned_future_changes_no_order_of_bars_before_it(name: str, seed: int) -> None:
    """From a bar on everything is NaN, and of the bar before it all but the open, at which its order is decided."""
    _, bars, forecasts = _market(seed)
    strategy, params = SHIPPED[name], LIVELY[name]
    clean = run_strategy_bars(strategy, bars, forecasts, params, 50_000.0)

    for bar in (20, len(bars.ts_ms) // 2, len(bars.ts_ms) - 2):
        cut = int(bars.ts_ms[bar])
        is_late, is_later = bars.ts_ms >= cut, bars.ts_ms > cut
        # The default strategy's targets within a bar are decided by its high, so its own bar must be whole.
        hidden = is_later if name == "default" else is_late
        dark = BarTape(
            bars.market,
            bars.ts_ms,
            _poisoned(bars.open, is_later),
            _poisoned(bars.high, hidden),
            _poisoned(bars.close, is_late),
        )
        later = _poisoned(forecasts.price, forecasts.minute_ms > cut)

        poisoned = run_strategy_bars(
            strategy, dark, ForecastSeries(forecasts.minute_ms, later, forecasts.usable_from_ms), params, 50_000.0
        )

        assert _past(poisoned, cut + 1) == _past(clean, cut + 1)
    assert name not in ACTIVE or len(_past(clean, cut)) > 10


def test_buy_and_hold_of_everything_is_the_one_that_results_are_held_against() -> None:
    """The strategy in bar mode and `run_buy_and_hold` give one and the same order."""
    _, bars, forecasts = _market(1)
    params = PlainParams(order_krw=all_of(50_000.0, 0.0005))

    book = run_strategy_bars(buy_and_hold, bars, forecasts, params, 50_000.0)
    held = run_buy_and_hold(bars, params, 50_000.0)

    assert [str(row["funds"]) for row in _rows(book)] == [str(row["funds"]) for row in _rows(held)]
    assert book.purse[0]["cash"] == held.purse[0]["cash"]


@pytest.mark.parametrize("name", list(SHIPPED))
def test_money_is_neither_made_nor_lost(name: str) -> None:
    """Budget + trips' profit - cost of the lots still held = cash at the end, and a result can be read."""
    tape, bars, forecasts = _market(2)
    book = _in_ticks(name, tape, bars, forecasts)
    setup = Setup("KRW-BTC", name, None, "ticks", True, "spread", 300, 50_000.0, LIVELY[name])

    result = result_of(book, setup, Minutes(bars.ts_ms, bars.close))

    held = {int(row) for row in book.bought_by[: book.purse[0]["lots"]]}
    cost = sum(float(book.orders[row]["funds"] + book.orders[row]["fee"]) for row in held)
    assert 50_000 + result.trips["profit_krw"].sum() - cost == pytest.approx(book.purse[0]["cash"], abs=1e-6)
    assert result.summary()["params"] == LIVELY[name]._asdict()


def test_default_strategy_takes_no_parameters_of_another() -> None:
    """Compiled code would look for fields that are not there."""
    _, bars, forecasts = _market(1)

    with pytest.raises(UsageError, match="SmaCrossParams are not of strategy default"):
        run_strategy_bars(SHIPPED["default"], bars, forecasts, SmaCrossParams(), 50_000.0)
    assert issubclass(StrategyError, UsageError)
