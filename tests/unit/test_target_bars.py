"""The bar engine for targets: a few bars in, expected fills out, and a plain reference in Decimal."""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal

import numpy as np
import polars as pl
import pytest

from tickloop.domain import rules
from tickloop.domain.backtest_book import Book
from tickloop.domain.backtest_result import BacktestResult, Minutes, Setup, result_of
from tickloop.domain.strategies.sma_cross import SmaCrossParams, sma_cross
from tickloop.domain.strategy import BUY, Strategy
from tickloop.domain.strategy_bars import run_strategy_bars, signal_of
from tickloop.domain.tape import BarTape, ForecastSeries
from tickloop.domain.target_bars import HOLD, OUT, STAY, Marks, run_targets, targets_of
from tickloop.domain.target_sweep import sweep_sma
from tickloop.errors import DataError, UsageError

START = 1_705_881_600_000  # 2024-01-22T00:00Z, before the price units changed on 2024-01-29
MINUTE = 60_000
PARAMS = SmaCrossParams()

Fill = tuple[str, int, float, int]


def _bars(*rows: tuple[float, float]) -> BarTape:
    """Bars as (open, close), a minute each."""
    opens, closes = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    ts = START + MINUTE * np.arange(len(rows))
    return BarTape("KRW-BTC", ts, opens, np.maximum(opens, closes), closes)


def _targets(*wanted: int) -> np.ndarray:
    return np.array(wanted, np.uint8)


def _fills(book: Book) -> list[Fill]:
    """(side, minute, fill price, quantity)."""
    return [
        (
            "buy" if row["side"] == BUY else "sell",
            (int(row["filled_ms"]) - START) // MINUTE,
            float(row["fill_price"]),
            int(row["qty_e8"]),
        )
        for row in book.orders[: book.purse[0]["orders"]]
    ]


def _result(bars: BarTape, book: Book, params: SmaCrossParams, cash: float) -> BacktestResult:
    setup = Setup(bars.market, "sma_cross", None, "bars", True, "bar", 0, cash, params)
    return result_of(book, setup, Minutes(bars.ts_ms, bars.close))


def test_signal_at_a_close_is_filled_at_the_next_open_a_tick_against_us() -> None:
    """6,000 KRW at 50,011,000; sold at 50,019,000."""
    bars = _bars((50e6, 50e6), (50_010_000.0, 50e6), (50_020_000.0, 50e6), (50e6, 50e6))

    book, _ = run_targets(bars, _targets(HOLD, OUT, OUT, HOLD), PARAMS, 50_000.0)

    assert _fills(book) == [("buy", 1, 50_011_000.0, 11_997), ("sell", 2, 50_019_000.0, 11_997)]
    # bought for 5,999.81967 and sold for 6,000.77943, each with 0.05 %
    assert book.purse[0]["cash"] == pytest.approx(49_994.959460, abs=1e-6)


def test_signal_of_the_last_bar_is_not_filled() -> None:
    """There is no open after it."""
    book, marks = run_targets(_bars((50e6, 50e6), (50e6, 50e6)), _targets(OUT, HOLD), PARAMS, 50_000.0)

    assert _fills(book) == []
    assert marks == Marks(0.0, 0)


def test_no_change_wanted_keeps_what_is_held() -> None:
    """STAY neither buys nor sells."""
    bars = _bars(*[(50e6, 50e6)] * 6)

    book, marks = run_targets(bars, _targets(STAY, HOLD, STAY, STAY, OUT, STAY), PARAMS, 50_000.0)

    assert [(side, minute) for side, minute, *_ in _fills(book)] == [("buy", 2), ("sell", 5)]
    assert marks.held_bars == 3


def test_purse_that_does_not_cover_the_order_buys_nothing() -> None:
    """6,003 KRW are needed."""
    bars = _bars(*[(50e6, 50e6)] * 4)

    for cash, orders in ((6_002.99, 0), (6_003.0, 1)):
        book, _ = run_targets(bars, _targets(HOLD, HOLD, HOLD, HOLD), PARAMS, cash)

        assert book.purse[0]["orders"] == orders


def test_lot_below_the_minimum_total_is_sold_at_the_first_open_that_makes_it_large_enough() -> None:
    """5,000 KRW bought a tick up are worth 4,999.5 at the same open and 5,009 at one of 50,100,000."""
    bars = _bars((50e6, 50e6), (50e6, 50e6), (50e6, 50e6), (50_100_000.0, 50e6))

    book, marks = run_targets(bars, _targets(HOLD, OUT, OUT, OUT), PARAMS._replace(order_krw=5_000.0), 50_000.0)

    assert _fills(book)[1:] == [("sell", 3, 50_099_000.0, 9_999)]
    assert marks.held_bars == 2


