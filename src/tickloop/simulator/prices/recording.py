"""Recorded market data shipped with the package, checked when it is loaded: what is corrupt never becomes a trade."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Literal, NamedTuple

import numpy as np
import polars as pl

from tickloop.domain.market import QTY_UNITS, Side, is_market
from tickloop.domain.window import DAY_MS, MINUTE_MS
from tickloop.errors import CorruptRecordingError, UsageError
from tickloop.simulator.prices.grid import price_steps

Kind = Literal["candles", "trades"]

RECORDINGS: dict[str, Kind] = {"candles": "candles", "bursts": "trades"}
"""Name of the file without `.parquet` -> what it holds. `SOURCES.md` beside the files tells where they come from."""

CANDLE_COLUMNS = {
    "market": pl.String(),
    "ts_open": pl.Int64(),
    "open": pl.Float64(),
    "high": pl.Float64(),
    "low": pl.Float64(),
    "close": pl.Float64(),
    "volume": pl.Float64(),
}
TRADE_COLUMNS = {
    "market": pl.String(),
    "ts_event": pl.Int64(),
    "price": pl.Float64(),
    "qty": pl.Float64(),
}

TAKER_SIDES = {"BID": Side.BUY.value, "ASK": Side.SELL.value}
"""The exchange's word for the taker's side -> ours."""

CHECKSUMS = "SHA256SUMS"
"""Beside the recordings, as `sha256sum` writes it: a flipped bit in compressed data may read as plausible numbers."""

_COLUMNS: dict[Kind, Mapping[str, pl.DataType]] = {"candles": CANDLE_COLUMNS, "trades": TRADE_COLUMNS}
_YEAR_2010_MS, _YEAR_2100_MS = 1_262_304_000_000, 4_102_444_800_000
_PRICES = ("open", "high", "low", "close")
_EXACT_BELOW = 2**53  # whole numbers of 1e-8 that a double tells apart


@dataclass(frozen=True)
class Recording:
    """What was recorded, by market.

    Attributes:
        frames: per market, the most recorded first, one frame in order of time. `ts_open` and `ts_event` are epoch ms
            UTC (int64). Kind `candles`: ts_open, open, high, low, close, volume. Kind `trades`: ts_event, price, qty,
            and where the source tells them trade_id (int64) and side (text of a `Side`, the taker's).
            Both: market, qty_e8 (int64, volume or qty in units of 1e-8) and prev_close (float64: close of the previous
            UTC day, NaN where the recording does not reach back to it).
    """

    name: str
    kind: Kind
    frames: Mapping[str, pl.DataFrame]

    @cached_property
    def markets(self) -> tuple[str, ...]:
        return tuple(self.frames)

    @property
    def time(self) -> str:
        return "ts_open" if self.kind == "candles" else "ts_event"


class _Check(NamedTuple):
    field: str
    is_sound: pl.Expr
    valid: str


def load_recording(name: str, folder: Traversable | None = None) -> Recording:
    """Read one recording and check every row, then the whole file against its checksum.

    Args:
        name: one of RECORDINGS.
        folder: where `<name>.parquet` and CHECKSUMS lie; by default the package's own recordings.

    Raises:
        UsageError: if there is no recording of that name.
        CorruptRecordingError: naming the file, if it is cut off or changed; and row (from 0) and field, if a value
            cannot be.
    """
    if name not in RECORDINGS:
        raise UsageError(f"recording {name!r} does not exist; valid: {', '.join(RECORDINGS)}")
    folder = folder or files("tickloop.recordings")
    file = folder / f"{name}.parquet"
    kind = RECORDINGS[name]
    content = _content(file)
    # Rows first: their message says more than that some byte differs.
    recording = recording_of(name, kind, _rows(content, kind, file), str(file))
    _require_checksum(content, file, _content(folder / CHECKSUMS))
    return recording


def recording_of(name: str, kind: Kind, rows: pl.DataFrame, origin: str) -> Recording:
    """Check rows that came from `origin` and cut them by market.

    Args:
        rows: the columns of `kind`; of trades also `trade_id`, `side` and `prev_close` where the source tells them. A
            column `row` numbers them for messages; without one they are counted from 0.

    Raises:
        CorruptRecordingError: see `load_recording`.
    """
    rows = rows if "row" in rows.columns else rows.with_row_index("row")
    codes = [code for code in rows["market"].unique() if code is not None and code.startswith("KRW-")]
    is_known = pl.col("market").is_in([code for code in codes if is_market(code)])
    checks = _candle_checks() if kind == "candles" else _trade_checks(rows.columns)
    for check in (_Check("market", is_known, "a KRW market such as KRW-BTC"), *checks):
        _require(rows, check, origin)
    volume = "volume" if kind == "candles" else "qty"
    rows = rows.with_columns(qty_e8=_in_units(rows, volume, origin))
    if kind == "candles":
        _require_representable(rows, origin)
    rows = _with_prev_close(rows.drop("row"), kind)
    parts = rows.partition_by("market", maintain_order=True)
    by_size = sorted(parts, key=lambda part: -part.height)
    return Recording(name, kind, {str(part["market"][0]): part for part in by_size})


def _content(file: Traversable) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError as exc:
        raise CorruptRecordingError(f"recording {file} is missing; valid: the file that the package ships") from exc
    except OSError as exc:
        raise CorruptRecordingError(f"recording {file} cannot be read: {exc.strerror}") from exc


def _require_checksum(content: bytes, file: Traversable, checksums: bytes) -> None:
    sums = {
        name: digest
        for digest, _, name in (line.partition("  ") for line in checksums.decode("utf-8", "replace").splitlines())
    }
    digest = hashlib.sha256(content).hexdigest()
    if digest != sums.get(file.name):
        raise CorruptRecordingError(
            f"recording {file} was changed: its SHA-256 is {digest}; valid: {sums.get(file.name)} as in {CHECKSUMS}"
        )


def _rows(content: bytes, kind: Kind, file: Traversable) -> pl.DataFrame:
    try:
        rows = pl.read_parquet(content)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as exc:
        raise CorruptRecordingError(f"recording {file} is cut off or no Parquet file: {exc}") from exc
    wanted = _COLUMNS[kind]
    for field, dtype in wanted.items():
        if rows.schema.get(field) != dtype:
            raise CorruptRecordingError(
                f"recording {file}: column {field} is {rows.schema.get(field)}; valid: {dtype} in every recording"
            )
    if rows.is_empty():
        raise CorruptRecordingError(f"recording {file} has no rows; valid: at least one")
    return rows.select(list(wanted))


def _candle_checks() -> list[_Check]:
    minute = pl.col("ts_open")
    is_later = (minute > minute.shift(1).over("market")).fill_null(value=True)
    return [
        _Check("ts_open", (minute % MINUTE_MS == 0) & _is_epoch_ms(minute), "a whole minute in epoch ms"),
        _Check("ts_open", is_later, "a later minute than the row before of this market"),
        *(_positive(name) for name in (*_PRICES, "volume")),
        _Check("low", pl.col("low") <= pl.min_horizontal(_PRICES), "a price not above open, high and close"),
        _Check("high", pl.col("high") >= pl.max_horizontal(_PRICES), "a price not below open, low and close"),
    ]


def _trade_checks(columns: Sequence[str]) -> list[_Check]:
    told = [
        _Check(
            "trade_id", (pl.col("trade_id") >= 0) & pl.struct("market", "trade_id").is_first_distinct(), "an id once"
        ),
        _Check("side", pl.col("side").is_in([side.value for side in Side]), " or ".join(Side)),
    ]
    moment = pl.col("ts_event")
    is_in_order = (moment >= moment.shift(1).over("market")).fill_null(value=True)
    return [
        _Check("ts_event", _is_epoch_ms(moment), "epoch ms of 2010 to 2100"),
        _Check("ts_event", is_in_order, "not before the row before of this market"),
        _positive("price"),
        _positive("qty"),
        *(check for check in told if check.field in columns),
    ]


def _is_epoch_ms(moment: pl.Expr) -> pl.Expr:
    # Seconds, micro- and nanoseconds would all pass for some other year.
    return moment.is_between(_YEAR_2010_MS, _YEAR_2100_MS)


def _positive(field: str) -> _Check:
    return _Check(field, pl.col(field).is_finite() & (pl.col(field) > 0), "a finite number above 0")


def _require(rows: pl.DataFrame, check: _Check, origin: str) -> None:
    bad = rows.filter(check.is_sound.not_() | check.is_sound.is_null() | pl.col(check.field).is_null())
    if not bad.is_empty():
        raise _corrupt(origin, bad.row(0, named=True), check.field, check.valid)


def _in_units(rows: pl.DataFrame, field: str, origin: str) -> pl.Series:
    values = rows[field].to_numpy()
    # Past 2^53 the product is rounded; the shortest text of the number is then what the exchange printed.
    units = np.rint(np.minimum(values * QTY_UNITS, _EXACT_BELOW)).astype(np.int64)
    for row in np.flatnonzero(units / QTY_UNITS != values):
        exact = Decimal(repr(float(values[row]))) * QTY_UNITS
        if exact != int(exact) or exact >= 2**63:
            raise _corrupt(origin, rows.row(int(row), named=True), field, "a whole number of 1e-8")
        units[row] = int(exact)
    if (units < 1).any():
        raise _corrupt(origin, rows.row(int(np.argmin(units)), named=True), field, "at least 1e-8")
    return pl.Series(units)


def _require_representable(rows: pl.DataFrame, origin: str) -> None:
    """Refuse candles that no trades can add up to: too little volume for their prices, or prices on no grid."""
    opening, high, low, close, qty_e8 = (rows[name].to_numpy() for name in (*_PRICES, "qty_e8"))
    ends = 1 + (opening != close)
    inside = ((high != opening) & (high != close)).astype(np.int64) + ((low != opening) & (low != close))
    least = np.where(inside > 0, 2, ends) + inside
    for row in np.flatnonzero((qty_e8 < least) | (qty_e8 >= _EXACT_BELOW)):
        raise _corrupt(origin, rows.row(int(row), named=True), "volume", "1e-8 per price, and below 9e7")
    for (market,), part in rows.group_by("market"):
        steps, _ = price_steps(str(market), part["ts_open"].to_numpy(), part.select(_PRICES).to_numpy())
        for row in np.flatnonzero(steps == 0):
            raise _corrupt(origin, part.row(int(row), named=True), "open", "prices on the exchange's price steps")


def _corrupt(origin: str, row: Mapping[str, object], field: str, valid: str) -> CorruptRecordingError:
    return CorruptRecordingError(
        f"recording {origin}, row {row['row']} ({row['market']}): {field} is {row[field]}; valid: {valid}"
    )


def _with_prev_close(rows: pl.DataFrame, kind: Kind) -> pl.DataFrame:
    time, price = ("ts_open", "close") if kind == "candles" else ("ts_event", "price")
    rows = rows.with_columns(day=pl.col(time) // DAY_MS)
    closes = rows.group_by("market", "day", maintain_order=True).agg(pl.col(price).last().alias("prev_close"))
    # A day without data keeps the close before it, as the exchange does.
    closes = closes.with_columns(prev_close=pl.col("prev_close").shift(1).over("market").fill_null(float("nan")))
    if "prev_close" not in rows.columns:
        return rows.join(closes, on=["market", "day"], how="left", maintain_order="left").drop("day")
    # What the exchange told counts, on all trades of that day: those fetched from REST may lack it.
    told = rows.group_by("market", "day").agg(told=pl.col("prev_close").drop_nulls().first())
    closes = closes.join(told, on=["market", "day"], how="left").with_columns(
        prev_close=pl.coalesce("told", "prev_close")
    )
    rows = rows.drop("prev_close").join(closes.drop("told"), on=["market", "day"], how="left", maintain_order="left")
    return rows.drop("day")
