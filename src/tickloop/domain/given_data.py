"""Trades, bars and forecasts as a user holds them: polars frames or numpy arrays, told apart by their columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tickloop.domain.market import MinuteState
from tickloop.domain.tape import (
    BarTape,
    ForecastSeries,
    Tape,
    bars_from,
    forecasts_from,
    tape_from,
)
from tickloop.domain.window import MINUTE_MS
from tickloop.errors import DataError

_FORMS = {2: ("ts", "price"), 4: ("ts", "open", "high", "close"), 5: ("ts", "open", "high", "low", "close")}
"""Columns of a tuple of arrays, by how many there are."""

_VALID = (
    "valid: a polars frame, a mapping of names to arrays or a structured array with the columns ts (or ts_event) and "
    "price, or ts (or ts_open), open, high and close; or a tuple of such arrays in this order"
)

# Before Upbit began, and far from now: outside, whole numbers are seconds or nanoseconds and not milliseconds.
_FIRST_MS, _LAST_MS = 1_500_000_000_000, 4_100_000_000_000

_FEW_BARS = 30


class Given(NamedTuple):
    """What was given: trades or bars, and how many bars are of minutes that are not settled."""

    tape: Tape | BarTape
    unknown_minutes: int


def given_data(data: Any, market: str, *, allow_unknown: bool = False) -> Given:
    """Read trades or one-minute bars.

    Args:
        data: times as datetimes (without a zone: UTC) or epoch milliseconds, prices as numbers; of the columns `market`
            (one value), `trade_id` (each once), `low` and `state` (of the ledger) each is looked at if it is there.
        allow_unknown: leave bars of state `unknown` out instead of refusing them.

    Raises:
        DataError: for other columns, types or times, another market than said, or what `tape_from` and `bars_from`
            refuse.
        NotEnoughDataError: if it is empty.
    """
    frame = _frame(data)
    _check_one(frame, "market", market)
    if "price" in frame.columns and "open" not in frame.columns:
        ts_ms, price = _times(frame, "ts_event", "ts"), _numbers(frame, "price")
        ids = _whole(frame, "trade_id") if "trade_id" in frame.columns else None
        return Given(tape_from(market, ts_ms, price, ids), 0)
    if missing := [name for name in ("open", "high", "close") if name not in frame.columns]:
        raise DataError(f"data with the columns {frame.columns} has no price, and of bars no {missing}; {_VALID}")
    known, unknown = _settled(frame, allow_unknown=allow_unknown)
    ts_ms = _times(known, "ts_open", "ts")
    low = _numbers(known, "low") if "low" in known.columns else None
    opened, high, close = (_numbers(known, name) for name in ("open", "high", "close"))
    bars = bars_from(market, ts_ms, opened, high, close, low)
    _check_length(bars)
    return Given(bars, unknown)


def given_forecasts(forecasts: Any, delay_ms: int) -> ForecastSeries:
    """Read forecasts: the columns target_minute (or ts) and price, and optionally usable_from; None gives none.

    Args:
        delay_ms: where usable_from is absent, usable from the start of the minute + delay on.

    Raises:
        DataError: for other columns, several model versions, or what `forecasts_from` refuses.
    """
    if forecasts is None:
        return ForecastSeries(np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64))
    frame = _frame(forecasts)
    if "model_version" in frame.columns and frame["model_version"].n_unique() > 1:
        raise DataError(f"forecasts are of {sorted(frame['model_version'].unique())}; valid: one model version")
    minute = _times(frame, "target_minute", "ts")
    usable = _times(frame, "usable_from") if "usable_from" in frame.columns else minute + delay_ms
    return forecasts_from(minute, _numbers(frame, "price"), usable)


def _frame(data: Any) -> pl.DataFrame:
    if isinstance(data, pl.DataFrame):
        return data
    if isinstance(data, np.ndarray) and data.dtype.names is not None:
        data = {name: data[name] for name in data.dtype.names}
    if isinstance(data, (tuple, list)) and len(data) in _FORMS:
        data = dict(zip(_FORMS[len(data)], data, strict=True))
    if not isinstance(data, Mapping):
        raise DataError(f"data is a {type(data).__name__}; {_VALID}")
    columns = {str(name): _column(column) for name, column in data.items()}
    if len({len(column) for column in columns.values()}) > 1:
        lengths = {name: len(column) for name, column in columns.items()}
        raise DataError(f"columns have the lengths {lengths}; valid: one length")
    return pl.DataFrame(columns)


def _column(column: Any) -> pl.Series:
    values = column if isinstance(column, pl.Series) else np.asarray(column)
    if isinstance(values, np.ndarray):
        if values.ndim != 1:
            raise DataError(f"an array has the shape {values.shape}; valid: one dimension")
        if values.dtype.kind == "M":
            values = values.astype("datetime64[ms]")
    return pl.Series(values)


def _check_one(frame: pl.DataFrame, column: str, value: str) -> None:
    if column in frame.columns and (others := sorted(set(frame[column].unique()) - {value}, key=str)):
        raise DataError(f"data holds the {column} {others[0]!r}; valid: {value!r} alone, as was said")


def _settled(frame: pl.DataFrame, *, allow_unknown: bool) -> tuple[pl.DataFrame, int]:
    if "state" not in frame.columns:
        return frame, 0
    is_unknown = frame["state"].cast(pl.String) == MinuteState.UNKNOWN.value
    unknown = int(is_unknown.sum())
    if unknown and not allow_unknown:
        raise DataError(
            f"{unknown} of {frame.height} bars are of minutes whose state is unknown; valid: settled bars, or "
            "allow_unknown=True, which the result then says"
        )
    return frame.filter(~is_unknown), unknown


def _times(frame: pl.DataFrame, *names: str) -> NDArray[np.int64]:
    """Give the first column of these names that is there, as epoch milliseconds."""
    name = next((name for name in names if name in frame.columns), None)
    if name is None:
        raise DataError(f"data with the columns {frame.columns} has no {' or '.join(names)}; {_VALID}")
    column = frame[name]
    if column.null_count():
        raise DataError(f"column {name} has {column.null_count()} empty places; valid: a time in each")
    if isinstance(column.dtype, pl.Datetime):
        return column.dt.epoch("ms").to_numpy().astype(np.int64)
    ts_ms = _whole(frame, name)
    if (wrong := np.flatnonzero((ts_ms < _FIRST_MS) | (ts_ms > _LAST_MS))).size:
        raise DataError(
            f"column {name} has {ts_ms[wrong[0]]} in row {wrong[0]}; valid: datetimes, or epoch milliseconds of UTC"
        )
    return ts_ms


def _whole(frame: pl.DataFrame, name: str) -> NDArray[np.int64]:
    column = frame[name]
    if not column.dtype.is_integer() or column.null_count():
        raise DataError(f"column {name} is {column.dtype}; valid: whole numbers, none missing, or for times datetimes")
    return column.to_numpy().astype(np.int64)


def _numbers(frame: pl.DataFrame, name: str) -> NDArray[np.float64]:
    if name not in frame.columns:
        raise DataError(f"data with the columns {frame.columns} has no {name}; {_VALID}")
    if not frame[name].dtype.is_numeric():
        raise DataError(f"column {name} is {frame[name].dtype}; valid: numbers")
    return frame[name].cast(pl.Float64).to_numpy().astype(np.float64)  # a missing one becomes NaN, and is refused


def _check_length(bars: BarTape) -> None:
    """Refuse bars of another length than a minute: a market without trades for minutes has gaps, but not only."""
    if len(bars.ts_ms) < _FEW_BARS:
        return
    step_ms = int(np.diff(bars.ts_ms).min())
    if step_ms > MINUTE_MS:
        raise DataError(
            f"bars of {bars.market} are at least {step_ms // MINUTE_MS} minutes apart; valid: one-minute bars"
        )
