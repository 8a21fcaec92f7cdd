"""Tick mode: fills by cases with the numbers written out, and against a plain reference in Decimal."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tick_reference import assert_equal, random_market, run_reference
from tickloop.domain.backtest import run_ticks
from tickloop.domain.backtest_book import OUTCOMES, Book
from tickloop.domain.backtest_result import Minutes, Setup, result_of
from tickloop.domain.bars import trade_frame
from tickloop.domain.fills import FILL_MODELS, FillModel
from tickloop.domain.market import Change, Side, Trade
from tickloop.domain.strategy import BUY, PRESETS, Params, Strategy, decide, wake
from tickloop.domain.tables import FORECAST
from tickloop.domain.tape import ForecastSeries, Tape, forecast_series, tape_of
from tickloop.errors import DataError, NotEnoughDataError, UnsortedTradesError

START = 1_705_881_600_000  # 2024-01-22T00:00Z, a whole minute
MINUTE = 60_000
HOUR = 3_600_000
SEED2023 = PRESETS["seed2023"]
SPREAD = FILL_MODELS["spread"]
LAST = FILL_MODELS["last"]


def _tape(*trades: tuple[int, float]) -> Tape:
    """Trades as (ms after START, price in KRW)."""
    return Tape("KRW-BTC", np.array([START + ms for ms, _ in trades]), np.array([price for _, price in trades]))


def _forecasts(prices: dict[int, float], delay_ms: int = 1_000) -> ForecastSeries:
    """Forecasts as {minute after START: price}."""
    minutes = np.array([START + minute * MINUTE for minute in sorted(prices)], np.int64)
    return ForecastSeries(minutes, np.array([prices[minute] for minute in sorted(prices)], float), minutes + delay_ms)


def _orders(book: Book) -> list[tuple[str, int, str, int | None, float | None, int]]:
    """(side, decided, outcome, filled, fill price, quantity), times in ms after START."""
    return [
        (
            "buy" if row["side"] == BUY else "sell",
            int(row["decided_ms"]) - START,
            OUTCOMES[row["outcome"]],
            int(row["filled_ms"]) - START if row["filled_ms"] >= 0 else None,
            float(row["fill_price"]) if row["filled_ms"] >= 0 else None,
            int(row["qty_e8"]),
        )
        for row in book.orders[: book.purse[0]["orders"]]
    ]


def _run(tape: Tape, forecasts: ForecastSeries, params: Params = SEED2023, model: FillModel = SPREAD) -> Book:
    return run_ticks(tape, forecasts, params, model, 50_000.0)


UP = {0: 60_000_000.0}


def test_buy_fills_at_the_first_trade_300_ms_later_one_tick_up() -> None:
    """5,000 KRW at 50,003,000 buy 0.00009999 BTC; the trade 1 ms too early does not fill it."""
    tape = _tape((1_000, 50_000_000.0), (1_299, 50_001_000.0), (1_300, 50_002_000.0), (1_301, 50_009_000.0))

    book = _run(tape, _forecasts(UP))

    assert _orders(book) == [("buy", 1_000, "filled", 1_300, 50_003_000.0, 9_999)]
    assert book.orders[0]["funds"] == pytest.approx(4_999.79997, abs=1e-9)
    assert book.orders[0]["fee"] == pytest.approx(2.499899985, abs=1e-9)
    assert book.purse[0]["cash"] == pytest.approx(50_000 - 4_999.79997 - 2.499899985, abs=1e-9)


@pytest.mark.parametrize(
    ("after_ms", "outcome"), [(300, "filled"), (60_300, "filled"), (60_301, "no_fill"), (500_000, "no_fill")]
)
def test_order_fills_only_within_a_minute_of_its_instant(after_ms: int, outcome: str) -> None:
    """The first trade from decision + 300 ms on decides, at most 60,000 ms after that instant."""
    tape = _tape((1_000, 50_000_000.0), (1_000 + after_ms, 50_000_000.0))

    book = _run(tape, _forecasts(UP))

    assert OUTCOMES[book.orders[0]["outcome"]] == outcome


def test_buy_without_fill_gives_its_cash_back_and_keeps_its_cooldown() -> None:
    """The trade that shows the failure is past the cooldown and may buy again, with all the cash."""
    forecasts = _forecasts({0: 60_000_000.0, 1: 60_000_000.0})
    tape = _tape((1_000, 50_000_000.0), (61_301, 50_000_000.0), (61_601, 50_000_000.0))

    book = run_ticks(tape, forecasts, SEED2023, SPREAD, 5_002.5)

    assert _orders(book) == [
        ("buy", 1_000, "no_fill", None, None, 0),
        ("buy", 61_301, "filled", 61_601, 50_001_000.0, 9_999),
    ]


@pytest.mark.parametrize(("next_ms", "buys"), [(61_000, 1), (61_001, 2)])
def test_cooldown_counts_from_the_decision(next_ms: int, buys: int) -> None:
    """Not from the fill; a minute exactly is not more than a minute."""
    forecasts = _forecasts({0: 60_000_000.0, 1: 60_000_000.0})

    book = _run(_tape((1_000, 50_000_000.0), (2_000, 50_000_000.0), (next_ms, 50_000_000.0)), forecasts)

    assert book.purse[0]["orders"] == buys


@pytest.mark.parametrize(("ts", "buys"), [(999, 0), (1_000, 1), (59_999, 1), (60_000, 0), (61_000, 0)])
def test_forecast_serves_trades_of_its_own_minute_from_the_delay_on(ts: int, buys: int) -> None:
    """Minute 0's forecast is usable in [1,000, 60,000) ms."""
    assert _run(_tape((ts, 50_000_000.0)), _forecasts(UP)).purse[0]["orders"] == buys


