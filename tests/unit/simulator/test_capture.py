"""Prices from files of one's own."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tickloop.errors import CorruptRecordingError, UsageError
from tickloop.simulator.prices.exchange import SimulatedExchange
from tickloop.simulator.prices.periods import every_minutes
from tickloop.simulator.prices.price_files import load_file
from tickloop.simulator.prices.tape import CHANGES, SIDES

DATA = Path(__file__).parents[2] / "data" / "upbit-ws-2021"
WORDS = {"BID": "BUY", "ASK": "SELL"}
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
    path.parent.mkdir(exist_ok=True)
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
        ("nonsense", "line 2: .*valid: one JSON message of the exchange a line"),
        (
            trade(1, trade_volume=None),
            r"line 2 \(KRW-BTC\): a trade without trade_volume; valid: trade_timestamp, trade_price",
        ),
        (trade(1, code="BTC"), "market is BTC; valid: a KRW market"),
        (trade(1, ask_bid="BUY"), "a trade without ask_bid"),
        (trade(1, trade_price=-1.0), "row 2 .*: price is -1.0; valid: a finite number above 0"),
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

    with pytest.raises(UsageError, match=r"valid: \.parquet, \.csv, \.jsonl"):
        load_file(tmp_path / "prices.txt")
    with pytest.raises(UsageError, match="does not exist"):
        load_file(tmp_path / "nowhere.csv")
    with pytest.raises(
        CorruptRecordingError, match="no column ts_event; valid: ts_event or trade_timestamp or timestamp"
    ):
        load_file(tmp_path / "half.csv")
    with pytest.raises(CorruptRecordingError, match="holds no trade"):
        load_file(tmp_path / "silent.jsonl")


def test_real_capture_in_the_short_format_keeps_every_trade() -> None:
    """Twelve messages of 2021: ids of another form and a resolution of one second; the previous close is told."""
    frames = [json.loads(line) for line in (DATA / "trades-simple.jsonl").read_bytes().splitlines()]

    exchange = SimulatedExchange(load_file(DATA / "trades-simple.jsonl"), 1)

    for code in {frame["cd"] for frame in frames}:
        told = [frame for frame in frames if frame["cd"] == code]
        tape = exchange.made(code, 1_617_580_800_000, 1_617_667_200_000)
        assert tape.ts_event.tolist() == [frame["ttms"] for frame in told]
        assert tape.trade_id.tolist() == [frame["sid"] for frame in told]
        assert tape.price.tolist() == [frame["tp"] for frame in told]
        assert (tape.qty_e8 / 1e8).tolist() == [frame["tv"] for frame in told]
        assert tape.prev_close.tolist() == [frame["pcp"] for frame in told]
        assert [CHANGES[change].value for change in tape.change] == [frame["c"] for frame in told]
        assert [SIDES[side].value for side in tape.side] == [WORDS[frame["ab"]] for frame in told]


def test_folder_of_journal_segments_is_one_recording(tmp_path: Path) -> None:
    """In order of time, a repair among the others, and the line that a kill cut off left out."""
    ours = {"ts_received": 1, "arrival": 1, "@timestamp": "2026-03-04T05:00:00.000Z", "doc_id": "trade:KRW-BTC:1"}
    write(tmp_path / "b.jsonl", trade(2) | ours, trade(0) | ours)
    with (tmp_path / "b.jsonl").open("ab") as file:
        file.write(b'{"type":"trade","code":"KRW-B')
    write(tmp_path / "c" / "repairs.jsonl.gz", trade(1) | ours | {"source": "rest"}, trade(2) | ours)

    tape = SimulatedExchange(load_file(tmp_path), 1).made("KRW-BTC", START, START + 60_000)

    assert tape.trade_id.tolist() == [900, 899, 898]


def test_messages_in_lists_and_of_other_quotes(tmp_path: Path) -> None:
    """The two list formats; a market that is not quoted in KRW is passed over."""
    path = write(tmp_path / "frames.ndjson", [trade(0)], [short(trade(1))], trade(2, code="BTC-ETH"))

    recording = load_file(path)

    assert recording.markets == ("KRW-BTC",)
    assert recording.frames["KRW-BTC"].height == 2


def test_two_trades_of_one_id_are_a_contradiction(tmp_path: Path) -> None:
    """Both lines are named: which of them is true is not for a reader to guess."""
    path = write(tmp_path / "frames.jsonl", trade(0), trade(1), trade(1, trade_price=1.0))

    with pytest.raises(CorruptRecordingError, match=r"line 3 \(KRW-BTC\): trade 899 .* in line 2; valid: one trade"):
        load_file(path)


def test_half_of_a_compressed_capture_is_not_used(tmp_path: Path) -> None:
    """The end that is missing could hold anything."""
    path = write(tmp_path / "frames.jsonl.gz", *(trade(number) for number in range(50)))
    path.write_bytes(path.read_bytes()[:-20])

    with pytest.raises(CorruptRecordingError, match=r"frames\.jsonl\.gz cannot be read to its end"):
        load_file(path)


def test_our_own_table_of_trades_is_replayed_to_the_unit(tmp_path: Path) -> None:
    """As the lake lays trades out: times as such, quantities in units, ids past 2^53, the taker's side."""
    rows = {
        "market": ["KRW-BTC"] * 2,
        "trade_id": [17_726_004_000_000_001, 17_726_004_000_000_000],
        "ts_event": pl.Series([START, START]).cast(pl.Datetime("ms", "UTC")),
        "ts_received": [0, 0],
        "arrival": [1, 2],
        "price": [131_250_000.0, 131_251_000.0],
        "qty_e8": [1, 12_345_678_901],
        "side": ["SELL", "BUY"],
        "change": ["RISE", "RISE"],
        "source": ["stream", "rest"],
    }
    pl.DataFrame(rows).write_parquet(tmp_path / "trades.parquet")

    tape = SimulatedExchange(load_file(tmp_path / "trades.parquet"), 1).made("KRW-BTC", START, START + 1)

    assert tape.trade_id.tolist() == rows["trade_id"]
    assert tape.qty_e8.tolist() == rows["qty_e8"]
    assert [SIDES[side].value for side in tape.side] == rows["side"]


