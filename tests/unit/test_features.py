"""Features of the set `bar`: what a row says, and that it sees its window and nothing else."""

from __future__ import annotations

from math import log

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import START_MS
from slot_world import bouncing_bars
from tickloop.domain.features import FEATURE_SETS, WINDOW, compute_features, fill_bar_rows
from tickloop.domain.window import MINUTE_MS
from tickloop.errors import DataError, UsageError

NAMES = FEATURE_SETS["bar"].names


def flat_bars(count: int = WINDOW) -> pl.DataFrame:
    """Bars that all trade 1 unit at 100."""
    flat = [pl.lit(100.0).alias(name) for name in ("open", "high", "low", "close", "vwap")]
    return bouncing_bars(START_MS, count).with_columns(*flat, volume=pl.lit(1.0))


def with_last(bars: pl.DataFrame, **values: float | None) -> pl.DataFrame:
    last = pl.int_range(pl.len()) == pl.len() - 1
    return bars.with_columns(
        pl.when(last).then(value).otherwise(pl.col(name)).alias(name) for name, value in values.items()
    )


def last_row(bars: pl.DataFrame) -> dict[str, float]:
    _, features = compute_features(bars, "bar")
    return dict(zip(NAMES, features[-1].tolist(), strict=True))


def test_flat_market_says_nothing() -> None:
    """Every movement is 0; equal volumes give log 2; the bar before is one minute away."""
    row = last_row(flat_bars())

    expected = dict.fromkeys(NAMES, 0.0) | {"volume_1": log(2), "volume_5": log(2), "minutes_since_bar": 1.0}
    assert row == pytest.approx(expected)


def test_features_of_a_last_bar_that_moved_are_as_written() -> None:
    """The last minute opens at 100 and closes at 101, high 102, low 98, vwap 100.5, on 4 units after 59 of 1."""
    row = last_row(with_last(flat_bars(), close=101.0, high=102.0, low=98.0, vwap=100.5, volume=4.0))

    assert row["return_1"] == pytest.approx(log(1.01))
    assert row["return_30"] == pytest.approx(log(1.01))
    assert row["volatility_5"] == pytest.approx(log(1.01) / 5**0.5)
    assert row["range_1"] == pytest.approx(log(102 / 98))
    assert row["position_60"] == pytest.approx(3 / 4 - 0.5)
    assert row["vwap_gap_1"] == pytest.approx(log(100.5 / 101))
    assert row["vwap_gap_5"] == pytest.approx(log((4 * 100.5 + 4 * 100) / 8 / 101))
    assert row["flow_1"] == 1.0
    assert row["flow_5"] == pytest.approx(4 / 8)
    assert row["volume_1"] == pytest.approx(log(1 + 4 / (63 / 60)))


def test_minutes_without_trades_show_in_the_gap() -> None:
    """Two minutes are absent before the last bar."""
    bars = bouncing_bars(START_MS, WINDOW + 3, missing=[WINDOW, WINDOW + 1])

    assert last_row(bars)["minutes_since_bar"] == 3.0


@pytest.mark.parametrize("vwap", [None, float("nan")])
def test_bar_without_vwap_counts_with_its_close(vwap: float | None) -> None:
    """A candle without turnover."""
    bars = with_last(flat_bars(), close=101.0, high=101.0)

    assert last_row(with_last(bars, vwap=vwap)) == last_row(with_last(bars, vwap=101.0))


def test_window_without_volume_has_finite_features() -> None:
    """Rounded candles may say 0."""
    row = last_row(flat_bars().with_columns(volume=pl.lit(0.0)))

    assert row["volume_1"] == log(2)
    assert row["flow_5"] == 0.0
    assert np.isfinite(list(row.values())).all()


def test_there_is_one_row_for_each_full_window() -> None:
    """59 bars give none; 62 give three, labelled by the last bar seen."""
    bars = bouncing_bars(START_MS, 62)

    few, none = compute_features(bars.head(WINDOW - 1), "bar")
    opens, features = compute_features(bars, "bar")

    assert (len(few), none.shape) == (0, (0, len(NAMES)))
    assert opens.tolist() == [START_MS + minute * MINUTE_MS for minute in (59, 60, 61)]
    assert features.shape == (3, len(NAMES))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), cut=st.integers(WINDOW, 150))
def test_features_of_a_prefix_are_the_prefix_of_features(seed: int, cut: int) -> None:
    """Bit for bit: no row sees what comes after it."""
    bars = bouncing_bars(START_MS, 150, seed, missing=[3, 70, 71])

    opens, whole = compute_features(bars, "bar")
    prefix_opens, prefix = compute_features(bars.head(cut), "bar")

    assert prefix_opens.tolist() == opens[: len(prefix)].tolist()
    assert prefix.tobytes() == whole[: len(prefix)].tobytes()


def test_row_computed_alone_has_the_bits_of_the_batch() -> None:
    """A live caller passes the last window only; training passes everything."""
    bars = bouncing_bars(START_MS, 400, missing=[100, 205])

    _, batch = compute_features(bars, "bar")
    alone = [compute_features(bars.slice(at, WINDOW), "bar")[1][0].tobytes() for at in range(len(batch))]

    assert alone == [row.tobytes() for row in batch]


def test_poisoned_future_and_far_past_change_nothing() -> None:
    """NaN in every bar outside the window of a row, put where no check is."""
    bars = bouncing_bars(START_MS, 200)
    _, whole = compute_features(bars, "bar")
    prices = np.stack([bars[name].to_numpy() for name in ("open", "high", "low", "close", "vwap")])
    volume = bars["volume"].to_numpy().copy()
    row = 70
    outside = np.r_[0:row, row + WINDOW : 200]
    prices[:, outside] = np.nan
    volume[outside] = np.nan
    poisoned = np.empty_like(whole)

    fill_bar_rows(bars["ts_open"].dt.epoch("ms").to_numpy().copy(), prices, volume, poisoned)

    assert poisoned[row].tobytes() == whole[row].tobytes()
    assert np.isnan(poisoned[row + 1]).any()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("close", float("nan"), "close nan"),
        ("low", -1.0, "low -1.0"),
        ("volume", -0.5, "volume -0.5"),
        ("vwap", float("inf"), "vwap inf"),
    ],
)
def test_bar_that_is_none_is_refused_by_value(name: str, value: float, message: str) -> None:
    """Corrupt data stops here rather than in a model."""
    with pytest.raises(DataError, match=message):
        compute_features(with_last(flat_bars(), **{name: value}), "bar")


def test_bars_out_of_order_are_refused() -> None:
    """The window is the last bars by place."""
    bars = bouncing_bars(START_MS, WINDOW)

    with pytest.raises(DataError, match="ascending"):
        compute_features(pl.concat([bars, bars.tail(1)]), "bar")


def test_unknown_feature_set_lists_the_valid_ones() -> None:
    """A setting that names none."""
    with pytest.raises(UsageError, match="'tick' is not known; valid: bar"):
        compute_features(flat_bars(), "tick")