def test_forecast_that_was_late_is_used_from_when_it_was_made() -> None:
    """made_at counts only where the forecast ran live."""
    made_at = START + 30_000
    row = {"target_minute": START, "made_at": made_at, "last_bar": START - MINUTE, "price": 60e6}
    row |= {"market": "KRW-BTC", "model_version": "ridge-2", "last_price": 50e6, "log_return": 0.18}
    whole = {name: pl.Int64() if dtype.is_temporal() else dtype for name, dtype in FORECAST.columns.items()}
    frame = pl.DataFrame([row], schema=whole).cast(dict(FORECAST.columns))

    assert forecast_series(frame, 1_000).usable_from_ms.tolist() == [START + 1_000]
    assert forecast_series(frame, 1_000, as_made=True).usable_from_ms.tolist() == [made_at]


def test_last_with_0_ms_fills_at_the_deciding_trade() -> None:
    """No tick against us: 5,000 KRW at 50,000,000 are 0.0001 BTC; the target of 50,100,000 sells them."""
    tape = _tape((1_000, 50_000_000.0), (1_001, 50_099_000.0), (1_002, 50_100_000.0))

    book = _run(tape, _forecasts(UP), model=LAST)

    assert _orders(book) == [
        ("buy", 1_000, "filled", 1_000, 50_000_000.0, 10_000),
        ("sell", 1_002, "filled", 1_002, 50_100_000.0, 10_000),
    ]
    assert book.purse[0]["cash"] == pytest.approx(50_000 - 5_000 - 2.5 + 5_010 - 2.505, abs=1e-9)


def test_hour_of_holding_counts_from_the_fill() -> None:
    """Decided at 1,000, filled at 1,300: due at 1,300 + 3,600,000; sold a tick down."""
    params = SEED2023._replace(order_krw=6_000.0)
    hour = 1_300 + HOUR
    tape = _tape((1_000, 50e6), (1_300, 50e6), (hour - 1, 50e6), (hour, 50e6), (hour + 300, 50e6))

    book = _run(tape, _forecasts(UP), params)

    assert _orders(book)[1] == ("sell", hour, "filled", hour + 300, 49_999_000.0, 11_999)


def test_all_due_lots_leave_as_one_sell_and_a_sell_without_fill_gives_them_back() -> None:
    """Two lots, one order; after the silence they are still there and are sold again."""
    params = SEED2023._replace(order_krw=6_000.0)
    forecasts = _forecasts({0: 60_000_000.0, 1: 60_000_000.0})
    tape = _tape(
        (1_000, 50e6), (1_300, 50e6), (62_000, 50e6), (62_300, 50e6), (120_000, 51e6), (300_000, 51e6), (300_300, 51e6)
    )  # fmt: skip

    book = _run(tape, forecasts, params)

    assert _orders(book)[2:] == [
        ("sell", 120_000, "no_fill", None, None, 0),
        ("sell", 300_000, "filled", 300_300, 50_999_000.0, 2 * 11_999),
    ]
    assert [int(row["lots"]) for row in book.orders[2:4]] == [2, 2]
    assert book.purse[0]["lots"] == 0
    assert book.trips[:2].tolist() == [[0, 3, 11_999], [1, 3, 11_999]]