TRADES = {"code": ["KRW-BTC"] * 2, "trade_timestamp": [START, START + 1], "trade_price": [1e8, 1e8]}
TRADES |= {"trade_volume": [0.5, 0.25]}
CANDLES = {"market": ["KRW-BTC"] * 2, "ts_open": [START, START + 60_000], "open": [1e8] * 2, "high": [1e8] * 2}
CANDLES |= {"low": [1e8] * 2, "close": [1e8] * 2, "volume": [1.0, 2.0]}


@pytest.mark.parametrize(
    ("table", "change", "message"),
    [
        (TRADES, {"bid": [1, 2]}, "column 'bid' of trades is not known; valid: market, code, ts_event"),
        (TRADES, {"market": ["KRW-BTC"] * 2}, "columns market and code both tell market; valid: one of them"),
        (TRADES, {"trade_timestamp": ["2026-03-04T05:00:00", "yesterday"]}, "row 1: trade_timestamp is 'yesterday'"),
        (TRADES, {"trade_timestamp": [1_772_600_400, 1_772_600_401]}, "ts_event is 1772600400; valid: epoch ms of"),
        (TRADES, {"trade_timestamp": [START, START - 1]}, "row 1 .*: ts_event is .* not before the row before"),
        (TRADES, {"trade_price": ["1", "much"]}, "row 1: trade_price is 'much'; valid: Float64"),
        (TRADES, {"trade_volume": [0.5, float("nan")]}, "row 1 .*: qty is nan; valid: a finite number above 0"),
        (TRADES, {"ask_bid": ["BID", "UP"]}, "row 1 .*: side is UP; valid: BUY or SELL"),
        (TRADES, {"sequential_id": [1, 1]}, "trade_id is 1; valid: an id once"),
        (TRADES, {"sequential_id": [1.0, 2.0]}, "sequential_id is Float64, which loses digits; valid: Int64"),
        (CANDLES, {"unit": [1, 5]}, r"row 1: unit is 5; valid: 1 \(minute\)"),
        (CANDLES, {"ts_open": [START, START]}, "row 1 .*: ts_open is .*; valid: a later minute"),
        (CANDLES, {"low": [1e8, 2e8]}, "row 1 .*: low is 200000000.0; valid: a price not above"),
        (CANDLES, {"rsi": [1, 2]}, "column 'rsi' of candles is not known"),
    ],
)
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_table_that_cannot_be_is_named_by_row_column_and_value(
    tmp_path: Path, table: dict[str, list[Any]], change: dict[str, list[Any]], message: str, ending: str
) -> None:
    path = tmp_path / f"prices.{ending}"
    frame = pl.DataFrame(table | change)
    frame.write_csv(path) if ending == "csv" else frame.write_parquet(path)

    with pytest.raises(CorruptRecordingError, match=message):
        load_file(path)
