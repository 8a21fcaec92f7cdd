"""Trades of a raw store as compact rows, and rows as a TRADE frame. Pure: arrays only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tickloop.adapters.common.stored_line import TradeLine
from tickloop.adapters.upbit.parse import SIDE_OF
from tickloop.domain.market import Change, Side, Source
from tickloop.domain.tables import TRADE, TRADE_ORDER
from tickloop.domain.window import Window

Rows = NDArray[np.void]

_SIDES = [side.value for side in Side]
_CHANGES = [change.value for change in Change]
_SOURCES = [source.value for source in Source]

ROW = np.dtype(
    [
        ("trade_id", np.int64),
        ("ts_event", np.int64),
        ("ts_received", np.int64),
        ("arrival", np.int64),
        ("price", np.float64),
        ("qty_e8", np.int64),
        ("side", np.uint8),
        ("change", np.uint8),
        ("source", np.uint8),
    ]
)
"""One trade line in 51 bytes: event time in ms, receipt in ns, and of words the place in `domain.market`'s enums."""

NO_ROWS: Rows = np.empty(0, ROW)

_SIDE = {word: _SIDES.index(side.value) for word, side in SIDE_OF.items()}
_CHANGE = {word: place for place, word in enumerate(_CHANGES)}
_SOURCE = {word: place for place, word in enumerate(_SOURCES)}


def row_of(trade: TradeLine) -> tuple[Any, ...]:
    """Give a trade's line as one row of `ROW`."""
    return (
        trade.sequential_id,
        trade.trade_timestamp,
        trade.ts_received,
        trade.arrival,
        trade.trade_price,
        trade.qty_e8,
        _SIDE[trade.ask_bid],
        _CHANGE[trade.change],
        _SOURCE[trade.source],
    )


def within(rows: Rows, window: Window) -> Rows:
    """Give the rows whose event time lies in a window."""
    times = rows["ts_event"]
    return rows[(times >= window.start_ms) & (times < window.end_ms)]


def is_rest(rows: Rows) -> NDArray[np.bool_]:
    """Tell of each row whether it came from REST."""
    return np.asarray(rows["source"] == _SOURCE[Source.REST.value], np.bool_)


def trade_frame_of(market: str, rows: Sequence[Rows]) -> pl.DataFrame:
    """Give a TRADE frame in trade order, for each trade_id the row of lowest arrival."""
    joined = np.concatenate([NO_ROWS, *rows])
    columns: dict[str, Any] = {name: np.ascontiguousarray(joined[name]) for name in joined.dtype.names or ()}
    words = {"side": _SIDES, "change": _CHANGES, "source": _SOURCES}
    for name, known in words.items():
        columns[name] = pl.Series(name, known, TRADE.columns[name]).gather(columns[name])
    frame = pl.DataFrame(columns).select(pl.lit(market).alias("market"), pl.all()).cast(pl.Schema(TRADE.columns))
    # Two writers may give the same arrival; the line of the stream then comes first.
    ordered = frame.sort("arrival", "source", maintain_order=True)
    return ordered.unique("trade_id", keep="first", maintain_order=True).sort(TRADE_ORDER)
