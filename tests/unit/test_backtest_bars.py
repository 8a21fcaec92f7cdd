"""Bar mode: a few bars in, expected fills out."""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal

import numpy as np
import polars as pl
import pytest

from tickloop.domain.backtest_bars import run_bars, run_buy_and_hold, run_nothing
from tickloop.domain.backtest_book import Book
from tickloop.domain.backtest_result import Minutes, Setup, result_of
from tickloop.domain.strategy import BUY, PRESETS, Params
from tickloop.domain.tables import BAR_1M
from tickloop.domain.tape import BarTape, ForecastSeries, bars_of
from tickloop.errors import DataError, NotEnoughDataError

START = 1_705_881_600_000  # 2024-01-22T00:00Z
MINUTE = 60_000
SEED2023 = PRESETS["seed2023"]
SIX = SEED2023._replace(order_krw=6_000.0)


def _bars(*rows: tuple[int, float, float]) -> BarTape:
    """Bars as (minute, open, high)."""
    opens, highs = np.array([row[1] for row in rows]), np.array([row[2] for row in rows])
    return BarTape("KRW-BTC", np.array([START + row[0] * MINUTE for row in rows]), opens, highs, opens)


def _forecasts(prices: dict[int, float]) -> ForecastSeries:
    minutes = np.array([START + minute * MINUTE for minute in sorted(prices)], np.int64)
    return ForecastSeries(minutes, np.array([prices[minute] for minute in sorted(prices)], float), minutes)


def _orders(book: Book) -> list[tuple[str, int, float, int, int]]:
    """(side, minute, fill price, quantity, lots)."""
    return [
        (
            "buy" if row["side"] == BUY else "sell",
            (int(row["filled_ms"]) - START) // MINUTE,
            float(row["fill_price"]),
            int(row["qty_e8"]),
            int(row["lots"]),
        )
        for row in book.orders[: book.purse[0]["orders"]]
    ]


UP = {0: 60e6}


def test_buy_is_at_open_plus_a_tick() -> None:
    """6,000 KRW at 50,001,000."""
    book = run_bars(_bars((0, 50e6, 50e6)), _forecasts(UP), SIX, 50_000.0)

    assert _orders(book) == [("buy", 0, 50_001_000.0, 11_999, 1)]
    assert book.purse[0]["cash"] == pytest.approx(50_000 - 5_999.61999 * 1.0005, abs=1e-6)


@pytest.mark.parametrize(
    ("params", "forecast", "orders"),
    [
        (PRESETS["default"], 50_050_000.0, 0),
        (PRESETS["default"], 50_050_001.0, 1),
        (SEED2023, 50_000_000.0, 0),
        (SEED2023, 50_000_001.0, 1),
    ],
)
def test_buy_needs_the_open_below_the_forecast_with_edge(params: Params, forecast: float, orders: int) -> None:
    """Strictly, as in tick mode."""
    book = run_bars(_bars((0, 50e6, 50e6)), _forecasts({0: forecast}), params, 50_000.0)

    assert book.purse[0]["orders"] == orders


def test_forecast_of_another_minute_buys_nothing() -> None:
    """Minute 1 has a bar and no forecast."""
    book = run_bars(_bars((1, 50e6, 50e6)), _forecasts({0: 60e6, 2: 60e6}), SIX, 50_000.0)

    assert _orders(book) == []


def test_next_minute_meets_the_cooldown() -> None:
    """A minute lies between two opens, so every bar may buy; the cash of 20,000 ends it after three."""
    bars = _bars(*((minute, 50e6, 50e6) for minute in range(5)))

    book = run_bars(bars, _forecasts(dict.fromkeys(range(5), 60e6)), SIX, 20_000.0)

    assert [(side, minute) for side, minute, *_ in _orders(book)] == [("buy", 0), ("buy", 1), ("buy", 2)]


def test_lot_of_an_earlier_bar_is_sold_at_its_target_if_the_high_goes_more_than_a_tick_beyond() -> None:
    """Bought at 50,001,000: target 50,101,002, not reached by a high of 50,102,000 but by one of 50,103,000."""
    bars = _bars((0, 50e6, 60e6), (1, 50e6, 50_102_000.0), (2, 50e6, 50_103_000.0))

    book = run_bars(bars, _forecasts(UP), SIX, 50_000.0)

    assert _orders(book) == [("buy", 0, 50_001_000.0, 11_999, 1), ("sell", 2, 50_101_002.0, 11_999, 1)]


def test_high_exactly_a_tick_above_the_target_is_not_more() -> None:
    """Entry 49,999,000 + 1,000 = 50,000,000: target 50,100,000; a high of 50,101,000 is exactly a tick above."""
    for high, sells in ((50_101_000.0, 0), (50_101_500.0, 1)):
        book = run_bars(_bars((0, 49_999_000.0, 5e7), (1, 5e7, high)), _forecasts(UP), SIX, 50_000.0)

        assert book.purse[0]["orders"] == 1 + sells


