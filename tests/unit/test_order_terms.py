"""Fees and sizes of orders that change within a span: each order has those of its time."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pytest

from tick_reference import assert_equal, random_depth, random_market, run_reference
from tickloop.domain import rules
from tickloop.domain.backtest import TickReplay, run_ticks
from tickloop.domain.backtest_result import Minutes, Setup, result_of
from tickloop.domain.fills import FILL_MODELS
from tickloop.domain.order_terms import check_one_term
from tickloop.domain.strategies.shipped import SHIPPED
from tickloop.domain.strategies.sma_cross import SmaCrossParams
from tickloop.domain.strategy import PRESETS
from tickloop.domain.strategy_bars import run_strategy_bars
from tickloop.domain.tape import BarTape, ForecastSeries, Tape
from tickloop.domain.target_sweep import sweep_sma
from tickloop.domain.tick_sweep import sweep_ticks
from tickloop.errors import UsageError

START = 1_705_881_600_000  # 2024-01-22T00:00Z
SEED2023 = PRESETS["seed2023"]
SPREAD = FILL_MODELS["spread"]
NOW = rules.ORDER_RULES[0]


def _changing(monkeypatch: pytest.MonkeyPatch, *rows: tuple[int, dict[str, Decimal]]) -> None:
    """Let other rules hold from some ms after START on."""
    later = tuple(replace(NOW, valid_from_ms=START + ms, **values) for ms, values in rows)
    monkeypatch.setattr(rules, "ORDER_RULES", (NOW, *later))


def _tape(*trades: tuple[int, float]) -> Tape:
    return Tape("KRW-BTC", np.array([START + ms for ms, _ in trades]), np.array([price for _, price in trades]))


def _forecasts() -> ForecastSeries:
    minutes = START + 60_000 * np.arange(3)
    return ForecastSeries(minutes, np.full(3, 60e6), minutes + 1_000)


def test_fee_is_that_of_the_fill(monkeypatch: pytest.MonkeyPatch) -> None:
    """A buy decided before the change and filled at its very ms pays the new fee; nothing paid before changes."""
    _changing(monkeypatch, (61_500, {"fee_rate": Decimal("0.001")}))
    tape = _tape((1_000, 50e6), (1_300, 50e6), (61_200, 50e6), (61_500, 50e6), (61_501, 50e6))

    book = run_ticks(tape, _forecasts(), SEED2023, SPREAD, 50_000.0)

    fees = book.orders["fee"][:2] / book.orders["funds"][:2]
    assert fees.tolist() == pytest.approx([0.0005, 0.001], rel=1e-12)


def test_change_that_no_trade_has_seen_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two changes within one silence: the second holds at the next trade."""
    changes = [(1_400, {"fee_rate": Decimal("0.01")}), (1_500, {"fee_rate": Decimal("0.001")})]
    _changing(monkeypatch, *changes)
    tape = _tape((1_000, 50e6), (1_300, 50e6), (61_200, 50e6), (61_500, 50e6))

    book = run_ticks(tape, _forecasts(), SEED2023, SPREAD, 50_000.0)

    fees = book.orders["fee"][:2] / book.orders["funds"][:2]
    assert fees.tolist() == pytest.approx([0.0005, 0.001], rel=1e-12)