def test_lot_bought_while_a_sell_is_in_flight_does_not_leave_with_it() -> None:
    """The buy was decided first; its lot comes after the sell's decision and stays."""
    params = SEED2023._replace(order_krw=6_000.0)
    model = FillModel("slow", latency_ms=10_000, ticks_against=1)
    forecasts = _forecasts({0: 60e6, 1: 60e6})
    tape = _tape((1_000, 50e6), (11_000, 50e6), (62_000, 50e6), (65_000, 50.2e6), (72_000, 50e6), (75_000, 50.2e6))

    book = _run(tape, forecasts, params, model)

    assert _orders(book) == [
        ("buy", 1_000, "filled", 11_000, 50_001_000.0, 11_999),
        ("buy", 62_000, "filled", 72_000, 50_001_000.0, 11_999),
        ("sell", 65_000, "filled", 75_000, 50_199_000.0, 11_999),
        ("sell", 75_000, "pending", None, None, 0),
    ]
    assert book.trips[:1].tolist() == [[0, 2, 11_999]]


def test_lot_below_the_minimum_total_waits_and_is_counted_once() -> None:
    """5,000 KRW a tick up, an hour later at 50,000,000: 4,999.5 KRW cannot be sold; 51,000,000 later can."""
    hour = 1_300 + HOUR
    tape = _tape((1_000, 50e6), (1_300, 50e6), (hour, 50e6), (hour + 1, 50e6), (hour + 2, 51e6), (hour + 302, 51e6))

    book = _run(tape, _forecasts(UP))

    assert _orders(book)[1] == ("sell", hour + 2, "filled", hour + 302, 50_999_000.0, 9_999)
    assert book.purse[0]["unsellable"] == 1


def test_result_values_open_lots_after_fees_and_unsellable_ones_at_0() -> None:
    """One lot of 0.00009999 BTC, held over an hour, last price 50,000,000."""
    tape = _tape((1_000, 50e6), (1_300, 50e6), (1_300 + HOUR, 50e6))
    setup = Setup("KRW-BTC", "seed2023", "ridge-2", "ticks", False, "spread", 300, 50_000.0, SEED2023)
    minutes = Minutes(np.array([START, START + HOUR]), np.array([50e6, 50e6]))

    summary = result_of(_run(tape, _forecasts(UP)), setup, minutes, 12.5).summary()

    # spent 4,999.59999 + 2.4997999950; worth 4,999.5 less 2.49975
    assert summary["open_lots"] == 1
    assert summary["open_value_krw"] == 4_997.0003
    assert summary["profit_krw"] == pytest.approx(-5.0995, abs=1e-4)
    assert summary["unsellable_lots"] == 1
    assert summary["profit_pessimistic_krw"] == pytest.approx(-5.0995 - 4_997.0003, abs=1e-3)
    assert summary["realized_krw"] == 0.0
    assert summary["trades"] == 0
    assert summary["win_rate"] is None
    assert summary["buy_and_hold_krw"] == 12.5
    assert summary["unrealized_krw"] == summary["profit_krw"]
    assert summary["against_buy_and_hold_krw"] == pytest.approx(-5.0995 - 12.5, abs=1e-3)
    assert summary["exposure"] == 1.0


def _trade(ms: int, price: float, market: str = "KRW-BTC") -> Trade:
    return Trade(market, ms + 1, START + ms, 0, ms + 1, price, 1, Side.BUY, Change.RISE)


def test_tape_refuses_trades_that_must_not_go_on() -> None:
    """None, backwards, no price, two markets."""
    backwards = trade_frame([_trade(0, 1.0), _trade(5, 1.0)]).reverse()

    with pytest.raises(NotEnoughDataError, match="no trade"):
        tape_of(trade_frame([]))
    with pytest.raises(UnsortedTradesError, match="trade 1 of KRW-BTC"):
        tape_of(backwards)
    with pytest.raises(DataError, match="price nan"):
        tape_of(trade_frame([_trade(0, 1.0), _trade(1, float("nan"))]))
    with pytest.raises(DataError, match="one market"):
        tape_of(trade_frame([_trade(0, 1.0), _trade(1, 1.0, "KRW-ETH")]))


# --- against the reference in Decimal ----------------------------------------------------------------------------