def test_each_lot_at_target_is_sold_by_itself() -> None:
    """Two lots, two sells; the minimum total holds for each."""
    bars = _bars((0, 50e6, 50e6), (1, 50e6, 50e6), (2, 50e6, 51e6))

    book = run_bars(bars, _forecasts({0: 60e6, 1: 60e6}), SIX, 50_000.0)

    assert _orders(book)[2:] == [("sell", 2, 50_101_002.0, 11_999, 1), ("sell", 2, 50_101_002.0, 11_999, 1)]
    assert book.trips[:2].tolist() == [[0, 2, 11_999], [1, 3, 11_999]]


def test_lot_whose_target_total_is_below_the_minimum_is_not_sold() -> None:
    """With a minimum of 6,100 KRW a lot of 6,000 is too small even at its target of 6,011.6."""
    params = SIX._replace(min_total=6_100.0)

    book = run_bars(_bars((0, 50e6, 50e6), (1, 50e6, 51e6)), _forecasts(UP), params, 50_000.0)

    assert book.purse[0]["lots"] == 1


def test_lots_held_for_an_hour_leave_together_at_open_minus_a_tick() -> None:
    """Bars 60 and 61: the lot of bar 0 leaves at bar 60, that of bar 1 and of bar 2 both at bar 62 after a gap."""
    bars = _bars(
        (0, 50e6, 50e6), (1, 50e6, 50e6), (2, 50e6, 50e6), (59, 50e6, 50e6), (60, 50e6, 50e6), (62, 50e6, 50e6)
    )

    book = run_bars(bars, _forecasts({0: 60e6, 1: 60e6, 2: 60e6}), SIX, 50_000.0)

    assert _orders(book)[3:] == [("sell", 60, 49_999_000.0, 11_999, 1), ("sell", 62, 49_999_000.0, 23_998, 2)]


def test_late_lot_below_the_minimum_total_waits() -> None:
    """5,000 KRW bought a tick up are worth 4,999.5 at the open an hour later."""
    book = run_bars(_bars((0, 50e6, 50e6), (60, 50e6, 50e6), (61, 51e6, 51e6)), _forecasts(UP), SEED2023, 50_000.0)

    assert _orders(book)[1:] == [("sell", 61, 50_999_000.0, 9_999, 1)]
    assert book.purse[0]["unsellable"] == 1


@pytest.mark.parametrize(("cash", "minutes"), [(6_003.0, [0, 3]), (13_000.0, [0, 2])])
def test_cash_of_a_target_sale_is_usable_from_the_next_bar(cash: float, minutes: list[int]) -> None:
    """The lot of bar 0 is sold during bar 2; with little cash the next buy is at bar 3, not 2."""
    bars = _bars((0, 50e6, 50e6), (2, 50e6, 51e6), (3, 50e6, 50e6))

    book = run_bars(bars, _forecasts({0: 60e6, 2: 60e6, 3: 60e6}), SIX, cash)

    assert [minute for side, minute, *_ in _orders(book) if side == "buy"][:2] == minutes


def test_cash_of_a_late_sale_is_usable_at_the_same_open() -> None:
    """Rule 1 comes before rule 2: sold at 55,000,000, bought again."""
    bars = _bars((0, 50e6, 50e6), (60, 55e6, 55e6))

    book = run_bars(bars, _forecasts({0: 60e6, 60: 60e6}), SIX, 6_003.0)

    assert [(side, minute) for side, minute, *_ in _orders(book)] == [("buy", 0), ("sell", 60), ("buy", 60)]


def test_buy_and_hold_spends_everything_once_and_nothing_does_nothing() -> None:
    """49,975 KRW at 50,001,000 are 0.00099948 BTC; their value ends 2 % up less both fees."""
    bars = _bars((0, 50e6, 50e6), (1, 51e6, 51e6))
    setup = Setup("KRW-BTC", "x", None, "bars", True, "bar", 0, 50_000.0, SEED2023)
    minutes = Minutes(bars.ts_ms, bars.close)

    held = result_of(run_buy_and_hold(bars, SEED2023, 50_000.0), setup, minutes)
    nothing = result_of(run_nothing(50_000.0), setup, minutes)

    assert held.orders["qty_e8"].to_list() == [99_948]
    # 0.00099948 x (51,000,000 x 0.9995 - 50,001,000 x 1.0005)
    assert held.profit_krw == pytest.approx(948.006280, abs=1e-5)
    assert nothing.profit_krw == 0.0
    assert nothing.summary()["profit_per_minute_krw"] == 0.0


