"""Prices from files of one's own."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tickloop.errors import CorruptRecordingError, UsageError
from tickloop.simulator.price_files import load_file
from tickloop.simulator.market import SimulatedExchange
from tickloop.simulator.periods import every_minutes

START = 1_772_600_400_000  # 2026-03-04T05:00:00Z


def trade(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "type": "trade",
        "code": "KRW-BTC",
        "trade_timestamp": START + 100 * number,
        "trade_price": 131_250_000.0 + 1_000 * number,
        "trade_volume": 0.00124,
        "ask_bid": "BID" if number % 2 else "ASK",
        "sequential_id": 900 - number,
    } | changes


def short(frame: dict[str, Any]) -> dict[str, Any]:
    names = {"type": "ty", "code": "cd", "trade_timestamp": "ttms", "trade_price": "tp", "trade_volume": "tv"}
    return {{**names, "ask_bid": "ab", "sequential_id": "sid"}[name]: value for name, value in frame.items()}


def write(path: Path, *frames: Any) -> Path:
    text = "".join(json.dumps(frame) + "\n" for frame in frames).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


@pytest.mark.parametrize("name", ["frames.jsonl", "frames.jsonl.gz"])
@pytest.mark.parametrize("form", [lambda frame: frame, short])
def test_capture_keeps_times_prices_quantities_sides_and_ids(tmp_path: Path, name: str, form: Any) -> None:
    """Of frames in either format; a repeat counts once, other messages are passed over."""
    frames = [form(trade(1)), form(trade(0)), form(trade(1)), form({"type": "ticker", "code": "KRW-BTC"})]

    exchange = SimulatedExchange(load_file(write(tmp_path / name, *frames)), 1)
    tape = exchange.made("KRW-BTC", START, START + 60_000)

    assert tape.ts_event.tolist() == [START, START + 100]
    assert tape.trade_id.tolist() == [900, 899]
    assert tape.price.tolist() == [131_250_000.0, 131_251_000.0]
    assert tape.qty_e8.tolist() == [124_000, 124_000]
    assert [int(side) for side in tape.side] == [1, 0]  # a seller, then a buyer, as told


def test_candles_of_a_csv_are_replayed_to_the_digit(tmp_path: Path) -> None:
    """With the exchange's own names of columns; every candle comes out as it went in."""
    rows = {
        "market": ["KRW-BTC", "KRW-BTC"],
        "candle_date_time_utc": ["2026-03-04T05:00:00", "2026-03-04T05:02:00"],
        "opening_price": [131_250_000.0, 131_251_000.0],
        "high_price": [131_260_000.0, 131_255_000.0],
        "low_price": [131_240_000.0, 131_250_000.0],
        "trade_price": [131_255_000.0, 131_250_000.0],
        "candle_acc_trade_volume": [0.70951128, 1.5],
    }
    pl.DataFrame(rows).write_csv(tmp_path / "candles.csv")

    market = SimulatedExchange(load_file(tmp_path / "candles.csv"), 1).market("KRW-BTC")
    candles = market.candles(every_minutes(1), None, 5, START + 180_000)

    assert candles.ts_open.tolist() == [START + 120_000, START]
    assert candles.open.tolist() == rows["opening_price"][::-1]
    assert candles.close.tolist() == rows["trade_price"][::-1]
    assert candles.high.tolist() == rows["high_price"][::-1]
    assert candles.low.tolist() == rows["low_price"][::-1]
    assert candles.qty_e8.tolist() == [150_000_000, 70_951_128]


def test_tape_of_a_parquet_file_is_replayed(tmp_path: Path) -> None:
    rows = {"code": ["KRW-BTC"] * 2, "trade_timestamp": [START, START], "trade_price": [131_250_000.0] * 2}
    pl.DataFrame({**rows, "trade_volume": [0.5, 0.25]}).write_parquet(tmp_path / "trades.parquet")

    tape = SimulatedExchange(load_file(tmp_path / "trades.parquet"), 1).made("KRW-BTC", START, START + 1)

    assert tape.qty_e8.tolist() == [50_000_000, 25_000_000]
    assert len(set(tape.trade_id.tolist())) == 2


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ("nonsense", "line 1: .*valid: one JSON frame a line"),
        (trade(1, trade_volume=None), "line 1: a trade without time, price, quantity or id"),
        (trade(1, code="BTC"), "market is BTC; valid: a KRW market"),
        (trade(1, trade_price=-1.0), "price is -1.0; valid: a finite number above 0"),
        (trade(1, trade_volume=1e-9), "qty is 1e-09; valid: a whole number of 1e-8"),
    ],
)
def test_frame_that_cannot_be_is_named(tmp_path: Path, frame: Any, message: str) -> None:
    with pytest.raises(CorruptRecordingError, match=message):
        load_file(write(tmp_path / "frames.jsonl", trade(0), frame))


def test_file_that_tells_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "prices.txt").write_text("131250000")
    (tmp_path / "half.csv").write_text("market,trade_price\nKRW-BTC,131250000.0\n")
    write(tmp_path / "silent.jsonl", {"type": "ticker", "code": "KRW-BTC"})

    with pytest.raises(UsageError, match=r"valid: \.jsonl"):
        load_file(tmp_path / "prices.txt")
    with pytest.raises(UsageError, match="does not exist"):
        load_file(tmp_path / "nowhere.csv")
    with pytest.raises(CorruptRecordingError, match="no column ts_event"):
        load_file(tmp_path / "half.csv")
    with pytest.raises(CorruptRecordingError, match="holds no trade"):
        load_file(tmp_path / "silent.jsonl")
