"""Nothing of the future reaches a strategy: from a time on all is NaN in every market, and what came before stays.

One market alone is tested so in test_strategies.py.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from jumpy import LIVELY, MINUTE, market, series_for
from tickloop.domain.backtest_book import FILLED
from tickloop.domain.backtest_inputs import minutes_of
from tickloop.domain.backtest_purse import Leg, run_purse_ticks
from tickloop.domain.backtest_purse_bars import run_purse_bars
from tickloop.domain.backtest_shelf import Shelf
from tickloop.domain.fills import FILL_MODELS, FillModel
from tickloop.domain.strategies.shipped import SHIPPED
from tickloop.domain.strategy import BUY, SELL
from tickloop.domain.strategy_bars import signal_series
from tickloop.domain.tape import BarTape, ForecastSeries, Tape

NAMES = ("KRW-BTC", "KRW-ETH", "KRW-XRP")
ACTIVE = [name for name in SHIPPED if name not in ("buy_and_hold", "do_nothing")]
MARKETS = [market(seed, name, 2_000) for seed, name in enumerate(NAMES, start=40)]
CASH = 21_000.0  # three lots or four: what one market buys, another cannot
CUTS = [int(np.quantile(MARKETS[0][0].ts_ms, share)) for share in (0.1, 0.5, 0.95)]


def _dark(values: NDArray[np.float64], is_future: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.where(is_future, np.nan, values)


def _past(shelf: Shelf, cut: int) -> list[tuple[object, ...]]:
    """What was decided before a time, and how it was filled if that was before it too."""
    told = []
    for owner, row in zip(shelf.owners.tolist(), shelf.orders, strict=True):
        if row["decided_ms"] < cut:
            is_known = row["outcome"] == FILLED and row["filled_ms"] < cut
            decided = ("side", "lots", "decided_ms", "decision_price", "forecast")
            filled = ("outcome", "filled_ms", "fill_price", "qty_e8", "funds", "fee") if is_known else ()
            told.append((owner, *(str(row[key]) for key in (*decided, *filled))))
    return told


def _ticks(name: str, cut: int | None, model: FillModel) -> Shelf:
    """Replay ticks; from a cut on every price, and every forecast not usable before it, is NaN."""
    strategy, params = SHIPPED[name], LIVELY[name]
    tapes, series = [], []
    for tape, forecasts in MARKETS:
        end = 1 << 60 if cut is None else cut
        dark = Tape(tape.market, tape.ts_ms, _dark(tape.price, tape.ts_ms >= end))
        tapes.append(dark)
        if strategy.signal is None:
            price = _dark(forecasts.price, forecasts.usable_from_ms >= end)
            series.append(ForecastSeries(forecasts.minute_ms, price, forecasts.usable_from_ms))
        else:
            bars = minutes_of(tape)
            close = _dark(bars.close, bars.ts_ms + MINUTE > end)  # the bar of the cut's own minute closes after it
            hidden = BarTape(bars.market, bars.ts_ms, bars.open, bars.high, close)
            series.append(signal_series(strategy, params, hidden, delay_ms=1_000))
    return run_purse_ticks([Leg(one, params) for one in NAMES], tapes, series, model, CASH, strategy=strategy)


@pytest.mark.parametrize("name", list(SHIPPED))
def test_poisoned_future_changes_no_order_of_ticks_before_it(name: str) -> None:
    """Of no market, for the two usual latencies."""
    for model in (FILL_MODELS["spread"], FILL_MODELS["last"]):
        clean = _ticks(name, None, model)
        for cut in CUTS:
            assert _past(_ticks(name, cut, model), cut) == _past(clean, cut)
        assert name not in ACTIVE or len({owner for owner, *_ in _past(clean, CUTS[-1])}) == len(NAMES)


def test_signal_of_the_clean_run_is_the_usual_one() -> None:
    """The run without a cut hides nothing."""
    clean = _ticks("sma_cross", None, FILL_MODELS["spread"])
    tapes = [tape for tape, _ in MARKETS]
    series = [series_for("sma_cross", *one) for one in MARKETS]

    usual = run_purse_ticks(
        [Leg(one, LIVELY["sma_cross"]) for one in NAMES],
        tapes,
        series,
        FILL_MODELS["spread"],
        CASH,
        strategy=SHIPPED["sma_cross"],
    )

    assert clean.orders.tobytes() == usual.orders.tobytes()


def _bars(name: str, cut: int) -> Shelf:
    """Replay bars; from a minute on all is NaN, and of that minute all but its open, at which orders are decided."""
    strategy, params = SHIPPED[name], LIVELY[name]
    bars, series = [], []
    for tape, forecasts in MARKETS:
        whole = minutes_of(tape)
        is_late, is_later = whole.ts_ms >= cut, whole.ts_ms > cut
        # The default strategy's targets within a bar are decided by its high, so its own bar must be whole.
        high = _dark(whole.high, is_later if name == "default" else is_late)
        bars.append(BarTape(whole.market, whole.ts_ms, _dark(whole.open, is_later), high, _dark(whole.close, is_late)))
        price = _dark(forecasts.price, forecasts.minute_ms > cut)
        series.append(ForecastSeries(forecasts.minute_ms, price, forecasts.minute_ms))
    return run_purse_bars([Leg(one, params) for one in NAMES], bars, series, CASH, strategy=strategy)


@pytest.mark.parametrize("name", list(SHIPPED))
def test_poisoned_future_changes_no_order_of_bars_before_it(name: str) -> None:
    """Of no market."""
    clean = _bars(name, 1 << 60)
    for at in CUTS:
        cut = at - at % MINUTE
        assert _past(_bars(name, cut), cut + 1) == _past(clean, cut + 1)
    assert name not in ACTIVE or len({owner for owner, *_ in _past(clean, CUTS[-1])}) == len(NAMES)


def test_high_of_a_minute_reaches_no_other_market_within_it() -> None:
    """With the highs of one minute hidden, everything decided at the opens of that minute stays, in every market."""
    clean = _bars("default", 1 << 60)
    sold = clean.orders[(clean.orders["side"] == SELL) & (clean.orders["decided_ms"] == clean.orders["filled_ms"])]
    assert len(sold) > 5
    for cut in sorted(set(sold["decided_ms"].tolist()))[:5]:
        bars = [
            BarTape(one.market, one.ts_ms, one.open, _dark(one.high, one.ts_ms >= cut), one.close)
            for one in (minutes_of(tape) for tape, _ in MARKETS)
        ]
        legs = [Leg(one, LIVELY["default"]) for one in NAMES]
        dark = run_purse_bars(legs, bars, [forecasts for _, forecasts in MARKETS], CASH)

        def opens(shelf: Shelf, at: int = cut) -> list[tuple[int, int, float]]:
            buys = shelf.orders["side"] == BUY
            return [
                (owner, int(row["decided_ms"]), float(row["funds"]))
                for owner, row in zip(shelf.owners[buys].tolist(), shelf.orders[buys], strict=True)
                if row["decided_ms"] <= at
            ]

        assert opens(dark) == opens(clean)
