"""Recordings: what ships is sound, and what is corrupt is named by file, row and field."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tickloop.errors import CorruptRecordingError, UsageError
from tickloop.simulator.prices.recording import CANDLE_COLUMNS, TRADE_COLUMNS, load_recording, recording_of

MINUTE = 1_705_881_600_000  # 2024-01-22T00:00Z
ROW = {
    "market": "KRW-BTC",
    "ts_open": MINUTE,
    "open": 57_392_000.0,
    "high": 57_403_000.0,
    "low": 57_386_000.0,
    "close": 57_402_000.0,
    "volume": 5.5,
}
TRADE = {"market": "KRW-BTC", "ts_event": MINUTE, "price": 57_392_000.0, "qty": 0.5}


def candles(*changes: Mapping[str, Any]) -> pl.DataFrame:
    rows = [{**ROW, "ts_open": MINUTE + 60_000 * place, **change} for place, change in enumerate(changes)]
    return pl.DataFrame(rows, schema=CANDLE_COLUMNS)


def test_shipped_candles_hold_the_quarter_and_the_month() -> None:
    """Counts and edges as SOURCES.md states them, under 6 MB with the bursts."""
    recording = load_recording("candles")

    assert recording.markets == ("KRW-BTC", "KRW-ETH")
    assert [recording.frames[market].height for market in recording.markets] == [130_088, 42_434]
    assert {recording.frames[market]["ts_open"][0] for market in recording.markets} == {1_704_034_800_000}


def test_shipped_bursts_keep_every_row_of_the_source() -> None:
    """Equal rows stay; quantities past 2^53 units keep their exact decimal."""
    recording = load_recording("bursts")
    largest = pl.concat(list(recording.frames.values())).sort("qty")[-1]

    assert sum(frame.height for frame in recording.frames.values()) == 47_180
    assert recording.markets[0] == "KRW-BTC"
    assert (largest["qty"][0], largest["qty_e8"][0]) == (10_355_647_827.38891, 1_035_564_782_738_891_000)


def test_previous_close_is_that_of_the_last_utc_day_with_data() -> None:
    """Unknown on the first day; a day without data keeps the close before it."""
    day = 86_400_000
    rows = candles({"ts_open": MINUTE}, {"ts_open": MINUTE + day, "close": 57_400_000.0}, {"ts_open": MINUTE + 3 * day})

    frame = recording_of("candles", "candles", rows, "here").frames["KRW-BTC"]

    assert frame["prev_close"].fill_nan(None).to_list() == [None, 57_402_000.0, 57_400_000.0]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"market": "BTC"}, "market"),
        ({"market": "USDT-BTC"}, "market"),
        ({"ts_open": MINUTE}, "ts_open"),
        ({"ts_open": MINUTE + 60_001}, "ts_open"),
        ({"open": float("nan")}, "open"),
        ({"close": -1.0}, "close"),
        ({"high": float("inf")}, "high"),
        ({"low": 57_393_000.0}, "low"),
        ({"high": 57_401_000.0}, "high"),
        ({"volume": 0.0}, "volume"),
        ({"volume": 0.123456789}, "volume"),
        ({"volume": 3e-8}, "volume"),
        ({"volume": None}, "volume"),
        ({"open": 57_392_000.5}, "open"),
    ],
)
def test_corrupt_candle_is_named_by_file_row_and_field(change: dict[str, Any], field: str) -> None:
    """The second row is bad: nothing of the recording is used."""
    with pytest.raises(CorruptRecordingError, match=rf"recording here, row 1 \(.*\): {field} is .*; valid: "):
        recording_of("candles", "candles", candles({}, change), "here")


@pytest.mark.parametrize(
    ("change", "field"),
    [({"ts_event": MINUTE - 1}, "ts_event"), ({"price": 0.0}, "price"), ({"qty": -0.5}, "qty"), ({"qty": 1e-9}, "qty")],
)
def test_corrupt_trade_is_named_by_file_row_and_field(change: dict[str, Any], field: str) -> None:
    """Trades go through the same door."""
    rows = pl.DataFrame([TRADE, {**TRADE, **change}], schema=TRADE_COLUMNS)

    with pytest.raises(CorruptRecordingError, match=rf"row 1 \(KRW-BTC\): {field} is"):
        recording_of("bursts", "trades", rows, "here")


def test_cut_off_file_is_named(tmp_path: Path) -> None:
    """Half a Parquet file gives no half of a recording."""
    whole = tmp_path / "whole.parquet"
    candles({}, {}).write_parquet(whole)
    cut = tmp_path / "candles.parquet"
    cut.write_bytes(whole.read_bytes()[:-20])

    with pytest.raises(CorruptRecordingError, match=r"candles\.parquet is cut off or no Parquet file"):
        load_recording("candles", tmp_path)


def test_changed_file_is_told_by_its_checksum(tmp_path: Path) -> None:
    """Rows that could all be true are still not those that ship."""
    (tmp_path / "SHA256SUMS").write_text(f"{'0' * 64}  candles.parquet\n")
    candles({}, {}).write_parquet(tmp_path / "candles.parquet")

    with pytest.raises(
        CorruptRecordingError, match=r"candles\.parquet was changed: its SHA-256 is [0-9a-f]{64}; valid: 0"
    ):
        load_recording("candles", tmp_path)


def test_missing_file_and_missing_column_are_named(tmp_path: Path) -> None:
    """The message says which column should have been what."""
    with pytest.raises(CorruptRecordingError, match=r"candles\.parquet is missing"):
        load_recording("candles", tmp_path)

    candles({}).drop("low").write_parquet(tmp_path / "candles.parquet")
    with pytest.raises(CorruptRecordingError, match="column low is None; valid: Float64"):
        load_recording("candles", tmp_path)


def test_unknown_recording_is_a_usage_error() -> None:
    """The message lists what there is."""
    with pytest.raises(UsageError, match="recording 'ticks' does not exist; valid: candles, bursts"):
        load_recording("ticks")