def test_summary_figures_of_a_won_and_a_lost_trade() -> None:
    """The bars of two trips: one at its target, one after an hour at a loss."""
    bars = _bars((0, 50e6, 50e6), (1, 50e6, 51e6), (2, 50e6, 50e6), (62, 49e6, 49e6))
    book = run_bars(bars, _forecasts({0: 60e6, 2: 60e6}), SIX, 50_000.0)
    setup = Setup("KRW-BTC", "seed2023", "ridge-2", "bars", True, "bar", 0, 50_000.0, SIX)

    summary = result_of(book, setup, Minutes(bars.ts_ms, bars.close)).summary()

    # won 0.00011999 x (50,101,002 x 0.9995 - 50,001,000 x 1.0005), lost with 48,999,000 instead
    won, lost = 5.9936204, -126.1694850
    assert summary["trades"] == 2
    assert summary["win_rate"] == 0.5
    assert summary["profit_krw"] == pytest.approx(won + lost, abs=1e-3)
    assert summary["realized_krw"] == summary["profit_krw"]
    assert summary["mean_profit_per_trade_krw"] == pytest.approx((won + lost) / 2, abs=1e-3)
    assert summary["profit_factor"] == pytest.approx(won / -lost, abs=1e-5)
    assert summary["minutes"] == 4
    assert summary["exposure"] == 0.5
    assert summary["open_lots"] == 0
    assert summary["turnover_krw"] == pytest.approx(0.00011999 * (2 * 50_001_000 + 50_101_002 + 48_999_000), abs=1e-3)
    assert summary["fees_krw"] == pytest.approx(summary["turnover_krw"] * 0.0005, abs=1e-3)


def test_unknown_bars_are_left_out_and_bad_ones_refused() -> None:
    """Prices that nothing confirms must not be traded on."""
    row = {"market": "KRW-BTC", "ts_open": START, "open": 5e7, "high": 5e7, "low": 5e7, "close": 5e7, "volume": 1.0}
    known, unknown = {**row, "state": "candle"}, {**row, "ts_open": START + MINUTE, "state": "unknown"}
    whole = {name: pl.Int64() if dtype.is_temporal() else dtype for name, dtype in BAR_1M.columns.items()}

    def frame(*rows: dict[str, object]) -> pl.DataFrame:
        return pl.DataFrame(list(rows), schema=whole).cast(dict(BAR_1M.columns))

    assert bars_of(frame(known, unknown)).ts_ms.tolist() == [START]
    with pytest.raises(NotEnoughDataError, match="none of 1 bars"):
        bars_of(frame(unknown))
    with pytest.raises(DataError, match="order of time"):
        bars_of(frame(known, known))
    with pytest.raises(DataError, match="finite number above 0"):
        bars_of(frame({**known, "open": -1.0}))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("preset", ["default", "seed2023"])
def test_fills_equal_those_of_the_plain_reference(seed: int, preset: str) -> None:
    """The three rules of the design in Decimal, over 2,000 random bars with gaps."""
    rng = np.random.default_rng(seed)
    minutes = np.cumsum(rng.choice([1, 1, 1, 1, 5, 30], 2_000))
    opens = 50e6 + 1_000 * np.cumsum(rng.integers(-40, 41, 2_000)).astype(float)
    highs = opens + 1_000 * rng.integers(0, 90, 2_000)
    bars = BarTape("KRW-BTC", START + minutes * MINUTE, opens, highs, opens)
    forecasts = {int(minute): float(price) for minute, price in zip(minutes[::2], opens[::2] + 70_000.0, strict=True)}

    book = run_bars(bars, _forecasts(forecasts), PRESETS[preset], 50_000.0)
    fills, cash = _reference(bars, forecasts, PRESETS[preset])

    assert len(fills) > 50
    assert _orders(book) == fills
    assert abs(Decimal(float(book.purse[0]["cash"])) - cash) < Decimal("0.01") * len(fills)


def _reference(
    bars: BarTape, forecasts: dict[int, float], params: Params
) -> tuple[list[tuple[str, int, float, int, int]], Decimal]:
    cash, fee, tick, minimum = Decimal(50_000), Decimal("0.0005"), Decimal(1_000), Decimal(5_000)
    spend, edge = Decimal(str(params.order_krw)), 1 + Decimal(str(params.min_edge))
    lots: list[tuple[Decimal, int, Decimal]] = []
    fills: list[tuple[str, int, float, int, int]] = []
    last_buy = -10

    def fill(side: str, minute: int, price: Decimal, qty: Decimal, count: int) -> Decimal:
        fills.append((side, minute, float(price), int(qty * 10**8), count))
        return qty * price

    for ts, o, h in zip(bars.ts_ms.tolist(), bars.open.tolist(), bars.high.tolist(), strict=True):
        minute, opened, high = (ts - START) // MINUTE, Decimal(o), Decimal(h)
        late = [lot for lot in lots if minute - lot[1] >= 60]
        total = sum((lot[2] for lot in late), Decimal(0))
        if late and total * opened >= minimum:
            lots = [lot for lot in lots if lot not in late]
            cash += fill("sell", minute, opened - tick, total, len(late)) * (1 - fee)
        forecast = forecasts.get(minute)
        wants = forecast is not None and opened * edge < Decimal(str(forecast))
        if wants and minute - last_buy >= 1 and cash >= spend * (1 + fee):
            qty = (spend / (opened + tick)).quantize(Decimal("1e-8"), ROUND_FLOOR)
            cash -= fill("buy", minute, opened + tick, qty, 1) * (1 + fee)
            lots.append((opened + tick, minute, qty))
            last_buy = minute
        for lot in list(lots):
            target = lot[0] * 1002 / 1000
            if lot[1] < minute and target < high - tick and target * lot[2] >= minimum:
                lots.remove(lot)
                cash += fill("sell", minute, target, lot[2], 1) * (1 - fee)
    return fills, cash