def test_fee_set_on_purpose_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the sensitivity of a profit to fees is asked for."""
    _changing(monkeypatch, (1_200, {"fee_rate": Decimal("0.001")}))
    tape = _tape((1_000, 50e6), (1_300, 50e6), (61_200, 50e6))

    book = run_ticks(tape, _forecasts(), SEED2023._replace(fee_rate=0.002), SPREAD, 50_000.0)

    assert book.orders["fee"][0] / book.orders["funds"][0] == pytest.approx(0.002, rel=1e-12)


def test_lower_minimum_total_wakes_a_lot_that_was_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """4,999.5 KRW cannot be sold at 5,000 and can at 4,000, although nothing in the market moves."""
    due = 1_300 + 3_600_000
    _changing(monkeypatch, (due + 60_000, {"min_total": Decimal(4_000)}))
    trades = [(1_000, 50e6), (1_300, 50e6), *((due + 10_000 * step, 50e6) for step in range(12))]

    book = run_ticks(_tape(*trades), _forecasts(), SEED2023, SPREAD, 50_000.0)

    assert book.orders["decided_ms"][1] - START == due + 60_000
    assert book.purse[0]["unsellable"] == 1


CHANGES = (
    (900_000, {"fee_rate": Decimal("0.0025")}),
    (2_400_000, {"fee_rate": Decimal("0.0001"), "min_total": Decimal(4_000)}),
    (9_000_000, {"min_total": Decimal(5_000)}),
)


@pytest.mark.parametrize("model", ["spread", "book"])
@pytest.mark.parametrize("seed", range(4))
def test_orders_equal_those_of_the_reference_that_looks_every_rule_up(
    monkeypatch: pytest.MonkeyPatch, seed: int, model: str
) -> None:
    """Over three changes, and however the tape is cut: also where the rules change."""
    _changing(monkeypatch, *CHANGES)
    tape, forecasts = random_market(seed, 2_000)
    depth = random_depth(tape, seed, 3, 0.003, 2_000)
    fills = FILL_MODELS[model]

    book = run_ticks(tape, forecasts, SEED2023, fills, 12_000.0, depth=depth)

    assert_equal(book, run_reference(tape, forecasts, SEED2023, fills, 12_000, depth if model == "book" else None))
    replay = TickReplay(SEED2023, fills, 12_000.0)
    at_changes = np.searchsorted(tape.ts_ms, [START + ms for ms, _ in CHANGES]).tolist()
    for first, last in pairwise(sorted([0, 100, 1_500, len(tape.ts_ms), *at_changes])):
        part = slice(first, last)
        replay.feed(Tape(tape.market, tape.ts_ms[part], tape.price[part]), forecasts, depth)
    sent = book.purse[0]["orders"]
    assert replay.book.orders[:sent].tobytes() == book.orders[:sent].tobytes()
    assert replay.book.purse.tobytes() == book.purse.tobytes()


@pytest.mark.parametrize(
    ("values", "order_krw"),
    [({"min_total": Decimal(6_000)}, 5_000.0), ({"max_total": Decimal(1_000_000)}, 2_000_000.0)],
)
def test_order_that_the_exchange_would_not_take_is_refused(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, Decimal], order_krw: float
) -> None:
    """Before anything is replayed, with the time and what is valid then; a trade earlier all is well."""
    _changing(monkeypatch, (1_300, values))
    params = SEED2023._replace(order_krw=order_krw)
    tape = _tape((1_000, 50e6), (1_300, 50e6))

    with pytest.raises(UsageError, match=r"order_krw [0-9,]+ is no order of KRW-BTC at 2024-01-22T00:00; valid: "):
        run_ticks(tape, _forecasts(), params, SPREAD, 50_000_000.0)
    run_ticks(_tape((1_000, 50e6), (1_299, 50e6)), _forecasts(), params, SPREAD, 50_000_000.0)


def test_sell_worth_more_than_the_exchange_takes_as_one_order_gives_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two lots of 5,000 KRW that leave as one: fine at 20,000 KRW, no result at 9,000."""
    tape = _tape((1_000, 50e6), (1_300, 50e6), (61_200, 50e6), (61_500, 50e6), (119_000, 51e6), (119_300, 51e6))
    setup = Setup("KRW-BTC", "seed2023", "ridge-2", "ticks", False, "spread", 300, 50_000.0, SEED2023)
    minutes = Minutes(np.array([START]), np.array([51e6]))
    book = run_ticks(tape, _forecasts(), SEED2023, SPREAD, 50_000.0)

    _changing(monkeypatch, (0, {"max_total": Decimal(20_000)}), (119_001, {"max_total": Decimal(9_000)}))
    assert result_of(book, setup, minutes).summary()["sells"] == 1

    _changing(monkeypatch, (0, {"max_total": Decimal(20_000)}), (119_000, {"max_total": Decimal(9_000)}))
    with pytest.raises(UsageError, match=r"decided at 2024-01-22T00:01 was worth 10,19\d KRW.*at most 9,000"):
        result_of(book, setup, minutes)


def test_replay_that_knows_one_fee_refuses_a_span_with_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the change on, or until it, the span is fine."""
    _changing(monkeypatch, (60_000, {"fee_rate": Decimal("0.001")}))

    with pytest.raises(UsageError, match="change at 2024-01-22T00:01"):
        check_one_term(SEED2023, "KRW-BTC", START, START + 60_001)
    check_one_term(SEED2023, "KRW-BTC", START, START + 60_000)
    check_one_term(SEED2023, "KRW-BTC", START + 60_000, START + 120_000)


@pytest.mark.parametrize("name", ["default", "sma_cross"])
def test_bar_mode_refuses_bars_with_two_fees(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Its replays know one; until the change they run."""
    _changing(monkeypatch, (120_000, {"fee_rate": Decimal("0.001")}))
    strategy, ts = SHIPPED[name], START + 60_000 * np.arange(4)
    price = np.full(4, 50e6)
    bars = BarTape("KRW-BTC", ts, price, price, price)
    two = BarTape("KRW-BTC", ts[:2], price[:2], price[:2], price[:2])
    series = ForecastSeries(ts, price, ts)

    with pytest.raises(UsageError, match=r"change at 2024-01-22T00:02.*of ticks"):
        run_strategy_bars(strategy, bars, series, strategy.presets["default"], 50_000.0)
    run_strategy_bars(strategy, two, series, strategy.presets["default"], 50_000.0)


def test_sweeps_refuse_a_span_with_two_fees(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their passes know one for all settings."""
    _changing(monkeypatch, (120_000, {"fee_rate": Decimal("0.001")}))
    ts, price = START + 60_000 * np.arange(4), np.full(4, 50e6)
    series = ForecastSeries(ts, price, ts)

    with pytest.raises(UsageError, match="change at 2024-01-22T00:02"):
        sweep_ticks(Tape("KRW-BTC", ts, price), series, [SEED2023], SPREAD, 50_000.0)
    with pytest.raises(UsageError, match="change at 2024-01-22T00:02"):
        sweep_sma(BarTape("KRW-BTC", ts, price, price, price), [SmaCrossParams()], 50_000.0)
