"""Trades to one-minute bars: our kernel against a polars group-by of the same columns."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from bench.data import trades
from bench.measure import Figure, measure
from tickloop.domain.bars import build_bars

COUNT = 5_000_000


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
