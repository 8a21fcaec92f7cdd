"""Hours of trades, and their journal lines in OpenSearch as the shipper delivers them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import islice

import numpy as np
import polars as pl

from bench.data import START_MS, lifelike_trades
from bench.etl_job import Job
from bench.frames import MARKETS
from tickloop.adapters.common.stored_line import iso_ms
from tickloop.adapters.opensearch.connect import open_server
from tickloop.adapters.opensearch.sink import OpensearchSink
from tickloop.domain.tables import TRADE, TRADE_ORDER
from tickloop.domain.window import HOUR_MS

HOUR_MARKET = MARKETS[0]

_BATCH = 5_000
_IDS_PER_MS = 10_000
_LINE = (
    b'{"type":"trade","code":"%b","timestamp":%d,"trade_date":"2024-01-22","trade_time":"00:00:00",'
    b'"trade_timestamp":%d,"trade_price":%b,"trade_volume":%d.%08d,"ask_bid":"%b","prev_closing_price":121000000.0,'
    b'"change":"%b","change_price":351000.0,"sequential_id":%d,"best_ask_price":121251000,"best_ask_size":0.0399,'
    b'"best_bid_price":121250000,"best_bid_size":0.118,"stream_type":"REALTIME","ts_received":%d,"arrival":%d,'
    b'"@timestamp":"%b","doc_id":"trade:%b:%d"}\n'
)


def hour_of_trades(count: int, start_ms: int) -> pl.DataFrame:
    """Give one hour of trades at a market's own pace, many in the same millisecond, in trade order."""
    frame, _ = lifelike_trades(count)
    ms = frame["ts_event"].dt.epoch("ms").to_numpy()
    squeezed = start_ms + (ms - ms[0]) * (HOUR_MS - 1) // (ms[-1] - ms[0])
    # The receipt moves with its trade, so that it stays late by the same, and in order.
    moved = (squeezed - ms) * 1_000_000
    received = np.maximum.accumulate(frame["ts_received"].dt.epoch("ns").to_numpy() + moved) + np.arange(count)
    return frame.with_columns(
        trade_id=pl.col("trade_id") + (start_ms - START_MS) * _IDS_PER_MS,
        ts_event=pl.Series(squeezed).cast(pl.Datetime("ms", "UTC")),
        ts_received=pl.Series(received).cast(TRADE.columns["ts_received"]),
        arrival=pl.Series(received),
    ).sort(TRADE_ORDER)


def small_hours(count: int, trades: int, start_ms: int) -> tuple[tuple[str, ...], pl.DataFrame]:
    """Give this many markets, and an hour of each with this many trades, one market after the other."""
    hour = hour_of_trades(trades, start_ms)
    markets = MARKETS[:count]
    return markets, pl.concat([hour.with_columns(market=pl.lit(market)) for market in markets])


def deliver(job: Job, trades: pl.DataFrame) -> None:
    lines = _lines(trades)
    with closing(OpensearchSink(open_server(job.opensearch, timeout_s=60), job.prefix)) as sink:
        while batch := list(islice(lines, _BATCH)):
            done = sink.deliver(batch)
            assert not done.refused, f"OpenSearch refuses a line: {next(iter(done.refused.values()))}"


def _lines(trades: pl.DataFrame) -> Iterator[bytes]:
    columns = trades.select(
        "market",
        pl.col("ts_event").dt.epoch("ms"),
        "price",
        "qty_e8",
        pl.col("side").cast(pl.String),
        pl.col("change").cast(pl.String),
        "trade_id",
        pl.col("ts_received").dt.epoch("ns"),
        "arrival",
    )
    for market, ts, price, qty, side, change, trade_id, received, arrival in columns.iter_rows():
        code = market.encode()
        word = b"BID" if side == "BUY" else b"ASK"
        # fmt: off
        yield _LINE % (
            code, ts + 40, ts, repr(price).encode(), qty // 10**8, qty % 10**8, word, change.encode(), trade_id,
            received, arrival, iso_ms(ts), code, trade_id,
        )
        # fmt: on
