"""Inputs that every bench shares: seeded, so that two runs see the same."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tickloop.domain.tables import TRADE

START_MS = 1_705_881_600_000

REAL_TRADES = "TICKLOOP_BENCH_TRADES"
"""Variable that names a Parquet file of real trades: code, trade_timestamp (ms), trade_price, trade_volume."""

_LONGEST_GAP_MS = 3_000  # the recording of 2026-05-12 has pauses of minutes between bursts; they are no market
_RECEIPT_NS = (20e6, 60e6)
_FRAME_NS = 10_000  # two frames are never read from the socket within one instant


def trades(count: int, per_minute: int = 1_000, seed: int = 7) -> pl.DataFrame:
    """Give a TRADE frame: a random walk on the 1,000 KRW grid near 58 million, several trades a millisecond."""
    rng = np.random.default_rng(seed)
    gaps = rng.integers(0, 2 * 60_000 // per_minute, count)
    ts = START_MS + np.cumsum(gaps)
    price = 58_000_000.0 + 1_000.0 * np.cumsum(rng.integers(-1, 2, count))
    columns = {
        "market": pl.repeat("KRW-BTC", count, eager=True),
        "trade_id": np.arange(count, dtype=np.int64),
        "ts_event": ts,
        "ts_received": ts * 1_000_000 + 40_000_000,
        "arrival": np.arange(count, dtype=np.int64),
        "price": price,
        "qty_e8": rng.integers(10_000, 50_000_000, count),
        "side": pl.Series(np.where(rng.random(count) < 0.5, "BUY", "SELL")),
        "change": pl.repeat("RISE", count, eager=True),
        "source": pl.repeat("stream", count, eager=True),
    }
    return pl.DataFrame(columns).cast(dict(TRADE.columns))  # type: ignore[arg-type]


def lifelike_trades(count: int, seed: int = 7) -> tuple[pl.DataFrame, str]:
    """Give a TRADE frame as the collector would keep it, at a market's own pace, and where it comes from.

    The real trades of KRW-BTC that REAL_TRADES names, one copy after the other, or made ones when it names none. What
    a packer could find twice differs from copy to copy: times, ids, receipts (20 to 60 ms late, to the nanosecond) and
    the last digits of quantities. Ids are the trade's millisecond and four digits; `arrival` is the time of receipt.
    """
    rng = np.random.default_rng(seed)
    name = os.environ.get(REAL_TRADES)
    gaps, price, qty = _real(Path(name)) if name else _made(rng)
    copies = -(-count // len(gaps))
    ts = START_MS + np.cumsum(np.tile(gaps, copies)[:count])
    received = np.maximum.accumulate(ts * 1_000_000 + rng.uniform(*_RECEIPT_NS, count).astype(np.int64))
    steps = np.cumsum(rng.integers(_FRAME_NS, 5 * _FRAME_NS, count))
    received = np.maximum.accumulate(received - steps) + steps
    price = np.tile(price, copies)[:count]
    columns = {
        "market": pl.repeat("KRW-BTC", count, eager=True),
        "trade_id": ts * 10_000 + _place_in_millisecond(ts),
        "ts_event": ts,
        "ts_received": received,
        "arrival": received,
        "price": price,
        "qty_e8": (np.tile(qty, copies)[:count] * rng.uniform(1.0, 1.01, count)).astype(np.int64) + 1,
        "side": pl.Series(np.where(np.diff(price, prepend=price[0]) >= 0, "BUY", "SELL")),
        "change": pl.Series(np.where(price >= np.median(price), "RISE", "FALL")),
        "source": pl.repeat("stream", count, eager=True),
    }
    frame = pl.DataFrame(columns).cast(dict(TRADE.columns))  # type: ignore[arg-type]
    return frame, "real trades, repeated" if name else "made trades"


def _real(path: Path) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    rows = pl.read_parquet(path).filter(pl.col("code") == "KRW-BTC").sort("trade_timestamp", maintain_order=True)
    gaps = np.diff(rows["trade_timestamp"].to_numpy(), prepend=rows["trade_timestamp"][0])
    return np.minimum(gaps, _LONGEST_GAP_MS), rows["trade_price"].to_numpy(), rows["trade_volume"].to_numpy() * 1e8


def _made(rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Give gaps (ms), prices and quantities (1e-8) of 50,000 made trades.

    As in the real ones of 2026-05-12: half in the millisecond of the trade before, three a second, and quantities whose
    logarithm has mean 10.3 and deviation 2.0.
    """
    count = 50_000
    gaps = np.where(rng.random(count) < 0.52, 0, rng.exponential(706, count)).astype(np.int64)
    price = 121_000_000.0 + 1_000.0 * np.cumsum(rng.integers(-3, 4, count) * (gaps > 0))
    return gaps, price, rng.lognormal(10.3, 2.0, count)


def _place_in_millisecond(ts: NDArray[np.int64]) -> NDArray[np.int64]:
    place = np.arange(len(ts))
    is_first = np.diff(ts, prepend=ts[0] - 1) != 0
    return np.asarray(place - np.maximum.accumulate(np.where(is_first, place, 0)), dtype=np.int64)