_MODELS = [SPREAD, LAST, FillModel("slow", 20_000, 1)]


@pytest.mark.parametrize("model", _MODELS, ids=lambda model: model.name)
@pytest.mark.parametrize("preset", ["default", "seed2023"])
@pytest.mark.parametrize("seed", range(4))
def test_orders_equal_those_of_the_plain_reference(seed: int, preset: str, model: FillModel) -> None:
    """Sides, times, outcomes, prices and quantities are equal; money to 0.01 KRW a fill."""
    tape, forecasts = random_market(seed)
    params = PRESETS[preset]

    book = _run(tape, forecasts, params, model)

    assert book.purse[0]["orders"] > 20
    assert_equal(book, run_reference(tape, forecasts, params, model, 50_000))


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    latency_ms=st.sampled_from([0, 1, 300, 20_000]),
    ticks_against=st.integers(0, 3),
    order_krw=st.sampled_from([5_000.0, 6_000.0, 7_777.77, 24_000.0]),
    min_edge=st.sampled_from([0.0, 0.001, 0.003]),
)
def test_orders_equal_those_of_the_reference_for_any_model(
    seed: int, latency_ms: int, ticks_against: int, order_krw: float, min_edge: float
) -> None:
    """Latencies, ticks against us and order sizes beyond those that have a name."""
    tape, forecasts = random_market(seed, 600)
    params = SEED2023._replace(order_krw=order_krw, min_edge=min_edge)
    model = FillModel("any", latency_ms, ticks_against)

    assert_equal(_run(tape, forecasts, params, model), run_reference(tape, forecasts, params, model, 50_000))


@pytest.mark.parametrize("seed", range(4, 8))
def test_skipping_trades_changes_nothing(seed: int) -> None:
    """With and without `wake`, and as an uncompiled plug-in, the books are the same to the bit."""
    tape, forecasts = random_market(seed)
    plain = Strategy("plain", decide.py_func, wake.py_func, PRESETS)  # type: ignore[attr-defined]

    skipping = run_ticks(tape, forecasts, SEED2023, SPREAD, 50_000.0)
    every_trade = run_ticks(tape, forecasts, SEED2023, SPREAD, 50_000.0, is_skipping=False)
    plug_in = run_ticks(tape, forecasts, SEED2023, SPREAD, 50_000.0, strategy=plain)

    orders = skipping.purse[0]["orders"]
    for other in (every_trade, plug_in):
        assert other.purse[0] == skipping.purse[0]
        assert other.orders[:orders].tobytes() == skipping.orders[:orders].tobytes()


@pytest.mark.parametrize("seed", range(8, 11))
def test_future_changes_no_order_decided_before_it(seed: int) -> None:
    """From a cut on, other prices and forecasts: what was decided and filled before stays."""
    tape, forecasts = random_market(seed)
    cut = int(tape.ts_ms[1_500])
    poison = np.where(tape.ts_ms >= cut, 3_000_000.0, tape.price)
    later = ForecastSeries(
        forecasts.minute_ms, np.where(forecasts.usable_from_ms >= cut, 9e6, forecasts.price), forecasts.usable_from_ms
    )

    clean = _run(tape, forecasts)
    poisoned = _run(Tape(tape.market, tape.ts_ms, poison), later)

    before = [order for order in _orders(clean) if order[1] < cut - START - 400_000]
    assert len(before) > 10
    assert _orders(poisoned)[: len(before)] == before


@pytest.mark.parametrize("seed", range(3))
def test_money_is_neither_made_nor_lost(seed: int) -> None:
    """Budget + trips' profit - cost of the lots still held = cash at the end."""
    tape, forecasts = random_market(seed)
    book = _run(tape, forecasts)
    setup = Setup("KRW-BTC", "seed2023", "ridge-2", "ticks", False, "spread", 300, 50_000.0, SEED2023)

    result = result_of(book, setup, Minutes(tape.ts_ms[-1:] // MINUTE * MINUTE, tape.price[-1:]))

    held = {int(row) for row in book.bought_by[: book.purse[0]["lots"]]}
    cost = sum(float(book.orders[row]["funds"] + book.orders[row]["fee"]) for row in held)
    assert 50_000 + result.trips["profit_krw"].sum() - cost == pytest.approx(book.purse[0]["cash"], abs=1e-6)
    assert result.equity["cash"][-1] == pytest.approx(book.purse[0]["cash"], abs=1e-6)
