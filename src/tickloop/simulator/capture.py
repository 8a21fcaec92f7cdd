"""Prices from files of one's own: candles or trades as Parquet or CSV, and raw frames as they were received.

Raw frames are JSON lines in DEFAULT or SIMPLE format, `.gz` or not; a segment of Tickloop's journal is one too. Of a
trade its time, price, quantity, side and id are kept; the book around it is made, as for every recording.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path

import msgspec
import polars as pl

from tickloop.domain.market import Side
from tickloop.errors import CorruptRecordingError, UsageError
from tickloop.simulator.recording import CANDLE_COLUMNS, TRADE_COLUMNS, Kind, Recording, recording_of

_NAMES = {
    "code": "market",
    "candle_date_time_utc": "ts_open",
    "opening_price": "open",
    "high_price": "high",
    "low_price": "low",
    "candle_acc_trade_volume": "volume",
    "trade_timestamp": "ts_event",
    "trade_volume": "qty",
    "sequential_id": "trade_id",
    "ask_bid": "side",
}
"""The exchange's names of columns -> ours; `trade_price` is a candle's close or a trade's price."""

_FRAMES = (".jsonl", ".json", ".ndjson")
_TABLES = (".parquet", ".csv")


class _Frame(msgspec.Struct):
    """What is read of a frame, under its long and its short names; older short frames have `mk` for the code."""

    type: str = ""
    ty: str = ""
    code: str = ""
    cd: str = ""
    mk: str = ""
    trade_timestamp: int | None = None
    ttms: int | None = None
    trade_price: float | None = None
    tp: float | None = None
    trade_volume: Decimal | None = None
    tv: Decimal | None = None
    ask_bid: str = ""
    ab: str = ""
    sequential_id: int | None = None
    sid: int | None = None


def load_file(path: Path) -> Recording:
    """Read candles, trades or raw frames from a file.

    Raises:
        UsageError: there is no such file, or its name does not tell what it holds.
        CorruptRecordingError: naming file, row or line, field, value and what would be valid.
    """
    suffixes = [suffix for suffix in path.suffixes if suffix != ".gz"]
    kind = suffixes[-1] if suffixes else ""
    if not path.is_file():
        raise UsageError(f"recording {path} does not exist; valid: candles, bursts, seeded or a file")
    if kind in _FRAMES:
        return _frames(path)
    if kind in _TABLES:
        return _table(path, kind)
    valid = ", ".join((*_FRAMES, *_TABLES))
    raise UsageError(f"recording {path}: what {kind or 'a file without an ending'} holds is not known; valid: {valid}")


def _table(path: Path, kind: str) -> Recording:
    try:
        rows = pl.read_parquet(path) if kind == ".parquet" else pl.read_csv(path, infer_schema_length=None)
    except (pl.exceptions.PolarsError, OSError) as exc:
        raise CorruptRecordingError(f"recording {path} is cut off or no {kind[1:]} file: {exc}") from exc
    is_candles = bool({"open", "opening_price"} & set(rows.columns))
    names = {**_NAMES, "trade_price": "close" if is_candles else "price"}
    rows = rows.rename({name: names[name] for name in rows.columns if name in names})
    return _recording(path, "candles" if is_candles else "trades", rows)


def _recording(path: Path, kind: Kind, rows: pl.DataFrame) -> Recording:
    wanted = CANDLE_COLUMNS if kind == "candles" else TRADE_COLUMNS
    extra = {"trade_id": pl.Int64(), "side": pl.String()} if kind == "trades" else {}
    missing = [name for name in wanted if name not in rows.columns]
    if missing:
        raise CorruptRecordingError(
            f"recording {path} has no column {missing[0]}; valid: {', '.join(wanted)}, or the exchange's names of them"
        )
    columns = {**wanted, **{name: dtype for name, dtype in extra.items() if name in rows.columns}}
    time = "ts_open" if kind == "candles" else "ts_event"
    rows = rows.select(list(columns)).with_columns(_in_ms(rows, time))
    if "side" in rows.columns:  # the exchange's words for the taker, or ours
        rows = rows.with_columns(pl.col("side").replace({"BID": Side.BUY.value, "ASK": Side.SELL.value}))
    try:
        rows = rows.cast(pl.Schema(columns))
    except pl.exceptions.PolarsError as exc:
        raise CorruptRecordingError(f"recording {path}: {exc}; valid types: {_types(columns)}") from exc
    return recording_of(path.name, kind, rows, str(path))


def _in_ms(rows: pl.DataFrame, name: str) -> pl.Expr:
    dtype = rows.schema[name]
    if isinstance(dtype, pl.Datetime):
        return pl.col(name).dt.epoch("ms")
    if dtype == pl.String:
        return pl.col(name).str.to_datetime(time_zone="UTC", strict=False).dt.epoch("ms")
    return pl.col(name)


def _types(columns: Mapping[str, pl.DataType]) -> str:
    return ", ".join(f"{name} {dtype}" for name, dtype in columns.items())


def _frames(path: Path) -> Recording:
    rows: dict[tuple[str, int], tuple[str, int, float, float, int, str]] = {}
    for number, frame in _lines(path):
        if "trade" not in (frame.type, frame.ty):
            continue
        market = frame.code or frame.cd or frame.mk
        row = _trade(path, number, market, frame)
        rows.setdefault((market, row[4]), row)
    schema = {**TRADE_COLUMNS, "trade_id": pl.Int64(), "side": pl.String()}
    found = pl.DataFrame(list(rows.values()), schema=schema, orient="row").sort("ts_event", maintain_order=True)
    if found.is_empty():
        raise CorruptRecordingError(f"recording {path} holds no trade; valid: frames of type trade, one a line")
    return recording_of(path.name, "trades", found, str(path))


def _lines(path: Path) -> Iterator[tuple[int, _Frame]]:
    decode = msgspec.json.Decoder(_Frame).decode
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file):
                if line.strip():
                    yield number, decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise CorruptRecordingError(f"recording {path}, line {number}: {exc}; valid: one JSON frame a line") from exc
    except (OSError, EOFError) as exc:
        raise CorruptRecordingError(f"recording {path} cannot be read: {exc}") from exc


def _trade(path: Path, number: int, market: str, frame: _Frame) -> tuple[str, int, float, float, int, str]:
    ts_ms = frame.ttms if frame.trade_timestamp is None else frame.trade_timestamp
    price = frame.tp if frame.trade_price is None else frame.trade_price
    volume = frame.tv if frame.trade_volume is None else frame.trade_volume
    trade_id = frame.sid if frame.sequential_id is None else frame.sequential_id
    if ts_ms is None or price is None or volume is None or trade_id is None:
        raise CorruptRecordingError(
            f"recording {path}, line {number}: a trade without time, price, quantity or id; valid: all four"
        )
    side = Side.BUY.value if (frame.ask_bid or frame.ab) == "BID" else Side.SELL.value
    return market, ts_ms, price, float(volume), trade_id, side
