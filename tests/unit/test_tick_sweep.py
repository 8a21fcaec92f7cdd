"""Many settings over the same trades: each row is what a run of that setting alone gives."""

from __future__ import annotations

import numpy as np
import pytest

from tickloop.domain.backtest import run_ticks
from tickloop.domain.backtest_result import Minutes, Setup, result_of
from tickloop.domain.fills import FILL_MODELS, FillModel
from tickloop.domain.strategy import Params
from tickloop.domain.tape import ForecastSeries, Tape
from tickloop.domain.tick_index import BLOCK, index_of
from tickloop.domain.tick_sweep import sweep_ticks
from tickloop.errors import UsageError

START = 1_705_881_600_000  # 2024-01-22T00:00Z
MINUTE = 60_000
CASH = 50_000.0


def _market(seed: int, count: int = 4_000) -> tuple[Tape, ForecastSeries]:
    """Hours of a jumpy market: bursts in one millisecond, silences of minutes, forecasts that are late or absent."""
    rng = np.random.default_rng(seed)
    gaps = rng.choice([0, 7, 200, 1_500, 9_000, 70_000, 400_000], count, p=[0.2, 0.2, 0.2, 0.2, 0.17, 0.02, 0.01])
    moves = rng.choice([-1, 0, 1], count) * rng.choice([1, 5, 40], count)
    price = np.clip(2_020_000 + 1_000 * np.cumsum(moves), 2_001_000, 2_200_000).astype(float)
    ts = START + 500 + np.cumsum(gaps)
    minutes = np.arange(START, ts[-1], MINUTE)
    minutes = minutes[rng.random(len(minutes)) < 0.7]
    at = np.clip(np.searchsorted(ts, minutes), 0, count - 1)
    forecast = np.round(price[at] * np.exp(rng.normal(0, 0.004, len(minutes))))
    usable = minutes + rng.choice([0, 1_000, 30_000, 70_000], len(minutes))
    return Tape("KRW-BTC", ts, price), ForecastSeries(minutes, forecast, usable)


def _settings(seed: int, count: int) -> list[Params]:
    """Anything in range; a third of the orders so small that their lots often have to wait."""
    rng = np.random.default_rng(seed)
    return [
        Params(
            order_krw=float(rng.choice([5_000, 5_003, int(rng.integers(5_000, 30_000))])),
            min_edge=float(rng.choice([0.0, 0.001, 0.004])),
            take_profit_num=int(rng.integers(1_001, 1_011)),
            hold_ms=int(rng.choice([60_000, 600_000, 3_600_000])),
            cooldown_ms=int(rng.choice([0, 10_000, 60_000, 600_000])),
        )
        for _ in range(count)
    ]


def _summary(tape: Tape, forecasts: ForecastSeries, setting: Params, model: FillModel) -> dict[str, float]:
    """The figures of a run of one setting, by the result that users see."""
    book = run_ticks(tape, forecasts, setting, model, CASH)
    minute = tape.ts_ms // MINUTE * MINUTE
    last = np.append(np.flatnonzero(np.diff(minute)), len(minute) - 1)
    setup = Setup(tape.market, "default", None, "ticks", False, model.name, model.latency_ms, CASH, setting)
    summary = result_of(book, setup, Minutes(minute[last], tape.price[last])).summary()
    return summary | {"held": round(summary["exposure"] * len(last))}


@pytest.mark.parametrize("model", [FILL_MODELS["spread"], FILL_MODELS["last"], FillModel("slow", 10_000, 2)])
def test_every_row_is_what_a_run_of_its_setting_gives(model: FillModel) -> None:
    """Orders, round trips and open lots equal, money to a thousandth of a KRW."""
    tape, forecasts = _market(model.latency_ms)
    settings = _settings(model.ticks_against, 40)

    rows = sweep_ticks(tape, forecasts, settings, model, CASH)

    assert rows["orders"].sum() > 1_000
    assert rows["open_lots"].sum() > 0
    for setting, row in zip(settings, rows.iter_rows(named=True), strict=True):
        summary = _summary(tape, forecasts, setting, model)
        assert tuple(row[name] for name in Params._fields) == setting
        for name in ("orders", "trades", "open_lots"):
            assert row[name] == summary[name], (name, setting)
        assert row["held_bars"] == summary["held"]
        for name in ("profit_krw", "fees_krw", "turnover_krw", "max_drawdown_krw"):
            assert row[name] == pytest.approx(summary[name], abs=1e-3), (name, setting)


def test_threads_change_nothing() -> None:
    """More settings than one thread takes at a time, in the order of the settings."""
    tape, forecasts = _market(3, 400)
    settings = _settings(3, 300)

    alone = sweep_ticks(tape, forecasts, settings, FILL_MODELS["spread"], CASH)
    together = sweep_ticks(tape, forecasts, settings, FILL_MODELS["spread"], CASH, threads=3)

    assert together.equals(alone)


@pytest.mark.parametrize("count", [1, BLOCK - 1, BLOCK, BLOCK + 1])
def test_short_tapes_and_no_forecasts_buy_nothing(count: int) -> None:
    """A tape may end in the middle of a block, and a forecast be over before the first trade."""
    tape, _ = _market(4, count)
    none = ForecastSeries(np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64))
    early = ForecastSeries(np.array([START - MINUTE]), np.array([9e9]), np.array([START - MINUTE]))

    for forecasts in (none, early):
        rows = sweep_ticks(tape, forecasts, [Params()], FILL_MODELS["spread"], CASH)
        assert rows["orders"].to_list() == [0]
        assert rows["profit_krw"].to_list() == [0.0]


def test_index_tells_the_extremes_of_every_stretch() -> None:
    """By a plain look at the trades; spans end where the usable forecast changes."""
    tape, forecasts = _market(5)

    index = index_of(tape, forecasts)

    for block in range(len(index.block_low)):
        prices = tape.price[block * BLOCK : (block + 1) * BLOCK]
        assert (index.block_low[block], index.block_high[block]) == (prices.min(), prices.max())
    usable = [_usable(forecasts, int(ts)) for ts in tape.ts_ms]
    for span, (at, end) in enumerate(zip(index.span_at[:-1], index.span_at[1:], strict=True)):
        prices = tape.price[at:end]
        assert (index.span_low[span], index.span_high[span]) == (prices.min(), prices.max())
        assert index.span_last_ms[span] == tape.ts_ms[end - 1]
        assert np.array_equal(usable[at:end], np.full(end - at, index.span_forecast[span]), equal_nan=True)


def _usable(forecasts: ForecastSeries, ts: int) -> float:
    """The forecast of the trade's minute, from when it may be used."""
    for minute, price, usable in zip(forecasts.minute_ms, forecasts.price, forecasts.usable_from_ms, strict=True):
        if minute <= ts < minute + MINUTE and ts >= usable:
            return float(price)
    return float("nan")


@pytest.mark.parametrize(
    ("settings", "model", "names"),
    [
        ([], FILL_MODELS["spread"], "at least one"),
        ([Params(), Params(take_profit_num=1_000)], FILL_MODELS["spread"], "take_profit_num 1000 is out of range"),
        ([Params()], FILL_MODELS["book"], "'book' needs order books"),
    ],
)
def test_sweep_that_cannot_be_is_refused(settings: list[Params], model: FillModel, names: str) -> None:
    """Before anything is run."""
    tape, forecasts = _market(6, 50)

    with pytest.raises(UsageError, match=names):
        sweep_ticks(tape, forecasts, settings, model, CASH)
