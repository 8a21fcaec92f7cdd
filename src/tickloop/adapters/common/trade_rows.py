"""Trades of a raw store as compact rows, and rows as a TRADE frame. Pure: arrays only."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tickloop.adapters.common.stored_line import TradeLine
from tickloop.adapters.upbit import parse
from tickloop.domain.market import Change, Side, Source
from tickloop.domain.tables import TRADE, TRADE_ORDER
from tickloop.domain.window import Window

Rows = NDArray[np.void]

_SIDES = [side.value for side in Side]
_CHANGES = [change.value for change in Change]
_SOURCES = [source.value for source in Source]

_KNOWN = {"side": _SIDES, "change": _CHANGES, "source": _SOURCES}

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

SIDE_OF = {word: _SIDES.index(side.value) for word, side in parse.SIDE_OF.items()}
CHANGE_OF = {word: place for place, word in enumerate(_CHANGES)}
SOURCE_OF = {word: place for place, word in enumerate(_SOURCES)}
"""Word of a line -> what stands for it in a row."""


def row_of(trade: TradeLine) -> tuple[Any, ...]:
    """Give a trade's line as one row of `ROW`."""
    return (
        trade.sequential_id,
        trade.trade_timestamp,
        trade.ts_received,
        trade.arrival,
        trade.trade_price,
        trade.qty_e8,
        SIDE_OF[trade.ask_bid],
        CHANGE_OF[trade.change],
        SOURCE_OF[trade.source],
    )


def within(rows: Rows, window: Window) -> Rows:
    """Give the rows whose event time lies in a window."""
    times = rows["ts_event"]
    return rows[(times >= window.start_ms) & (times < window.end_ms)]


def is_rest(rows: Rows) -> NDArray[np.bool_]:
    """Tell of each row whether it came from REST."""
    return np.asarray(rows["source"] == SOURCE_OF[Source.REST.value], np.bool_)


def trade_frame_of(market: str, rows: Rows) -> pl.DataFrame:
    """Give a TRADE frame in trade order, for each trade_id the row of lowest arrival."""
    return trade_frame_at(market, rows, places_of(rows))


def trade_frame_at(market: str, rows: Rows, places: NDArray[np.intp]) -> pl.DataFrame:
    """Give a TRADE frame of the rows at some places, in their order."""
    columns = {name: _column(name, rows[name][places]) for name in ROW.names or ()}
    names = pl.Series("market", [market], TRADE.columns["market"]).new_from_index(0, len(places))
    return pl.DataFrame([names, *(columns[name] for name in TRADE.columns if name in columns)])


def places_of(rows: Rows) -> NDArray[np.intp]:
    """Give the places of the rows to keep, in trade order: for each trade_id that of lowest arrival.

    Arrays of places only: a frame that is sorted, freed of repeats and sorted again would take memory three times.
    """
    first, second, third = TRADE_ORDER
    order = np.lexsort((rows[third], rows[second], rows[first]))
    by_id = np.sort(rows["trade_id"])
    if (by_id[1:] != by_id[:-1]).all():
        return order
    # Two writers may give the same arrival; the line of the stream then comes first.
    by_id = np.lexsort((rows["source"], rows["arrival"], rows["trade_id"]))
    ids = rows["trade_id"][by_id]
    is_first = np.ones(len(rows), np.bool_)
    is_first[by_id[1:]] = ids[1:] != ids[:-1]
    return order[is_first[order]]


def _column(name: str, values: NDArray[Any]) -> pl.Series:
    if name in _KNOWN:
        return pl.Series(name, _KNOWN[name], TRADE.columns[name]).gather(values)
    return pl.Series(name, values).cast(TRADE.columns[name])
