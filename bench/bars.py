"""Trades to one-minute bars: in one batch, our kernel against a polars group-by; and as a stream brings them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from bench.data import trades
from bench.measure import Figure, measure
from tickloop.domain.bars import build_bars
from tickloop.domain.market import Change, Side, Trade
from tickloop.domain.recent_bars import RecentBars
from tickloop.domain.window import MINUTE_MS

COUNT = 5_000_000
STREAMED = 300_000


def peer(frame: pl.DataFrame) -> pl.DataFrame:
    return (
        frame.group_by(pl.col("ts_event").dt.truncate("1m").alias("ts_open"), maintain_order=True)
        .agg(
            pl.col("price").first().alias("open"),
            pl.col("price").max().alias("high"),
            pl.col("price").min().alias("low"),
            pl.col("price").last().alias("close"),
            pl.col("qty_e8").sum().alias("qty_e8"),
            pl.len().alias("trades"),
        )
        .sort("ts_open")
    )


def run() -> Iterator[Figure]:
    frame = trades(COUNT)
    ours, theirs = build_bars(frame), peer(frame)
    for name in ("ts_open", "open", "high", "low", "close"):
        assert ours[name].to_list() == theirs[name].to_list(), f"bars differ in {name}"
    assert (ours["volume"].to_numpy() == theirs["qty_e8"].to_numpy() / 1e8).all(), "bars differ in volume"
    yield measure("bars", "tickloop", COUNT, "trades", lambda: build_bars(frame))
    yield measure("bars", "polars group_by", COUNT, "trades", lambda: peer(frame))
    yield from _streamed()


def _streamed() -> Iterator[Figure]:
    frame = trades(STREAMED)
    stream = [Trade(*row) for row in _values(frame)]
    kept = _stream(stream)
    whole = build_bars(frame).filter(pl.col("ts_open").is_in(kept["ts_open"].implode()))
    assert kept.equals(whole), "streamed bars are not those of the batch"
    yield measure("bars", "tickloop, streamed, one trade at a time", STREAMED, "trades", lambda: _stream(stream))


def _values(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    names = ("market", "trade_id", "ts_event", "ts_received", "arrival", "price", "qty_e8")
    columns = [frame["ts_event"].dt.epoch("ms") if name == "ts_event" else frame[name] for name in names]
    sides = [Side(side) for side in frame["side"].to_list()]
    return list(zip(*(column.to_list() for column in columns), sides, [Change.RISE] * len(sides), strict=True))


def _stream(stream: list[Trade]) -> pl.DataFrame:
    """Close each minute at the first trade of the next one, as a live feed does; give the bars of whole minutes."""
    bars = RecentBars("KRW-BTC", len(stream))
    minute = stream[0].ts_event_ms // MINUTE_MS
    bars.lost(None, minute * MINUTE_MS)
    for trade in stream:
        if trade.ts_event_ms // MINUTE_MS != minute:
            minute = trade.ts_event_ms // MINUTE_MS
            bars.close(minute * MINUTE_MS)
        bars.add(trade)
    return bars.frame()