@pytest.mark.parametrize("wanted", [0.5, 2.0, float("inf")])
def test_signal_with_another_value_is_refused(wanted: float) -> None:
    """The bar and the value are named."""
    with pytest.raises(DataError, match="signal of bar 1 is"):
        targets_of(np.array([1.0, wanted, 0.0]))
    assert targets_of(np.array([1.0, float("nan"), 0.0])).tolist() == [HOLD, STAY, OUT]


def test_as_many_targets_as_bars_are_needed() -> None:
    """Compiled code does not look where an array ends."""
    with pytest.raises(DataError, match="1 targets for 2 bars"):
        run_targets(_bars((50e6, 50e6), (50e6, 50e6)), _targets(OUT), PARAMS, 50_000.0)


def test_means_are_equal_where_their_exact_values_are() -> None:
    """Closes of a tenth of a KRW, whose float sums would differ: equal means are not above each other."""
    close = np.array([0.1, 0.2, 0.3, 0.2, 0.2, 0.2, 0.1, 0.3])
    bars = BarTape("KRW-X", START + MINUTE * np.arange(8), close, close, close)

    signal = signal_of(sma_cross, PARAMS._replace(fast=2, slow=3), bars)

    assert signal[2:].tolist() == [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]


def _random_bars(seed: int, low: float, tick: float, start_ms: int = START, count: int = 4_000) -> BarTape:
    """A walk on a grid of prices across a change of the price unit, with minutes that have no bar."""
    rng = np.random.default_rng(seed)
    units = round(low / tick) + np.cumsum(rng.integers(-3, 4, count))
    ts = start_ms + MINUTE * np.cumsum(rng.choice([1, 1, 1, 4, 90], count))
    close = _on_grid(units * tick, ts)
    opens = _on_grid((units + rng.integers(-2, 3, count)) * tick, ts)
    return BarTape("KRW-ADA", ts, opens, np.maximum(opens, close), close)


def _on_grid(prices: np.ndarray, ts: np.ndarray) -> np.ndarray:
    """Give the prices that the exchange would have taken at those times."""
    pairs = zip(prices.tolist(), ts.tolist(), strict=True)
    return np.array([float(rules.floor_to_tick("KRW-ADA", Decimal(str(round(price, 8))), at)) for price, at in pairs])


def _reference(bars: BarTape, params: SmaCrossParams, cash: float) -> tuple[list[Fill], list[Decimal], Decimal]:
    """The rule in words, in Decimal: fills, the cash after each, and the cash at the end."""
    closes = [Decimal(repr(float(price))) for price in bars.close]
    money, fee, spend = Decimal(cash), Decimal("0.0005"), Decimal(params.order_krw)
    fills: list[Fill] = []
    after: list[Decimal] = []
    held = Decimal(0)
    for bar in range(params.slow, len(closes)):
        fast = sum(closes[bar - params.fast : bar], Decimal(0)) / params.fast
        slow = sum(closes[bar - params.slow : bar], Decimal(0)) / params.slow
        opened, at_ms = Decimal(repr(float(bars.open[bar]))), int(bars.ts_ms[bar])
        tick = rules.tick_size(bars.market, opened, at_ms)
        minute = (at_ms - START) // MINUTE
        if fast > slow and not held and money >= spend * (1 + fee):
            held = (spend / (opened + tick)).quantize(Decimal("1e-8"), ROUND_FLOOR)
            money -= held * (opened + tick) * (1 + fee)
            fills.append(("buy", minute, float(opened + tick), int(held * 10**8)))
            after.append(money)
        elif fast <= slow and held and held * opened >= 5_000:
            money += held * (opened - tick) * (1 - fee)
            fills.append(("sell", minute, float(opened - tick), int(held * 10**8)))
            after.append(money)
            held = Decimal(0)
    return fills, after, money


_MARKETS = [(2_000_000.0, 1_000.0), (1_000.0, 5.0), (9.9, 0.01), (0.1, 0.001)]


@pytest.mark.parametrize(("low", "tick"), _MARKETS)
@pytest.mark.parametrize("lengths", [(10, 30), (1, 2), (3, 50)])
def test_orders_equal_those_of_the_plain_reference(low: float, tick: float, lengths: tuple[int, int]) -> None:
    """The same fills in Decimal, and money within 0.01 KRW a fill; the price unit changes on the way."""
    bars = _random_bars(int(low), low * 1.05, tick, START + 6 * 86_400_000)
    params = PARAMS._replace(fast=lengths[0], slow=lengths[1])

    book, _ = run_targets(bars, targets_of(signal_of(sma_cross, params, bars)), params, 20_000.0)
    fills, after, cash = _reference(bars, params, 20_000.0)

    assert len(fills) > 50
    assert _fills(book) == fills
    rows = book.orders[: len(fills)]
    sign = np.where(rows["side"] == BUY, -1.0, 1.0)
    ours = 20_000.0 + np.cumsum(sign * rows["funds"] - rows["fee"])
    assert max(abs(Decimal(float(mine)) - theirs) for mine, theirs in zip(ours, after, strict=True)) < Decimal("0.01")
    assert abs(Decimal(float(book.purse[0]["cash"])) - cash) < Decimal("0.01")


