"""Raw frames as they were received, one JSON message a line: prices from what anybody collected.

DEFAULT and SIMPLE format, also in lists, `.gz` or not. A segment of Tickloop's journal is a capture too, and a folder
of them is one recording. Of a trade its time, price, quantity, side, id and previous close are kept; the book around
it is made, as for every recording. Messages other than trades, and markets not quoted in KRW, are passed over.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec
import polars as pl

from tickloop.errors import CorruptRecordingError
from tickloop.simulator.prices.recording import TAKER_SIDES, TRADE_COLUMNS, Recording, recording_of

ENDINGS = (".jsonl", ".ndjson", ".json")


class _Frame(msgspec.Struct):
    """What is read of a message, under its long and its short names."""

    type: str = ""
    ty: str = ""
    code: str = ""
    cd: str = ""
    trade_timestamp: int | None = None
    ttms: int | None = None
    trade_price: float | None = None
    tp: float | None = None
    trade_volume: float | None = None
    tv: float | None = None
    ask_bid: str = ""
    ab: str = ""
    sequential_id: int | None = None
    sid: int | None = None
    prev_closing_price: float | None = None
    pcp: float | None = None


class _Trade(NamedTuple):
    row: int
    market: str
    ts_event: int
    price: float
    qty: float
    trade_id: int
    side: str
    prev_close: float | None

    @property
    def facts(self) -> tuple[object, ...]:
        return self[2:7]


_SCHEMA = {"row": pl.UInt32(), **TRADE_COLUMNS, "trade_id": pl.Int64(), "side": pl.String(), "prev_close": pl.Float64()}


def load_frames(path: Path) -> Recording:
    """Read one capture, or a folder of them in order of name.

    A trade that is told again, as after a reconnect, counts once. Messages may be in any order: trades are sorted by
    their time, those of one millisecond stay as they came.

    Raises:
        CorruptRecordingError: naming file, line (from 1), field, value and what would be valid: for a line that is no
            JSON, a trade without one of its fields, or two different trades of one id. An unterminated last line that
            cannot be read was being written when the recording ended; it is passed over.
    """
    found: dict[tuple[str, int], _Trade] = {}
    for file in _files(path):
        for number, frame in _frames(file):
            if "trade" in (frame.type, frame.ty):
                _take(file, number, frame, found)
    rows = pl.DataFrame(list(found.values()), schema=_SCHEMA, orient="row").sort("ts_event", maintain_order=True)
    if rows.is_empty():
        raise CorruptRecordingError(f"recording {path} holds no trade of a KRW market; valid: frames of type trade")
    return recording_of(path.name, "trades", rows, str(path))


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(file for ending in ENDINGS for file in (*path.rglob(f"*{ending}"), *path.rglob(f"*{ending}.gz")))
    if not files:
        raise CorruptRecordingError(f"recording {path} has no file in it; valid: files named {', '.join(ENDINGS)}")
    return files


def _frames(path: Path) -> Iterator[tuple[int, _Frame]]:
    decode = msgspec.json.Decoder(_Frame | list[_Frame]).decode
    for number, line in _lines(path):
        try:
            decoded = decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            if not line.endswith(b"\n"):
                return
            raise CorruptRecordingError(
                f"recording {path}, line {number}: {exc}; valid: one JSON message of the exchange a line"
            ) from exc
        for frame in decoded if isinstance(decoded, list) else (decoded,):
            yield number, frame


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line
    except (OSError, EOFError, zlib.error) as exc:
        raise CorruptRecordingError(f"recording {path} cannot be read to its end: {exc}") from exc


def _take(path: Path, number: int, frame: _Frame, found: dict[tuple[str, int], _Trade]) -> None:
    market = frame.code or frame.cd
    if not market.startswith("KRW-") and "-" in market:
        return
    trade = _trade(path, number, market, frame)
    known = found.setdefault((market, trade.trade_id), trade)
    if known.facts != trade.facts:
        raise CorruptRecordingError(
            f"recording {path}, line {number} ({market}): trade {trade.trade_id} is {trade.facts}, but"
            f" {known.facts} in line {known.row}; valid: one trade for an id"
        )


def _trade(path: Path, number: int, market: str, frame: _Frame) -> _Trade:
    fields = {
        "trade_timestamp": _first(frame.trade_timestamp, frame.ttms),
        "trade_price": _first(frame.trade_price, frame.tp),
        "trade_volume": _first(frame.trade_volume, frame.tv),
        "sequential_id": _first(frame.sequential_id, frame.sid),
        "ask_bid": TAKER_SIDES.get(frame.ask_bid or frame.ab),
    }
    for name, value in fields.items():
        if value is None:
            raise CorruptRecordingError(
                f"recording {path}, line {number} ({market}): a trade without {name}; valid: {', '.join(fields)}"
            )
    ts_ms, price, qty, trade_id, side = (cast("Any", value) for value in fields.values())
    return _Trade(number, market, ts_ms, price, qty, trade_id, side, _first(frame.prev_closing_price, frame.pcp))


def _first(long: float | None, short: float | None) -> float | None:
    return short if long is None else long