@pytest.mark.parametrize(("order_krw", "at_least"), [(6_000.0, 200), (5_000.0, 15)])
def test_one_pass_gives_the_book_of_the_bar_replay_that_asks_decide(order_krw: float, at_least: int) -> None:
    """The engine is a faster way to the same orders, to the bit; lots of 5,000 KRW often wait, too small to be sold."""
    bars = _random_bars(5, 2_000_000.0, 1_000.0)
    params = PARAMS._replace(fast=3, slow=8, order_krw=order_krw)
    none = ForecastSeries(np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64))
    asked = Strategy("asked", _asked, None, sma_cross.presets, sma_cross.leaves, sma_cross.signal)

    fast = run_strategy_bars(sma_cross, bars, none, params, 50_000.0)
    slow = run_strategy_bars(asked, bars, none, params, 50_000.0)

    orders = fast.purse[0]["orders"]
    assert orders >= at_least
    assert slow.orders[: slow.purse[0]["orders"]].tobytes() == fast.orders[:orders].tobytes()
    for name in ("cash", "lots", "trips", "unsellable"):
        assert slow.purse[0][name] == fast.purse[0][name]
    assert fast.purse[0]["unsellable"] > 0 or order_krw > 5_000.0


def _asked(*state: object) -> int:
    return sma_cross.decide(*state)


def test_figures_of_a_run_are_those_that_its_book_shows() -> None:
    """Draw-down and bars held are counted on the way; the result works them out of the orders."""
    bars = _random_bars(6, 2_000_000.0, 1_000.0)
    book, marks = run_targets(bars, targets_of(signal_of(sma_cross, PARAMS, bars)), PARAMS, 50_000.0)

    summary = _result(bars, book, PARAMS, 50_000.0).summary()

    assert marks.drawdown_krw == pytest.approx(summary["max_drawdown_krw"], abs=1e-3)
    assert marks.held_bars / len(bars.ts_ms) == pytest.approx(summary["exposure"], abs=1e-6)


def test_sweep_gives_for_each_setting_what_a_run_of_it_gives() -> None:
    """Shared sums and a book that is used again change nothing."""
    bars = _random_bars(7, 2_000_000.0, 1_000.0)
    settings = [PARAMS._replace(fast=fast, slow=slow) for fast, slow in ((10, 30), (2, 5), (50, 400), (10, 30))]

    rows = sweep_sma(bars, settings, 50_000.0)

    for setting, row in zip(settings, rows.iter_rows(named=True), strict=True):
        book, marks = run_targets(bars, targets_of(signal_of(sma_cross, setting, bars)), setting, 50_000.0)
        summary = _result(bars, book, setting, 50_000.0).summary()
        assert (row["fast"], row["slow"]) == (setting.fast, setting.slow)
        assert (row["orders"], row["trades"]) == (summary["orders"], summary["trades"])
        assert (row["held_bars"], row["open_lots"]) == (marks.held_bars, summary["open_lots"])
        for name in ("profit_krw", "fees_krw", "turnover_krw", "max_drawdown_krw"):
            assert row[name] == pytest.approx(summary[name], abs=1e-3)
    assert rows[0].equals(rows[3])


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ([], "at least one"),
        ([PARAMS._replace(fast=30, slow=30)], "fast 30 is not below slow 30"),
        ([PARAMS._replace(fast=0)], "fast 0 is out of range; valid: 1 to 999"),
        ([PARAMS._replace(slow=1_001)], "slow 1001 is out of range"),
        ([PARAMS, PARAMS._replace(order_krw=7_000.0)], "more than fast and slow"),
    ],
)
def test_sweep_of_settings_that_cannot_be_is_refused(settings: list[SmaCrossParams], names: str) -> None:
    """Before anything is run."""
    with pytest.raises(UsageError, match=names):
        sweep_sma(_bars((50e6, 50e6)), settings, 50_000.0)


def test_more_bars_than_a_mean_takes_are_not_needed() -> None:
    """A tape of fewer bars than `slow` gives no order; one of a single bar neither."""
    for count in (1, 5, 29):
        rows = sweep_sma(_bars(*[(50e6, 50e6)] * count), [PARAMS], 50_000.0)

        assert rows.select(pl.col("orders").sum()).item() == 0
